"""Runs in processes of their own that import torch once: `python -m tests.bench.runs`.

Reads lines of JSON, each the arguments of the command line; forks a child for each line, prints
its pid, and goes on at once. `wait` instead waits for all children and prints their statuses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

HEAVY = ("bench.execution.run", "bench.report.write")
ROOT = Path(__file__).parents[2]


class Runs:
    """Starts runs as processes; a context manager that leaves none behind."""

    def __enter__(self):
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.runs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        assert self._answer() == "ready"
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait(timeout=600)
        self._server.stdout.close()

    def start(self, *arguments):
        """Start a run and return its pid."""
        return self._ask(list(map(str, arguments)))

    def wait(self):
        """Return the exit statuses of all runs by pid; a killed one's is minus the signal."""
        return {int(pid): status for pid, status in self._ask("wait").items()}

    def _ask(self, line):
        self._server.stdin.write(json.dumps(line) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self):
        return json.loads(self._server.stdout.readline())


def serve():
    """Import what a run needs, then do as told until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    from bench.libraries import quiet_libraries

    quiet_libraries()
    for module in ("peft", "transformers.models.llama.modeling_llama", *HEAVY):
        import_module(module)
    # Plots have tests of their own, and take longer than a grid of four cells.
    import_module("bench.report.plots").draw_plots = lambda *_: ()
    from bench.cli import main

    answer("ready")
    children = []
    for line in sys.stdin:
        command = json.loads(line)
        if command == "wait":
            waited = {pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children}
            children = []
            answer(waited)
            continue
        pid = os.fork()
        if pid == 0:
            os._exit(main(command))
        children.append(pid)
        answer(pid)


if __name__ == "__main__":
    serve()
