"""Local copies of the data of lm-eval's own tasks, instead of the hub.

Any file with the hub's field names works. For published raw files that differ there are small
readers below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tasks.rows
from tasks.errors import UsageError

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".parquet")
"""Without .csv, which would turn labels into text."""


def read_rows(path: Path) -> list[Row]:
    """Read a file's rows, with the hub's field names.

    Raises:
        UsageError: The file cannot be read; the error names file and line.
    """
    rows = [dict(row.values) for row in tasks.rows.read_rows(path)]
    for fits, read in READERS:
        if rows and fits(rows[0]):
            return read(rows, path)
    return rows


def _piqa(rows: list[Row], path: Path) -> list[Row]:
    """PIQA publishes its labels in a separate file, one per line."""
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
