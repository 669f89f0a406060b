"""Makes the parts of a large report in several processes; those of a small one in this one alone.

Helpers are handed one section after another and only add speed: what they fail at is done here.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread

from bench.report.helper_processes import HelperProcess
from bench.report.leaderboard.read_cells import unread_cell
from bench.report.parts import Part, Wanted, part_of, receive_part
from bench.report.tables.section_texts import Place
from bench.store.records import CellRecord
from bench.store.store import ResultsStore


@dataclass(frozen=True, slots=True)
class _Task:
    """A section to be made: its number from 0, its records, and the place it is rendered for."""

    number: int
    records: Sequence[CellRecord]
    place: Place | None


class Helpers:
    """Makes parts here and in other processes.

    Args:
        wanted: What all parts share.
        processes: That help; ended by whoever started them.
    """

    def __init__(self, wanted: Wanted, processes: Sequence[HelperProcess] = ()) -> None:
        self._wanted = wanted
        self._processes = processes

    def parts(
        self, sections: Sequence[Sequence[CellRecord]], places: Sequence[Place]
    ) -> list[Part]:
        """Return the part of each section, rendered for its place where there are helpers.

        Raises:
            DamagedRowsError: A section is rendered, and the texts of its facts cannot be read.
        """
        todo, found = deque[_Task](), dict[int, Part]()
        for number, (records, place) in enumerate(zip(sections, places, strict=True)):
            todo.append(_Task(number, records, place if self._processes else None))
        threads = [Thread(target=self._lend, args=(p, todo, found)) for p in self._processes]
        for thread in threads:
            thread.daemon = True
            thread.start()
        self._work(todo, found)
        for thread in threads:
            thread.join()
        self._work(todo, found)  # what a helper that died has given back
        return [found[number] for number in range(len(sections))]

    def _work(self, todo: deque[_Task], found: dict[int, Part]) -> None:
        while todo:
            try:
                task = todo.popleft()
            except IndexError:  # taken by a helper in between
                return
            found[task.number] = part_of(self._wanted, task.records, task.place)

    def _lend(self, process: HelperProcess, todo: deque[_Task], found: dict[int, Part]) -> None:
        """Have sections made by a helper as long as there are any and it lives."""
        while todo:
            try:
                task = todo.popleft()
            except IndexError:
                return
            try:
                found[task.number] = _made(process, self._wanted, task)
            except Exception:
                todo.append(task)
                return


def _made(process: HelperProcess, wanted: Wanted, task: _Task) -> Part:
    """Have a helper make the part of a section.

    Raises:
        Exception: Of any kind, where the helper has died.
    """
    store = ResultsStore(wanted.folder)
    ids = [record.cell_id for record in task.records]
    pickle.dump((wanted, ids, task.place), process.requests)
    process.requests.flush()
    return receive_part(process.answers, {r.cell_id: unread_cell(store, r) for r in task.records})
