"""A worker as a child process: `python -m bench.execution.worker`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, AnyStr

from bench import child_environment
from bench.execution.messages import Job, Message

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerProcess:
    """A process that does one job; it starts its imports before it gets the job.

    Args:
        threads: How many threads it computes with.
        folder: Its working folder, which paths in the job are relative to; by default that of this
            process.
        capture: Whether `errors` yields its standard error; else it is shown directly.
    """

    def __init__(self, threads: int, *, folder: Path | None = None, capture: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if capture else None,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=folder,
            env=child_environment() | dict.fromkeys(_THREAD_VARIABLES, str(threads)),
            start_new_session=True,  # Ctrl-C reaches the process that ends them in order
        )

    def give(self, job: Job) -> None:
        """Send it the job."""
        try:
            opened(self._process.stdin).write(job.model_dump_json() + "\n")
            opened(self._process.stdin).flush()
        except BrokenPipeError:
            pass  # it died at once, which its reader notices

    def messages(self) -> Iterator[Message]:
        """Yield its messages until it has ended."""
        return (Message.model_validate_json(line) for line in opened(self._process.stdout))

    def errors(self) -> Iterator[str]:
        """Yield the lines of its standard error until it has ended."""
        return (line.rstrip() for line in opened(self._process.stderr))

    def stop(self) -> None:
        """Ask it to store a note of its running cell, release its claim and end."""
        self._process.terminate()

    def end(self, seconds: float) -> None:
        """Wait up to `seconds` for it to end, then kill it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def death(self) -> str:
        """Wait until it has ended; return why it died, empty if it ended normally."""
        code = self._process.wait()
        if code >= 0:
            return f"exit status {code}" if code else ""
        with suppress(ValueError):  # a signal without a name
            return signal.Signals(-code).name
        return f"signal {-code}"


def opened(pipe: IO[AnyStr] | None) -> IO[AnyStr]:
    """Return a pipe that a child process was started with."""
    assert pipe is not None, "this pipe was not asked for"
    return pipe
