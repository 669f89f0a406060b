"""Reads the rows of .csv files as spreadsheets and data frames write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tasks.errors import UsageError
from tasks.row import Row, quoted

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may separate columns; spreadsheets write semicolons where a comma is the decimal sign."""

_TELLING = frozenset({"question", "instruction", "src", "input", "prompt"})
"""A column that tells which delimiter is meant, where a header could be split by several."""

_DECLARED = re.compile(r"sep=([,;\t|])\s*", re.IGNORECASE)
"""The line with which a spreadsheet declares the delimiter."""


def csv_rows(path: Path, lines: Iterable[str]) -> Iterator[Row]:
    """Yield the rows below a header.

    Columns without a name are skipped; what a row holds in them becomes a field `column N`.

    Args:
        path: The file, for error messages.
        lines: Its lines, with their ends.

    Raises:
        UsageError: A column occurs twice, a row has a wrong number of cells, or quotes are wrong.
    """
    # A line may hold further ends of lines: a lone carriage return is one in old files.
    separate = (line for text in lines for line in io.StringIO(text, newline=""))
    delimiter, rest = _delimiter(separate)
    table = csv.reader(rest, delimiter=delimiter, strict=True)
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
            yield Row(path, f"row {number}", _values(path, number, header, cells, delimiter), True)
    except csv.Error as error:
        raise UsageError(f"{path}, line {table.line_num}: invalid CSV: {error}") from error


def _delimiter(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return what separates the columns, and the lines from the header on."""
    for line in lines:
        if declared := _DECLARED.fullmatch(line):
            return declared[1], lines
        if line.strip():
            return _told_by(line), chain([line], lines)
    return ",", iter(())


def _told_by(header: str) -> str:
    """Return the delimiter of a header; the comma unless another is the only one that fits."""
    names = {delimiter: _split(header, delimiter) for delimiter in DELIMITERS}
    fitting = [delimiter for delimiter, cells in names.items() if len(cells) > 1]
    if len(fitting) > 1:
        fitting = [delimiter for delimiter in fitting if _TELLING & {*names[delimiter]}]
    return fitting[0] if len(fitting) == 1 else ","


def _split(header: str, delimiter: str) -> list[str]:
    try:
        [cells] = csv.reader([header], delimiter=delimiter)
    except (csv.Error, ValueError):  # a field too long, or a quoted end of line
        return []
    return [cell.strip() for cell in cells]


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}, header: column {quoted(twice)} occurs twice")
    return names


def _values(
    path: Path, number: int, header: list[str], cells: list[str], delimiter: str
) -> dict[str, str]:
    named = max(place for place, name in enumerate(header, start=1) if name)
    width = len(cells)
    while width > named and not cells[width - 1].strip():
        width -= 1  # empty columns of a spreadsheet
    if width > len(header) or width < named:
        raise UsageError(
            f"{path}, row {number}: {width} cells, but the header has {named}; "
            f"put text that contains {DELIMITERS[delimiter]} in double quotes"
        )
    return {
        name or f"column {place}": cell
        for place, (name, cell) in enumerate(zip(header, cells, strict=False), start=1)
        if name or cell.strip()
    }
