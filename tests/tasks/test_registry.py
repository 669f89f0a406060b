"""Parts from files and from installed packages, under names that are theirs alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from methods.parts import Adapter, Part
from tasks.errors import UsageError
from tasks.registry import Registry, declared

ROOT = Path(__file__).parents[2]

PACKAGE = '''
"""Parts of an installed package."""
from dataclasses import dataclass
from methods.lora_family import LoraFamily
from tasks.base import KnowledgeTask, task

@dataclass(frozen=True)
class Wide(LoraFamily):
    """W + s B A with a larger rank."""

    r: int = 99

@task("rivers")
@dataclass(frozen=True)
class Rivers(KnowledgeTask):
    """Where rivers end."""

    source, licence, revision = "general knowledge", "CC0-1.0", "1"

    def load(self, access):
        return ()
'''


@pytest.fixture
def install(tmp_path):
    """Lay an installed package into a folder for the path, and return the folder."""

    def lay(**entries):
        (tmp_path / "extra_parts.py").write_text(PACKAGE)
        about = tmp_path / "extra_parts-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-parts\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(
            "".join(f"[semantic_peft_bench.{k}]\n{entry}\n" for k, entry in entries.items())
        )
        return tmp_path

    return lay


def discovered(folder, kind, monkeypatch):
    """A registry that has no files and finds what is installed in the folder."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "extra_parts", raising=False)
    (folder / "no_files").mkdir()
    (folder / "no_files" / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "no_files", raising=False)
    return Registry(kind, "no_files", f"semantic_peft_bench.{kind}s")


def test_an_installed_package_brings_parts(install):
    folder = install(adapters="wide = extra_parts:Wide", tasks="rivers = extra_parts:Rivers")
    listed = subprocess.run(
        [sys.executable, "-m", "bench", "list"],
        cwd=ROOT,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"^wide +W \+ s B A with a larger rank\.", listed, flags=re.MULTILINE)
    assert "r=99" in listed
    assert listed.count("Where rivers end.") == 1, "decorated and declared is one task"


def test_a_class_is_registered_under_its_declared_name(install, monkeypatch):
    registry = discovered(install(adapters="wide = extra_parts:Wide"), "adapter", monkeypatch)
    assert registry.names() == ["wide"]
    assert issubclass(registry["wide"], Adapter)
    assert registry.name_of(registry["wide"]) == "wide"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("wide = no_such_module:Wide", "(no_such_module:Wide) cannot be loaded: No module named"),
        ("wide = extra_parts:Broad", "(extra_parts:Broad) cannot be loaded"),
        ("wide = extra_parts:task", "(extra_parts:task) is not a class"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line(install, monkeypatch, declared, told):
    registry = discovered(install(adapters=declared), "adapter", monkeypatch)
    with pytest.raises(UsageError) as caught:
        registry.names()
    assert "adapter 'wide' of an installed package" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def lay_file(tmp_path, monkeypatch):
    """Save a file into a package of parts, and return the file."""

    def lay(content):
        path = tmp_path / "own_parts" / "mine.py"
        path.parent.mkdir()
        (path.parent / "__init__.py").touch()
        path.write_text(content)
        return path

    monkeypatch.syspath_prepend(tmp_path)
    yield lay
    for name in ("own_parts", "own_parts.mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\nimport nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("\nint('many')\n", "ValueError: invalid literal"),
        ("\ndef broken(:\n", "SyntaxError: invalid syntax"),
    ],
)
@pytest.mark.parametrize("kind", ["adapter", "placement", "strategy", "task"])
def test_a_file_that_cannot_be_imported_is_one_line(lay_file, kind, content, told):
    path = lay_file(content)
    with pytest.raises(UsageError) as caught:
        Registry(kind, "own_parts", "none").names()
    assert str(caught.value).startswith(f"{path} (line 2) cannot be loaded: {told}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", ["Part", "LoraFamily"])
def test_a_part_that_is_no_dataclass_is_told(lay_file, monkeypatch, base):
    registry: Registry[Part] = Registry("adapter", "own_parts", "none")
    monkeypatch.setattr("methods.parts.adapter", registry.register)
    lay_file(
        "from methods.lora_family import LoraFamily\nfrom methods.parts import Part, adapter\n"
        f"@adapter('mine')\nclass Mine({base}):\n    own: int = 1\n"
    )
    with pytest.raises(UsageError, match=r"adapter 'mine' \(own_parts.mine.Mine\).*@dataclass"):
        registry.names()


def test_a_syntax_error_is_told_where_files_are_only_read(lay_file):
    path = lay_file('@study("mine")\nclass Mine(:\n    pass\n')
    with pytest.raises(UsageError) as caught:
        list(declared("own_parts", "study"))
    assert str(caught.value).startswith(f"{path} (line 2) cannot be loaded: SyntaxError")


def test_a_name_belongs_to_one_class():
    registry: Registry[Part] = Registry("adapter", "methods.adapters", "none")

    class First(Part):
        pass

    class Second(Part):
        pass

    registry.register("mine")(First)
    registry.register("mine")(First)  # a file that is imported again
    with pytest.raises(UsageError, match=r"'mine' is registered twice: .*First and .*Second"):
        registry.register("mine")(Second)


def test_a_class_without_what_its_kind_requires_is_one_line_at_registration():
    registry: Registry[Part] = Registry("adapter", "methods.adapters", "none")

    class Idle(Adapter):
        pass

    with pytest.raises(UsageError, match=r"adapter 'idle' .*Idle\) lacks .*: .* attach$"):
        registry.register("idle")(Idle)
    assert "idle" not in registry._members
