"""Reads rows of .jsonl, .json, .csv and .parquet files, each with its place for error messages.

.jsonl and .csv are read line by line, whatever the size of the file; .json must be read as a whole.
Parquet is the format of local copies of data sets from the hub.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".csv")
"""The formats in which people write facts."""

LONGEST_LINE = 64 * 2**20
"""Most bytes in a line, so that a file without line ends cannot fill the memory."""

LARGEST_JSON = 256 * 2**20
"""Most bytes in a .json file, which takes many times its size as objects."""

_LONGEST_TOLD, _LONGEST_QUOTED = 300, 80
"""Most characters of a problem and of a text in it, so that a file cannot flood a terminal."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was written.

    Attributes:
        path: The file.
        place: `line 3` in a .jsonl file, `row 3` in others, counted from 1 without the header.
        values: Value of each field: text in a .csv file, any JSON value in others.
        written_as_text: Whether lists had to be written as text, as in a .csv file.
    """

    path: Path
    place: str
    values: Mapping[str, Any]
    written_as_text: bool = False

    def error(self, problem: str, field: str = "") -> UsageError:
        """Return an error whose one line names file, row and field."""
        where = ", ".join(
            filter(None, (str(self.path), self.place, shortened(field, _LONGEST_QUOTED)))
        )
        return UsageError(f"{where}: {shortened(problem, _LONGEST_TOLD)}")


def quoted(text: str) -> str:
    """Return a text from a file in quotes for a message, shortened if it is long."""
    return f"'{shortened(text, _LONGEST_QUOTED)}'"


def shortened(text: str, longest: int) -> str:
    """Return a text, or its beginning and an ellipsis if it is longer than `longest`."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file row by row.

    Raises:
        UsageError: The suffix is unknown, or the file is not UTF-8 or not of the format that its
            suffix says.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    readers = {".jsonl": _json_lines, ".json": _json_array, ".csv": _csv}
    if suffix not in readers:
        raise UsageError(f"{path}: unknown file type '{suffix}'; use {', '.join(SUFFIXES)}")
    return readers[suffix](path)


def _lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """Yield the lines of a file with their line ends; U+2028 does not end a line."""
    try:
        with path.open("rb") as file:
            for number in count(1):
                line = file.readline(longest + 1)
                if not line:
                    return
                if len(line) > longest:
                    raise UsageError(f"{path}, line {number}: longer than {longest >> 20} MiB")
                yield _decoded(path, number, line)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8" if number > 1 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}, line {number}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.isspace():
            place = f"line {number}"
            yield _object(path, place, _loads(line, path, place))


def _json_array(path: Path) -> Iterator[Row]:
    if path.is_file() and path.stat().st_size > LARGEST_JSON:
        raise UsageError(
            f"{path}: larger than {LARGEST_JSON >> 20} MiB; write it as .jsonl, with one object "
            "per line"
        )
    text = "".join(_lines(path, LARGEST_JSON))
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
        raise UsageError(f"{where}: a number is too long or the nesting too deep") from error


def _object(path: Path, place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise UsageError(f"{path}, {place}: expected an object with named fields")
    return Row(path, place, value)


def _csv(path: Path) -> Iterator[Row]:
    # A line may hold further ends of lines: a lone carriage return is one in old files.
    lines = (line for text in _lines(path) for line in io.StringIO(text, newline=""))
    table = csv.reader(lines, strict=True)
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
                    f"{path}, row {number}: {len(cells)} cells, but the header has "
                    f"{len(header)}; put text that contains commas in double quotes"
                )
            yield Row(path, f"row {number}", dict(zip(header, cells, strict=True)), True)
    except csv.Error as error:
        raise UsageError(f"{path}, line {table.line_num}: invalid CSV: {error}") from error


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}, header: column '{twice}' occurs twice")
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
