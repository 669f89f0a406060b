"""`python -m bench.execution.worker`: a process that runs cells of a grid for another one.

It reads one job, a line of JSON, from standard input and reports what happens as lines of JSON on
standard output. When its input ends, the process that started it is gone, and it ends, too.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from bench.config.options import Executor, RunOptions
from bench.execution.leases import Claims, this_process
from bench.execution.messages import Job, Kind, Message
from bench.failures import NoSpaceError
from bench.libraries import quiet_libraries
from bench.planning.resolver import resolve
from bench.progress.base import Silent
from bench.store.store import ResultsStore
from tasks.errors import UsageError

STEP_SECONDS = 0.5
"""Minimum time between two messages about the steps of a phase."""


class TellingProgress(Silent):
    """Reports what happens to the process that started this one.

    Args:
        tell: Receives messages.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._told_step = 0.0

    def cell(self, index: int, total: int, label: str, together: int = 1) -> None:
        """Report which cell starts, or which ones; the other process counts them."""
        self._tell(Message(kind=Kind.CELL, text=label, steps=together))

    def phase(self, name: str, steps: int | None = None) -> None:
        """Report which phase starts."""
        self._tell(Message(kind=Kind.PHASE, text=name, steps=steps))

    def step(self, done: int, loss: float | None = None) -> None:
        """Report how far the phase is, once in a while."""
        now = time.monotonic()
        if now - self._told_step >= STEP_SECONDS:
            self._told_step = now
            self._tell(Message(kind=Kind.STEP, steps=done, loss=loss))

    def note(self, line: str) -> None:
        """Report the line."""
        self._tell(Message(kind=Kind.LINE, text=line))

    def end_cell(self, status: str, line: str) -> None:
        """Report how the cell ended."""
        self._tell(Message(kind=Kind.ENDED, text=status, detail=line))


def main() -> int:
    """Do the job on standard input; return the exit status."""
    quiet_libraries()
    tell = _messages()
    # What any cell needs takes seconds to import: before it is known what to do.
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    import bench.execution.queue  # noqa: F401

    given = sys.stdin.readline()
    if not given.endswith("\n"):  # the process that started this one is gone
        return 0
    job = Job.model_validate_json(given)
    try:
        ends_anyway = _end_when_asked()
        tell(Message(kind=Kind.STARTED, process=this_process()))
        try:
            _work(job, tell)
        except UsageError as error:
            tell(Message(kind=Kind.USAGE, text=str(error)))
        except NoSpaceError as error:
            tell(Message(kind=Kind.NO_SPACE, text=str(error)))
        ends_anyway()
    except KeyboardInterrupt:
        pass
    return 0


def _work(job: Job, tell: Callable[[Message], None]) -> None:
    import torch

    from bench.cell.context import CellContext
    from bench.execution.queue import Work
    from bench.models.device import compute_of

    torch.set_num_threads(job.threads)
    options = RunOptions.model_validate(job.options)
    store = ResultsStore(options.out)
    compute = compute_of(options, here=True)
    if options.executor is not Executor.LOCAL:
        compute = compute._replace(host=platform.node())
    if compute.device.startswith("cuda"):
        torch.cuda.set_device(compute.device)  # else caches are emptied, and made, on the first
    progress = TellingProgress(tell)
    with Claims(store.folder) as claims:
        bench = CellContext(options, compute, progress.note)
        work = Work(bench, store, claims, progress)
        cells = resolve(job.cells, options)
        for line in bench.forgetting_notes(cells):
            tell(Message(kind=Kind.CAUTION, text=line))
        # Start with another model than the previous worker, so that few load the same one.
        models = list(dict.fromkeys(cell.spec.model for cell in cells))
        place = {model: (at - job.number + 1) % len(models) for at, model in enumerate(models)}
        work.run(sorted(cells, key=lambda cell: place[cell.spec.model]), wait=job.wait)


def _messages() -> Callable[[Message], None]:
    """Keep standard output for messages; what else is printed goes to standard error."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: Message) -> None:
        try:
            print(message.model_dump_json(), file=messages, flush=True)
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)  # nobody is listening any more

    return tell


def _end_when_asked() -> Callable[[], None]:
    """End at SIGTERM and when standard input ends, after storing a note of the running cell.

    Returns:
        A function to call when this process ends on its own: from then on it ignores SIGTERM, so
        that no traceback is written on the way out.
    """
    heeded = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if heeded:
            raise KeyboardInterrupt

    def ends_anyway() -> None:
        nonlocal heeded
        heeded = False  # first: setting a handler is Python code, in which a signal may arrive
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def again(lost: sys.UnraisableHookArgs) -> None:
        # Raised inside a destructor or the like, where Python ignores it: it comes once more.
        if lost.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(lost)
            return
        signal.signal(signal.SIGTERM, interrupt)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, interrupt)
    sys.unraisablehook = again
    threading.Thread(target=watch, name="parent", daemon=True).start()
    return ends_anyway


if __name__ == "__main__":
    sys.exit(main())
