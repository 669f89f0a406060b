"""Write stored cells in the form of other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.interchange.peft_suite import INTEGERS, suite_result
from bench.store import atomic
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        files: The files, one per cell.
        gaps: The fields that PEFT's loader needs as integers and some file has as null.
        left_out: How many cells have no result, and were not named.
        problems: A line for each record that cannot be read.
    """

    files: tuple[Path, ...]
    gaps: tuple[str, ...]
    left_out: int
    problems: tuple[str, ...]


def export_to_peft_suite(
    results: Path, folder: Path, prefixes: Sequence[str] = (), placeholder: int | None = None
) -> Exported:
    """Write cells as PEFT's method comparison stores results.

    Args:
        results: The results folder.
        folder: Where the files go; created if missing, others in it are left alone.
        prefixes: Beginnings of the ids of the cells to write; empty: all that have a result.
        placeholder: What stands in place of missing integers; None: null.

    Raises:
        UsageError: There is no such cell, or none with a result, or the folder cannot be written.
    """
    store = ResultsStore(results)
    problems: tuple[str, ...] = ()
    if prefixes:
        wanted = list({r.cell_id: r for r in map(store.find, prefixes)}.values())
        left_out = 0
    else:
        found = store.records()
        problems = found.problems
        wanted = [record for record in found.records if record.status is Status.DONE]
        left_out = len(found.records) - len(wanted)
        if not wanted:
            why = f": {problems[0]}" if problems else ": run a grid first, or give --out"
            raise UsageError(f"no cell in '{results}' has a result{why}")
    files, gaps = _written(wanted, results, folder, placeholder)
    return Exported(tuple(files), tuple(sorted(gaps)), left_out, problems)


def _written(
    records: Sequence[CellRecord], results: Path, folder: Path, placeholder: int | None
) -> tuple[list[Path], set[str]]:
    files, gaps = [], set[str]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for record in records:
            result = suite_result(record, results, placeholder)
            text = json.dumps(result.content, indent=2, allow_nan=False) + "\n"
            files.append(atomic.write(folder / result.file_name, text))
            gaps |= INTEGERS & {*result.unknown} if placeholder is None else set()
    except OSError as error:
        raise UsageError(f"cannot write to '{folder}': {error.strerror}") from error
    return files, gaps
