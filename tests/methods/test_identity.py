"""What a part's cells are identified by: its own code and the versions of what it shares."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from methods import identity
from methods.adapters.dora import Dora
from methods.identity import syntax_digest
from methods.recipe import parse_recipe
from methods.signals import Signals
from methods.versions import MACHINERY, REWRITTEN

SNIPPET = '''
"""A module."""
from __future__ import annotations

@decorate(n=1)
class Part(Base, key=None):
    """A class."""
    size: int = 2
    """An attribute."""
    empty = "", [], {**more}

    def layers(self, *, count: int = 0) -> tuple[int, ...]:
        """A method."""
        # a comment
        try:
            return tuple(f"{n=!r:>{count}} {{x}} é" for n in range(-1, count) if not n % 2)
        except* ValueError:
            match self.size:
                case [1, *_] | {"a": None}:
                    return ...
        lambda x, /, y=1e-12: (yield x)

    async def later(self) -> None: ...
'''
DIGEST = "52c63b13c048e98d55c7bc4ec53ba0fe250052c80fb2abff494b4e975b58c95c"
METHODS = ("lora", "dora", "pissa", "corda", "lora+filter", "lora+freeze", "lora+reweight", "full")
METHODS += ("astra", "corda_pp", "mica")
METHODS += ("lora_ga",)


def test_the_digest_is_the_same_under_every_python():
    assert syntax_digest(SNIPPET.encode()) == DIGEST


@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_another_python_that_is_installed_finds_it_too(python):
    if shutil.which(python) is None:
        pytest.skip(f"no {python} here")
    program = "from methods.identity import syntax_digest; import sys; " + (
        "print(syntax_digest(sys.stdin.buffer.read()))"
    )
    folder = Path(identity.__file__).parents[1]
    done = subprocess.run(
        [python, "-c", program], input=SNIPPET.encode(), capture_output=True, cwd=folder,
        env={"PATH": os.environ["PATH"]}, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{python} does not start here")
    assert done.stdout.decode().strip() == DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another."""'),
        ('    """A class."""\n', ""),
        ('    """An attribute."""\n', ""),
        ("# a comment", "# another"),
        ("        # a comment\n", "\n\n"),
        ("def layers(self, *, count", "def layers(\n        self, *, count"),
    ],
)
def test_wording_and_layout_do_not_count(old, new):
    assert old in SNIPPET
    assert syntax_digest(SNIPPET.replace(old, new).encode()) == DIGEST


@pytest.mark.parametrize("said", ['trains = "A"', "starts_as_base = False", "needs_data = None"])
def test_what_is_said_of_an_adapter_for_people_does_not_count(said):
    bare = "class Lora:\n    rate = 1\n"
    assert syntax_digest(f"{bare}    {said}\n".encode()) == syntax_digest(bare.encode())
    assert syntax_digest(f"{bare}    rate2, {said}\n".encode()) != syntax_digest(bare.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 2", "size: int = 3"),
        ("1e-12", "1e-13"),
        ("n % 2", "n // 2"),
        ("key=None", "key=False"),
        ('"", []', '"x", []'),
        ('"", []', "[]"),
        ("{{x}}", "{x}"),
        ("{**more}", "{more: more}"),
        ("x, /, y", "x, y"),
    ],
)
def test_what_a_program_does_counts(old, new):
    assert old in SNIPPET
    assert syntax_digest(SNIPPET.replace(old, new).encode()) != DIGEST


def digests():
    return {method: parse_recipe(method).source_digest for method in METHODS}


def changed(before):
    return {method for method, digest in digests().items() if digest != before[method]}


def test_parameters_do_not_count_twice():
    assert parse_recipe("lora").source_digest == parse_recipe("lora[r=4]").source_digest
    assert len(set(digests().values())) == len(METHODS)


