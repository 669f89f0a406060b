"""`python -m bench.report.helper`: makes parts of a report for the process that started it."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Iterator, Sequence
from typing import IO

from bench.records import CellRecord
from bench.report.parts import Wanted, part_of, send_part
from bench.store import ResultsStore


def help_out(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one section's cell ids after another with its part, until there are no more."""
    wanted: Wanted = pickle.load(requests)
    store = ResultsStore(wanted.folder)
    for ids in _requests(requests):
        send_part(part_of(wanted, _records(store, ids)), answers)
        answers.flush()


def _requests(pipe: IO[bytes]) -> Iterator[list[str]]:
    while True:
        try:
            yield pickle.load(pipe)
        except EOFError:
            return


def _records(store: ResultsStore, ids: Sequence[str]) -> list[CellRecord]:
    """Return the records of a section.

    Raises:
        LookupError: One is no longer what it was.
    """
    found = [record for cell_id in ids if (record := store.read(cell_id)) is not None]
    if len(found) < len(ids):
        raise LookupError(f"{len(ids) - len(found)} of {len(ids)} records have changed")
    return found


if __name__ == "__main__":
    gc.disable()  # a section's cells are freed without
    help_out(sys.stdin.buffer, sys.stdout.buffer)
