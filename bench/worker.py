"""`python -m bench.worker`: a process that runs cells of a grid for another one.

It reads one job, a line of JSON, from standard input and tells what happens as lines of JSON on
standard output. When its input ends, the process that started it is gone, and it ends too.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from types import FrameType
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict

from bench.cell import PlannedCell
from bench.claims import Claims, Process, this_process
from bench.failures import NoSpaceError
from bench.grid import find_cells
from bench.options import Executor, RunOptions
from bench.progress import PlainProgress, end_line
from bench.quiet import quiet_libraries
from bench.store import ResultsStore, Stamp
from tasks.errors import UsageError


class Job(BaseModel):
    """What a worker is to do.

    Attributes:
        options: The run's `RunOptions`, with the worker's own device.
        stamps: The cells to run, with the stamps of their records when the run began.
        number: The worker's, from 1.
        threads: It computes with.
        wait: Whether to wait for cells that run elsewhere.
    """

    model_config = ConfigDict(frozen=True)

    options: dict[str, Any]
    stamps: dict[str, Stamp | None]
    number: int
    threads: int
    wait: bool


class Kind(StrEnum):
    """What a message says."""

    STARTED = "started"
    CELL = "cell"
    LINE = "line"
    ENDED = "ended"
    USAGE = "usage"
    NO_SPACE = "no space"


class Message(BaseModel):
    """One line of a worker to the process that started it.

    Attributes:
        kind, text: What it says.
        process: With `STARTED`: who will claim cells.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    text: str = ""
    process: Process | None = None


class TellingProgress(PlainProgress):
    """Tells what happens to the process that started this one.

    Args:
        tell: Receives messages.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        super().__init__(sys.stderr)
        self._tell = tell

    def cell(self, index: int, total: int, label: str) -> None:
        """Tell which cell starts; how many are done is known there."""
        self._left.start_cell(0)
        self._tell(Message(kind=Kind.CELL, text=label))

    def end_cell(self, status: str, line: str) -> None:
        """Tell how the cell ended."""
        text = end_line(status, self._left.end_cell(), line)
        self._tell(Message(kind=Kind.ENDED, text=text))

    def _say(self, line: str) -> None:
        self._last_line = self._now()
        self._tell(Message(kind=Kind.LINE, text=line.strip()))


def main() -> int:
    """Do the job on standard input; return the exit status."""
    quiet_libraries()
    tell = _messages()
    job = Job.model_validate_json(sys.stdin.readline())
    _end_when_asked()
    tell(Message(kind=Kind.STARTED, process=this_process()))
    try:
        _work(job, tell)
    except UsageError as error:
        tell(Message(kind=Kind.USAGE, text=str(error)))
    except NoSpaceError as error:
        tell(Message(kind=Kind.NO_SPACE, text=str(error)))
    except KeyboardInterrupt:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway: no word of that on the way out
    return 0


def _work(job: Job, tell: Callable[[Message], None]) -> None:
    import torch

    from bench.device import choose_compute
    from bench.work import Work
    from bench.workbench import Workbench

    torch.set_num_threads(job.threads)
    options = RunOptions.model_validate(job.options)
    store = ResultsStore(options.out)
    compute = choose_compute(options.device, options.dtype)  # of this machine, on which it runs
    if options.executor is not Executor.LOCAL:
        compute = compute._replace(host=platform.node())
    if compute.device.startswith("cuda"):
        torch.cuda.set_device(compute.device)  # else caches are emptied, and made, on the first
    progress = TellingProgress(tell)
    with Claims(store.folder) as claims:
        work = Work(Workbench(options, compute, progress.note), store, claims, progress)
        work.run(_in_turn(_cells(job, options, store), job.number), wait=job.wait)


def _cells(job: Job, options: RunOptions, store: ResultsStore) -> list[PlannedCell]:
    """Find the job's cells; a record written since the run began is another process's."""
    return [
        replace(cell, stamp=job.stamps[cell.cell_id])
        for cell in find_cells(options, store, job.stamps)
    ]


def _in_turn(cells: Sequence[PlannedCell], number: int) -> list[PlannedCell]:
    """Begin with another model than the worker before, so that few load the same one."""
    models = list(dict.fromkeys(cell.spec.model for cell in cells))
    turned = [models[(place + number - 1) % len(models)] for place in range(len(models))]
    return [cell for model in turned for cell in cells if cell.spec.model == model]


def _messages() -> Callable[[Message], None]:
    """Keep standard output for messages; what else is printed goes to standard error."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: Message) -> None:
        try:
            print(message.model_dump_json(), file=messages, flush=True)
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)  # nobody listens any more

    return tell


def _end_when_asked() -> None:
    """End at SIGTERM and when standard input ends, once: the cell in flight is noted."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, interrupt)
    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
