"""Makes the parts of a large report in several processes; those of a small one in this one alone.

A helper is a child with an interpreter of its own: a fork would inherit threads of torch or Ray
halfway, and `multiprocessing` would run the caller's script again. It is handed one section after
another and only adds speed: what it fails at is done here.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from threading import Thread
from types import TracebackType
from typing import IO

from bench.records import CellRecord
from bench.report.cells import unread_cell
from bench.report.parts import Part, Wanted, part_of, receive_part
from bench.store import ResultsStore
from bench.worker_count import cores

WORTH_HELP = 2000
"""Cells from which on helpers save more time than their start takes."""

MOST = 3
"""Helpers beside this process: what is left to it alone takes longer than the rest then."""

_Records = Sequence[CellRecord]


class Helpers:
    """Starts helpers at once, so that they are ready when the records are read.

    Args:
        wanted: What all parts share.
        count: How many; by default one for each core but this process's, if there are many cells.
    """

    def __init__(self, wanted: Wanted, count: int | None = None) -> None:
        self._wanted = wanted
        self._processes = [
            process
            for _ in range(_worthwhile(wanted) if count is None else count)
            if (process := _started(wanted)) is not None
        ]

    def parts(self, sections: Sequence[_Records]) -> list[Part]:
        """Return the part of each section."""
        todo, found = deque(enumerate(sections)), dict[int, Part]()
        threads = [Thread(target=self._lend, args=(p, todo, found)) for p in self._processes]
        for thread in threads:
            thread.daemon = True
            thread.start()
        self._work(todo, found)
        for thread in threads:
            thread.join()
        self._work(todo, found)  # what a helper that died has given back
        return [found[place] for place in range(len(sections))]

    def _work(self, todo: deque[tuple[int, _Records]], found: dict[int, Part]) -> None:
        while todo:
            with contextlib.suppress(IndexError):  # taken by a helper in between
                place, records = todo.popleft()
                found[place] = part_of(self._wanted, records)

    def _lend(
        self,
        process: subprocess.Popen[bytes],
        todo: deque[tuple[int, _Records]],
        found: dict[int, Part],
    ) -> None:
        """Have sections made by a helper as long as there are any and it lives."""
        store = ResultsStore(self._wanted.folder)
        while todo:
            try:
                place, records = todo.popleft()
            except IndexError:
                return
            try:
                found[place] = _made(process, store, records)
            except Exception:
                todo.append((place, records))
                return

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    _opened(pipe).close()


def _worthwhile(wanted: Wanted) -> int:
    cells = sum(1 for _ in ResultsStore(wanted.folder).cells.glob("*.json"))
    return min(cores() - 1, MOST) if cells >= WORTH_HELP else 0


def _started(wanted: Wanted) -> subprocess.Popen[bytes] | None:
    """Return a helper that imports what it needs; None where none can be started."""
    from bench.worker_process import import_path  # a small report does without

    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.report.helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong is told when it goes wrong here
            env={**os.environ, "PYTHONPATH": import_path()},
        )
        pickle.dump(wanted, _opened(process.stdin))
    except OSError:
        return None
    return process


def _made(process: subprocess.Popen[bytes], store: ResultsStore, records: _Records) -> Part:
    """Have a helper make the part of a section.

    Raises:
        Exception: Of any kind, where the helper has died.
    """
    request, answer = _opened(process.stdin), _opened(process.stdout)
    pickle.dump([record.cell_id for record in records], request)
    request.flush()
    return receive_part(answer, {r.cell_id: unread_cell(store, r) for r in records})


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "this pipe was asked for"
    return pipe
