"""Local copies of the data of lm-eval's own tasks, in place of the hub.

Any file with the hub's field names works. Where the published raw files differ, a small reader
below says how.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

Row = dict[str, Any]

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""How people name a split in a file's name."""

SUFFIXES = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files in which one split of a task is looked for.

    Attributes:
        stems: The task's name and that of its data set: `webqs`, `web_questions`.
        split: As lm-eval calls it.
    """

    stems: tuple[str, ...]
    split: str

    @property
    def names(self) -> tuple[str, ...]:
        """File names without suffix, folded: `piqa_validation`, `piqa_valid`, ..."""
        splits = SPLIT_NAMES.get(self.split, (self.split,))
        return tuple(f"{_fold(stem)}_{_fold(split)}" for stem in self.stems for split in splits)

    def find(self, folder: Path) -> Path | None:
        """Return the file that holds the split, in the folder or one level below it."""
        for name in self.names:
            for path in _files(folder):
                inside = f"{path.parent.name}_{path.stem}" if path.parent != folder else ""
                if name in (_fold(path.stem), _fold(inside)):
                    return path
        return None


def read_rows(path: Path) -> list[Row]:
    """Read a file's rows, with the hub's field names.

    Raises:
        UsageError: The file cannot be read; names file and line.
    """
    if path.suffix == ".parquet":
        import pandas as pd

        records = pd.read_parquet(path).to_dict("records")
        return [{str(field): value for field, value in row.items()} for row in records]
    rows = list(_json_rows(path))
    for fits, read in READERS:
        if rows and fits(rows[0]):
            return read(rows, path)
    return rows


def _json_rows(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        yield from json.loads(text)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}, line {number}: no JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, line {number}: no JSON object with named fields")
        yield row


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


def _files(folder: Path) -> list[Path]:
    inside = [*folder.glob("*"), *folder.glob("*/*")]
    return sorted(path for path in inside if path.suffix in SUFFIXES and path.is_file())


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
