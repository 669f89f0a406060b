"""Studies are found in files, a file or a folder each, and nothing is imported to list them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from bench.studies import registry
from tasks.errors import UsageError

STUDY = '''
"""A file that cannot be imported."""

import nothing_of_that_name
from bench.studies.registry import study


@study("{name}")
class Asked:
    """What was asked."""


def study_of(x):
    """Not a study."""
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package in the place of `bench.studies`."""
    folder = tmp_path / "asked_studies"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "PACKAGE", folder.name)
    yield folder
    sys.modules.pop(folder.name, None)


def add(path, name):
    path.parent.mkdir(exist_ok=True)
    path.write_text(STUDY.format(name=name), encoding="utf-8")


def test_a_file_and_a_folder_are_found_by_name(package):
    add(package / "second.py", "b")
    add(package / "first" / "study.py", "a")
    add(package / "first" / "table.py", "no study, since its folder has study.py")
    (package / "shared.py").write_text("def study(name): ...\n")
    found = registry.found_studies()
    assert [(one.name, one.about) for one in found.values()] == [
        ("a", "What was asked."),
        ("b", "What was asked."),
    ]
    assert found["a"].module == "asked_studies.first.study"
    assert package.name not in sys.modules


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("import nothing_of_that_name\n", r"mine\.py \(line 2\) cannot be loaded: No module"),
        ("int('many')\n", r"mine\.py \(line 2\) cannot be loaded: ValueError"),
        ("", "StudyOptions"),
        ("from bench.studies.options import StudyOptions as Base\n", "lacks named, run"),
    ],
)
def test_a_study_that_cannot_be_used_is_one_line(package, monkeypatch, content, told):
    monkeypatch.setattr(registry, "_loaded", {})
    head = "from bench.studies.registry import study\n"
    base = "(Base)" if "Base" in content else ""
    (package / "mine.py").write_text(
        f"{head}{content}@study('mine')\nclass Mine{base}:\n    pass\n"
    )
    with pytest.raises(UsageError, match=f"study 'mine' .*{told}") as caught:
        registry.load_study("mine")
    assert "\n" not in str(caught.value)
    sys.modules.pop(f"{package.name}.mine", None)


def test_an_installed_class_that_is_not_registered_is_one_line(monkeypatch):
    entry = EntryPoint("theirs", "bench.studies.options:StudyOptions", registry.GROUP)
    monkeypatch.setattr(registry, "installed", lambda group: [entry])
    with pytest.raises(UsageError, match=r'study \'theirs\' .*@study\("theirs"\)'):
        registry.load_study("theirs")


def test_two_studies_of_one_name_are_one_line(package):
    add(package / "one.py", "a")
    add(package / "other.py", "a")
    with pytest.raises(UsageError, match=r"study 'a' is registered twice.*one and .*other"):
        registry.found_studies()


def test_a_package_adds_one_and_a_broken_one_is_one_line(package, monkeypatch):
    entry = EntryPoint("theirs", "nothing_of_that_name.studies:Theirs", registry.GROUP)
    monkeypatch.setattr(registry, "installed", lambda group: [entry])
    assert list(registry.found_studies()) == ["theirs"]
    with pytest.raises(UsageError, match=r"study 'theirs' .* cannot be loaded"):
        registry.load_study("theirs")
    with pytest.raises(UsageError, match="did you mean theirs"):
        registry.load_study("their")
