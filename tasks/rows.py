"""Reads rows of .jsonl, .json, .csv and .parquet files, each with its place for error messages.

.jsonl and .csv are read line by line, whatever the size of the file; .json must be read as a whole.
Where the content is plainly the other kind of JSON (an array in .jsonl, one object per line in
.json), it is read as that. Parquet is the format of local copies of data sets from the hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from tasks.csv_rows import csv_rows
from tasks.errors import UsageError
from tasks.row import Row, quoted, shortened

__all__ = ["SUFFIXES", "Row", "quoted", "read_rows", "shortened", "unknown_type"]

SUFFIXES = (".jsonl", ".json", ".csv")
"""The formats in which people write facts."""

LONGEST_LINE = 64 * 2**20
"""Most bytes in a line, so that a file without line ends cannot fill the memory."""

LARGEST_JSON = 256 * 2**20
"""Most bytes in a .json file, which takes many times its size as objects."""

_AS_WRITTEN: dict[str, Any] = {"parse_int": str, "parse_float": str}


def read_rows(path: Path, *, numbers_as_written: bool = False) -> Iterator[Row]:
    """Read a file row by row.

    Args:
        path: The file.
        numbers_as_written: Whether numbers of JSON become the text that stands in the file, so
            that 1.10 stays 1.10 and an integer may have any length.

    Raises:
        UsageError: The suffix is unknown, or the file is not UTF-8 or not of the format that its
            suffix says.
    """
    numbers = _AS_WRITTEN if numbers_as_written else {}
    match path.suffix.lower():
        case ".parquet":
            return _parquet(path)
        case ".csv":
            return csv_rows(path, _lines(path))
        case ".jsonl":
            return _json_lines(path, numbers)
        case ".json":
            return _json_whole(path, numbers)
    raise UsageError(f"{path}: {unknown_type(path.suffix)}")


def unknown_type(suffix: str) -> str:
    """Return what is wrong with a file of another type, with the way out where there is one."""
    ways = {
        ".tsv": "rename it to end in .csv (tabs are read too)",
        ".tab": "rename it to end in .csv (tabs are read too)",
        ".ndjson": "rename it to end in .jsonl",
        ".xlsx": "save it as .csv",
        ".xls": "save it as .csv",
        ".ods": "save it as .csv",
        ".pdf": "save its text as .txt",
        ".docx": "save its text as .txt",
        ".html": "save its text as .txt",
        ".rst": "save its text as .txt",
    }
    way = ways.get(suffix.lower(), "")
    return (
        f"unknown file type '{suffix}'; facts are read from {', '.join(SUFFIXES)} files"
        f"{f': {way}' if way else ''}"
    )


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


def _json_lines(path: Path, numbers: dict[str, Any]) -> Iterator[Row]:
    lines = _lines(path)
    blank: list[str] = []
    for line in lines:
        if line.isspace():
            blank.append(line)
        elif line.startswith("[") or line.strip() in ("{", "["):
            # No line of this format begins so: it is an array or an object over several lines.
            return _json_whole(path, numbers)
        else:
            return _objects(path, chain(blank, [line], lines), numbers)
    return iter(())


def _objects(path: Path, lines: Iterable[str], numbers: dict[str, Any]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"line {number}"
            yield _object(path, place, _loads(line, path, place, numbers))


def _json_whole(path: Path, numbers: dict[str, Any]) -> Iterator[Row]:
    if path.is_file() and path.stat().st_size > LARGEST_JSON:
        raise UsageError(
            f"{path}: larger than {LARGEST_JSON >> 20} MiB; write it as .jsonl, with one object "
            "per line"
        )
    text = "".join(_lines(path, LARGEST_JSON))
    if not text.strip():
        return iter(())
    if _is_one_value_per_line(text):
        return _objects(path, text.split("\n"), numbers)
    rows = _rows_within(_loads(text, path, "", numbers))
    if rows is None:
        raise UsageError(
            f'{path}: expected a list of objects: [{{"question": ...}}, ...]; '
            "a data frame is written so by to_json(path, orient='records')"
        )
    return (_object(path, f"row {number}", row) for number, row in enumerate(rows, start=1))


def _is_one_value_per_line(text: str) -> bool:
    """Return whether a text is no JSON value, but its first line is and others follow."""
    first, _, rest = text.lstrip().partition("\n")
    if not rest.strip():
        return False
    try:
        json.loads(first, **_AS_WRITTEN)
    except (ValueError, RecursionError):
        return False
    return True


def _rows_within(value: Any) -> list[Any] | None:
    """Return the rows of a list, those below `data` as in SQuAD, or a single object; else None."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), list):
            return list(value["data"])
        # Only lists or objects: the columns of a data frame, or the parts of a data set.
        return None if all(isinstance(part, list | dict) for part in value.values()) else [value]
    return value if isinstance(value, list) else None


class _RepeatedFieldError(Exception):
    """An object has a field twice, of which JSON keeps the last in silence."""


def _distinct_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedFieldError(next(name for name in names if names.count(name) > 1))
    return found


def _loads(text: str, path: Path, place: str, numbers: dict[str, Any]) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct_fields, **numbers)
    except _RepeatedFieldError as error:
        where = ", ".join(filter(None, (str(path), place)))
        raise UsageError(f"{where}: field '{error}' is there twice in one object") from error
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


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(rows, start=1):
        yield Row(path, f"row {number}", row)