def test_a_raised_version_of_a_part_reaches_its_own_cells(monkeypatch):
    before = digests()
    monkeypatch.setattr(Dora, "version", 2)
    assert changed(before) == {"dora"}


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("low-rank starts", {"pissa", "corda", "astra", "corda_pp", "mica", "lora_ga"}),
        ("projections", {"astra"}),
        ("ranks by layer", {"corda_pp"}),
        ("covariance", {"corda", "astra", "corda_pp"}),
        ("gradient", {"lora_ga"}),
        ("calibration", {"corda", "astra", "corda_pp", "lora_ga"}),
        ("distance", {"lora+filter", "lora+reweight", "lora+freeze"}),
        ("filters", {"lora+filter"}),
        ("weights", {"lora+reweight"}),
        ("cuts", {"lora+freeze"}),
        ("PEFT's types", set()),
        ("low-rank adapters", {*METHODS} - {"full"}),
        ("targets", {*METHODS}),
    ],
)
def test_a_raised_version_of_machinery_reaches_those_who_use_it(monkeypatch, name, users):
    before = digests()
    raised = replace(MACHINERY[name], version=MACHINERY[name].version + 1)
    monkeypatch.setitem(MACHINERY, name, raised)
    assert changed(before) == users


OLD = "2bd5e12bc492904e1174993d5cc02871683e101d4b017e622da7d12956dfc83f"
"""The digest of `corda.py` before what it shares with other starts from data moved out of it."""


def test_a_file_rewritten_without_another_number_counts_as_before_until_it_is_edited(monkeypatch):
    corda = Path(identity.__file__).parent / "adapters" / "corda.py"
    assert REWRITTEN[syntax_digest(corda.read_bytes())] == OLD
    before, read = digests(), Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + (b"\nTOP = 1\n" if path == corda else b"")
    )
    assert changed(before) == {"corda"}
    monkeypatch.setattr(identity, "REWRITTEN", {})
    assert "corda" in changed(before)


def test_machinery_that_is_not_listed_counts_with_its_code(monkeypatch):
    unlisted = dict(MACHINERY)
    del unlisted["weights"]
    monkeypatch.setattr(identity, "MACHINERY", unlisted)
    before = digests()
    read, weighting = Path.read_bytes, Path(identity.__file__).with_name("weighting.py")

    def edited(path):
        return read(path) + (b"\nLOWEST = 0.1\n" if path == weighting else b"")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert changed(before) == {"lora+reweight"}


@pytest.mark.parametrize(
    "imported",
    [
        "import methods.weighting",
        "from methods import weighting",
        "from ..weighting import log_u",
        "def later():\n    from methods.weighting import log_u",
        "import importlib\nimportlib.import_module('methods.weighting')",
        "from importlib import import_module\nimport_module('..weighting', __package__)",
        "if not TYPE_CHECKING:\n    from methods.weighting import log_u",
        "if MY_TYPE_CHECKING:\n    from methods.weighting import log_u",
        "if mine.TYPE_CHECKING:\n    from methods.weighting import log_u",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from methods.weighting import log_u",
    ],
)
def test_an_import_is_found_however_it_is_written(imported):
    read = identity._read(imported.encode(), "methods.strategies")
    assert "methods.weighting" in read.imports


@pytest.mark.parametrize("condition", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_is_imported_for_type_checking_does_not_count(condition):
    source = f"if {condition}:\n    from methods.weighting import log_u"
    assert not identity._read(source.encode(), "methods.strategies").imports


def test_every_module_that_is_listed_is_there():
    for entry in MACHINERY.values():
        for module in entry.modules:
            assert importlib.util.find_spec(module), module


def test_every_signal_is_computed_by_machinery_with_a_version():
    """All but what the cell itself is of, whether the base knows the facts, and others' signals."""
    given = {"facts", "prompt", "model", "tokenizer", "known", "get"}
    asked = {name for name in vars(Signals) if not name.startswith("_")} - given
    assert asked | {"calibration_batches"} == {
        signal for entry in MACHINERY.values() for signal in entry.signals
    }


def test_a_listed_module_is_in_one_piece_alone():
    modules = [module for entry in MACHINERY.values() for module in entry.modules]
    assert len(modules) == len(set(modules))
