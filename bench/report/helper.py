"""`python -m bench.report.helper FOLDER`: makes parts of a report for another process."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bench.report.parts import Wanted, part_of, send_part
from bench.report.tables.section_texts import Place
from bench.report.undisturbed import undisturbed
from bench.store.store import ResultsStore


def help_out(folder: Path, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one section's cell ids after another with its part, until there are no more."""
    # All of them now, while the process that started this one reads them too and asks nothing.
    records = {record.cell_id: record for record in ResultsStore(folder).records().records}
    for wanted, ids, place in _requests(requests):
        send_part(part_of(wanted, [records[cell_id] for cell_id in ids], place), answers)
        answers.flush()


def _requests(pipe: IO[bytes]) -> Iterator[tuple[Wanted, list[str], Place | None]]:
    while True:
        try:
            yield pickle.load(pipe)
        except EOFError:
            return


if __name__ == "__main__":
    with undisturbed():  # a section's cells are freed without collection
        help_out(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
