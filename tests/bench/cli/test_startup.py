"""What names alone need comes at once: no torch, and at most half a second of computing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import commands
from bench.cli.common import first_line

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "transformers", "peft", "lm_eval", "datasets", "pandas", "matplotlib"}
OF_OTHER_COMMANDS = {"numpy", "pydantic", "psutil", "yaml", "bench.config.options"}

AT_ONCE = {"--help": "run ", "list": "corda", "list --compare": "A and B"}
"""What is typed, and a word of the answer."""

WITHOUT_TORCH = {
    "run --help": "--forgetting-limit",
    "run --methods lorra": "lora",
    "plan --tasks countris": "countries",
    "run --models smollm-135m": "smollm2-135m",
    "run --out LICENSE/results": "LICENSE",
    "study --help": "placement",
    "study interference --help": "--exposures",
    "study placement --help": "--cuts",
    "study calibration --help": "kpm,ipm",
    "study order --help": "--exposures",
    "study sequence --help": "--parts",
    "study placement --method lorra": "lora",
    "study order --methods lora+filter": "write lora",
    "study sequence --methods lorra": "lora",
    "push 680684d7 me/lora --out results/example": "--save-adapters",
    "merge 680684d7 merged --out results/example": "--save-adapters",
    "export-adapter zz exported --out results/example": "no cell 'zz'",
    "card --out results/example": "--save-adapters",
    "study calibration --sources elemnts": "elements",
}
ANSWERS = """
import contextlib, io, json, sys
from bench.cli import main
for typed in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(typed.split())
    print(json.dumps({"status": status, "said": said.getvalue(), "imported": [*sys.modules]}))
"""


@pytest.fixture(scope="module")
def answers():
    """What one process answers to all of these, one after another, and has imported by then."""
    typed = [*AT_ONCE, *WITHOUT_TORCH]
    command = [sys.executable, "-c", ANSWERS, json.dumps(typed)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(zip(typed, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("typed", [*AT_ONCE, *WITHOUT_TORCH])
def test_names_are_answered_without_heavy_imports(answers, typed):
    answer = answers[typed]
    wrong = "--help" not in typed and typed not in AT_ONCE
    assert answer["status"] == (2 if wrong else 0)
    assert {**AT_ONCE, **WITHOUT_TORCH}[typed] in answer["said"]
    imported = set(answer["imported"])
    assert "bench.cli" in imported
    assert not imported & HEAVY
    assert typed not in AT_ONCE or not imported & OF_OTHER_COMMANDS


def test_help_shows_of_a_command_what_its_own_help_begins_with():
    for name, place in commands.lazy.items():
        command = commands.get_command(None, name)
        assert (command.name, command.help.partition("\n")[0]) == (name, first_line(place))


@pytest.mark.parametrize(
    "module", ["bench", "bench.pages.performance", "bench.cli", "methods", "tasks"]
)
def test_importing_the_packages_imports_no_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def computing_seconds(*command):
    """Run Python; return the user and system seconds that it took, without waiting."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.machine
@pytest.mark.parametrize(
    ("typed", "seconds"), [*((t, 0.5) for t in AT_ONCE), *((t, 1.0) for t in WITHOUT_TORCH)]
)
def test_names_are_answered_in_half_a_second_or_one(typed, seconds):
    pytest.importorskip("resource", reason="counts the computing time of child processes")
    # The least of some: the first writes byte code, and what else runs makes the same work dearer.
    measured = (computing_seconds("-m", "bench", *typed.split()) for _ in range(4))
    assert min(measured) <= seconds
