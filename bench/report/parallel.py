"""Reads and renders the sections of a large report in several processes.

Other processes only add speed: what they fail at is done in this one. They start with a fresh
interpreter ("spawn"), since a fork would inherit threads of torch or Ray halfway. Whatever takes
long to import is imported inside functions here, so that the processes are started before this
one imports it, and import it at the same time.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.leaderboard.board import Leaderboard
    from bench.report.leaderboard.load import BoardSource, ReadSection
    from bench.store.records import CellRecord

WORTH_PROCESSES = 2000
"""With this many cells or more, other processes save more time than they take to start."""

MOST_PROCESSES = 3
"""More do not help: what is left to this process alone takes longer than their share."""

IN_FLIGHT = 2
"""Sections handed to each process at a time, so that it has the next one when one is done."""

_records: dict[str, CellRecord] = {}
"""By cell id all records of the results folder; filled in the other processes alone."""


@dataclass(frozen=True, slots=True)
class Position:
    """What the texts of a section depend on beside its rows.

    Attributes:
        title: Unique in the report.
        number: Its place in the report, from 1.
        examples: How many of its rows show example answers on the page.
    """

    title: str
    number: int
    examples: int


@dataclass(frozen=True, slots=True)
class SectionTexts:
    """A section as it stands in `leaderboard.md`, `.tex` and `.html`, there without plots."""

    markdown: str
    tex: str
    html: str


@dataclass(frozen=True, slots=True)
class RenderedSection:
    """A section with its texts, None where no cell of it can be read."""

    read: ReadSection
    texts: SectionTexts | None


@contextmanager
def report_processes(
    folder: Path, count: int | None = None
) -> Iterator[ProcessPoolExecutor | None]:
    """Start processes that read a results folder, and end them afterwards.

    Like all of `multiprocessing` they import the main module again, so a script of yours that
    calls this needs the usual `if __name__ == "__main__":`.

    Args:
        folder: The results folder.
        count: How many processes; by default one per core but one, and none for few cells.

    Yields:
        The processes, or None where none are needed or none can be started.
    """
    if count is None:
        count = _worthwhile(folder)
    others = set(active_children())
    pool = None
    try:
        if count:
            # Some systems have no semaphores, or no room for another process.
            with suppress(OSError, NotImplementedError, ImportError, BrokenProcessPool):
                starting = ProcessPoolExecutor(count, get_context("spawn"), _prepare, (folder,))
                with _blocked_interrupts():
                    for _ in range(count):
                        starting.submit(int)  # each starts a process
                pool = starting
        yield pool
    finally:
        # Nothing they hold can be lost, and freeing ten thousand cells would take them a second.
        for process in set(active_children()) - others:
            process.kill()
        if pool:
            pool.shutdown()


def load_rendered(
    source: BoardSource, pool: ProcessPoolExecutor | None
) -> tuple[Leaderboard, dict[str, SectionTexts]]:
    """Read a results folder, and with the help of other processes render its sections too.

    Args:
        source: What is read.
        pool: The processes of `report_processes`; without them nothing is rendered.

    Returns:
        The leaderboard, and by title the texts of sections that are rendered.

    Raises:
        DamagedRowsError: The texts of a rendered section's facts cannot be read.
        UsageError: The folder holds no cells at all, or none of the reference.
    """
    from bench.report.leaderboard.build import by_section, section_titles
    from bench.report.leaderboard.load import joined, load_leaderboard, stored_records
    from bench.report.leaderboard.tuned_grids import reporting_spec

    if pool is None:
        return load_leaderboard(source.folder, source.reference, source.damaged), {}
    found = stored_records(source.folder)
    groups = by_section(found.records, lambda record: record.spec)
    expected = _positions(section_titles([reporting_spec(group[0].spec) for group in groups]))
    made = _render_all(source, list(zip(groups, expected, strict=True)), pool)
    board = joined(source, found.problems, [section.read for section in made])

    # A section without a cell that can be read moves those after it: their texts do not hold.
    texts = dict(zip(expected, (section.texts for section in made), strict=True))
    there = {p.title: texts.get(p) for p in _positions([s.title for s in board.sections])}
    return board, {title: found for title, found in there.items() if found}


@contextmanager
def bulk_settings() -> Iterator[None]:
    """Collect no garbage and multiply matrices in one thread, which suits very many cells.

    What is read lives to the end, and looking through it takes a tenth of the time. The matrices
    are small: a second thread would mostly wait, on a core that another process works on.
    """
    from threadpoolctl import threadpool_limits

    enabled = gc.isenabled()
    gc.disable()
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started meanwhile never hear of it.

    It ends this process, which ends them, instead of a traceback from each.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worthwhile(folder: Path) -> int:
    if sum(1 for _ in (folder / "cells").glob("*.json")) < WORTH_PROCESSES:
        return 0
    from bench.models.device import cores

    return min(cores() - 1, MOST_PROCESSES)


def _positions(titles: Sequence[str]) -> list[Position]:
    from bench.report.tables.limits import example_rows

    examples = example_rows(len(titles))
    return [Position(title, number, examples) for number, title in enumerate(titles, 1)]


def _render_all(
    source: BoardSource,
    sections: Sequence[tuple[list[CellRecord], Position]],
    pool: ProcessPoolExecutor,
) -> list[RenderedSection]:
    """Render sections in this process and in others, from both ends of the list."""
    made: dict[int, RenderedSection] = {}
    left = deque(range(len(sections)))
    running: dict[Future[bytes], int] = {}
    room = IN_FLIGHT * len(active_children())
    while left or running:
        with suppress(BrokenProcessPool, OSError):
            while left and len(running) < room:
                records, position = sections[left[0]]
                ids = [record.cell_id for record in records]
                running[pool.submit(_render_there, source, ids, position)] = left[0]
                left.popleft()
        if left:
            number = left.pop()
            made[number] = _render(source, *sections[number])
        done, _ = wait(running, timeout=0 if left else None, return_when=FIRST_COMPLETED)
        for future in done:
            number = running.pop(future)
            made[number] = _result(future, source, *sections[number])
    return [made[number] for number in range(len(sections))]


def _result(
    future: Future[bytes], source: BoardSource, records: Sequence[CellRecord], position: Position
) -> RenderedSection:
    """Return what another process made, or make it here if that failed in any way."""
    from bench.report.leaderboard.read_cells import with_cells
    from bench.store.store import ResultsStore

    try:
        made: RenderedSection = with_cells(future.result(), ResultsStore(source.folder), records)
        return made
    except Exception:
        return _render(source, records, position)


def _render(
    source: BoardSource, records: Sequence[CellRecord], position: Position
) -> RenderedSection:
    """Read a section and render it for its position.

    Raises:
        DamagedRowsError: The texts of its facts cannot be read.
    """
    from bench.report.html.page import section_html
    from bench.report.leaderboard.load import read_section
    from bench.report.tables.latex import section_tex
    from bench.report.tables.markdown import section_markdown

    read = read_section(source, records)
    if read.section is None:
        return RenderedSection(read, None)
    section = replace(read.section.section, title=position.title)
    texts = SectionTexts(
        markdown=section_markdown(section),
        tex=section_tex(section),
        html=section_html(section, position.number, position.examples),
    )
    return RenderedSection(read, texts)


def _prepare(folder: Path) -> None:
    """Read all records in another process, while the one that started it reads them too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked already
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what fails is done again, and told, over there
    Thread(target=_end_with_parent, daemon=True).start()

    from threadpoolctl import threadpool_limits

    from bench.store.store import ResultsStore

    gc.disable()
    threadpool_limits(limits=1, user_api="blas")
    _records.update({r.cell_id: r for r in ResultsStore(folder).records().records})


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: it would wait for ever."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _render_there(source: BoardSource, ids: Sequence[str], position: Position) -> bytes:
    """Render a section in another process, for `_result`."""
    from bench.report.leaderboard.read_cells import without_cells

    return without_cells(_render(source, [_records[cell_id] for cell_id in ids], position))
