"""Starts the processes that help with a large report, before anything slow is imported.

A helper is a child with an interpreter of its own: a fork would inherit threads of torch or Ray
halfway, and `multiprocessing` would run the caller's script again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.execution.worker_process import import_path, opened
from bench.models.device import cores

WORTH_HELP = 2000
"""Cells from which on helpers save more time than their start takes."""

MOST = 3
"""Helpers beside this process: what is left to it alone takes longer than the rest then."""


class HelperProcess:
    """Reads the records of a results folder, then makes what it is asked for.

    Attributes:
        requests, answers: Its standard input and output.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.report.helper", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong is told when it goes wrong here
            env={**os.environ, "PYTHONPATH": import_path()},
        )
        self.requests = opened(self._process.stdin)
        self.answers = opened(self._process.stdout)

    def end(self) -> None:
        """Kill it; it holds nothing that could be lost."""
        self._process.kill()
        self._process.wait()
        for pipe in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def helper_processes(folder: Path, count: int | None = None) -> Iterator[list[HelperProcess]]:
    """Start helpers for a results folder and end them afterwards; none where none can be started.

    Args:
        folder: The results folder.
        count: How many; by default one for each core but this process's, if there are many cells.
    """
    processes: list[HelperProcess] = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(_worthwhile(folder) if count is None else count):
                processes.append(HelperProcess(folder))
        yield processes
    finally:
        for process in processes:
            process.end()


def _worthwhile(folder: Path) -> int:
    cells = sum(1 for _ in (folder / "cells").glob("*.json"))
    return min(cores() - 1, MOST) if cells >= WORTH_HELP else 0
