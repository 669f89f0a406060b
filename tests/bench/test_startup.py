"""What names alone need comes at once: no torch, and at most half a second of computing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="counts the computing time of child processes")
ROOT = Path(__file__).parents[2]
SECONDS = 0.5


def computing_seconds(*command):
    """Run Python; return the user and system seconds that it took, without waiting."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.skipif(os.getloadavg()[0] > (os.cpu_count() or 1), reason="the machine is busy")
@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_take_half_a_second_at_most(arguments):
    computing_seconds("-m", "bench", *arguments)  # writes byte code
    # The least of some: what else runs on a core makes the same work dearer.
    assert min(computing_seconds("-m", "bench", *arguments) for _ in range(5)) <= SECONDS


@pytest.mark.parametrize("module", ["bench", "bench.perf", "bench.cli", "methods", "tasks"])
def test_importing_the_packages_imports_no_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
