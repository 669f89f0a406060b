"""Local copies of the data of lm-eval's own tasks, in place of the hub.

Any file with the hub's field names works. Where the published raw files differ, a small reader
below says how.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tasks.rows
from tasks.errors import UsageError

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".parquet")
"""Not .csv, in which a label would be a text."""


def read_rows(path: Path) -> list[Row]:
    """Read a file's rows, with the hub's field names.

    Raises:
        UsageError: The file cannot be read; names file and line.
    """
    rows = [dict(row.values) for row in tasks.rows.read_rows(path)]
    for fits, read in READERS:
        if rows and fits(rows[0]):
            return read(rows, path)
    return rows


def _piqa(rows: list[Row], path: Path) -> list[Row]:
    """PIQA publishes its labels in a file of their own, one a line."""
    labels = path.with_name(f"{path.stem}-labels.lst")
    beside = [labels, path.with_name(f"{path.stem}_labels.lst")]
    found = next((candidate for candidate in beside if candidate.is_file()), None)
    if found is None:
        raise UsageError(f"{path} has no field 'label' and there is no {beside[1].name} beside it")
    values = found.read_text(encoding="utf-8").split()
    if len(values) != len(rows):
        raise UsageError(f"{found} has {len(values)} labels for {len(rows)} rows of {path.name}")
    return [{**row, "label": int(value)} for row, value in zip(rows, values, strict=True)]


def _arc(rows: list[Row], path: Path) -> list[Row]:
    """ARC publishes the choices inside the question, as a list of text and label."""
    return [
        {
            "id": row["id"],
            "question": row["question"]["stem"],
            "choices": {
                key: [choice[key] for choice in row["question"]["choices"]]
                for key in ("text", "label")
            },
            "answerKey": row["answerKey"],
        }
        for row in rows
    ]


READERS: tuple[tuple[Callable[[Row], bool], Callable[[list[Row], Path], list[Row]]], ...] = (
    (lambda row: {"goal", "sol1", "sol2"} <= set(row) and "label" not in row, _piqa),
    (lambda row: isinstance(row.get("question"), dict) and "stem" in row["question"], _arc),
)
"""Raw files that differ from the hub: how they are recognised, and read."""
