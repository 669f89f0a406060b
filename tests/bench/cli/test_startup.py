"""What names alone need comes at once: no torch, and at most half a second of computing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import commands
from bench.cli.common import Deferred

resource = pytest.importorskip("resource", reason="counts the computing time of child processes")
ROOT = Path(__file__).parents[3]
SECONDS = 0.5


def computing_seconds(*command):
    """Run Python; return the user and system seconds that it took, without waiting."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_take_half_a_second_at_most(arguments):
    computing_seconds("-m", "bench", *arguments)  # writes byte code
    # The least of some: what else runs on a core makes the same work dearer.
    assert min(computing_seconds("-m", "bench", *arguments) for _ in range(3)) <= SECONDS


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_import_nothing_that_only_other_commands_need(arguments):
    code = f"import sys; from bench.cli import main; main({arguments}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert "bench.cli" in imported
    assert not imported & {"torch", "numpy", "pydantic", "psutil", "yaml", "bench.config.options"}


def test_help_says_of_a_command_what_its_own_help_says():
    deferred = {n: c for n, c in commands.commands.items() if isinstance(c, Deferred)}
    assert set(commands.commands) - set(deferred) == {"list"}
    for name, stand_in in deferred.items():
        command = stand_in.load()
        assert (command.name, command.get_short_help_str(200)) == (
            name,
            stand_in.get_short_help_str(200),
        )


@pytest.mark.parametrize(
    "module", ["bench", "bench.pages.performance", "bench.cli", "methods", "tasks"]
)
def test_importing_the_packages_imports_no_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
