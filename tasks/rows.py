"""Rows of a data file, each with the place where a person finds it: .jsonl, .json, .csv.

Parquet is read too, since that is how data sets lie in copies of the hub.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".csv")
"""What a person may write facts in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was written.

    Attributes:
        path: The file.
        place: `line 3` of a .jsonl file, `row 3` of any other, counted from 1 without the header.
        values: Value of each field; text in a .csv file, any JSON value elsewhere.
        written_as_text: Whether lists had to be written into text, as in a .csv file.
    """

    path: Path
    place: str
    values: Mapping[str, Any]
    written_as_text: bool = False

    def error(self, problem: str, field: str = "") -> UsageError:
        """Build the one-line error that names file, row and field."""
        where = ", ".join(filter(None, (str(self.path), self.place, field)))
        return UsageError(f"{where}: {problem}")


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file row by row.

    Raises:
        UsageError: Unknown suffix, not UTF-8, or not of the format that its suffix says.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    readers = {".jsonl": _json_lines, ".json": _json_array, ".csv": _csv}
    if suffix not in readers:
        raise UsageError(f"{path}: unknown file type '{suffix}'; write {', '.join(SUFFIXES)}")
    return readers[suffix](path, _decode(path))


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); "
            "save the file with encoding UTF-8"
        ) from error


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): U+2028 and its like may stand unescaped inside JSON strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _object(path, f"line {number}", _loads(line, path, f"line {number}"))


def _json_array(path: Path, text: str) -> Iterator[Row]:
    if not text.strip():
        return
    rows = _loads(text, path, "")
    if not isinstance(rows, list):
        raise UsageError(f'{path}: expected a list of objects: [{{"question": ...}}, ...]')
    for number, row in enumerate(rows, start=1):
        yield _object(path, f"row {number}", row)


def _loads(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = place or f"line {error.lineno}"
        raise UsageError(
            f"{path}, {place}: invalid JSON: {error.msg} at column {error.colno}"
        ) from error
    except (ValueError, RecursionError) as error:
        where = ", ".join(filter(None, (str(path), place)))
        raise UsageError(f"{where}: a number or a nesting is too long to be read") from error


def _object(path: Path, place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{path}, {place}: expected an object with 'question' and 'answer'")
    return Row(path, place, value)


def _csv(path: Path, text: str) -> Iterator[Row]:
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    number = 0
    try:
        for cells in table:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _header(path, cells)
                continue
            number += 1
            if len(cells) != len(header):
                raise UsageError(
                    f"{path}, row {number}: {len(cells)} cells where the header has "
                    f"{len(header)}; put text that holds commas into double quotes"
                )
            yield Row(path, f"row {number}", dict(zip(header, cells, strict=True)), True)
    except csv.Error as error:
        raise UsageError(f"{path}, line {table.line_num}: invalid CSV: {error}") from error


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}, header: column '{twice}' is there twice")
    return names


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(rows, start=1):
        yield Row(path, f"row {number}", row)
