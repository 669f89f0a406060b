"""One row of a file, as it was written, with its place for error messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

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
        named = on_one_line(shortened(field, _LONGEST_QUOTED))
        where = ", ".join(filter(None, (str(self.path), self.place, named)))
        return UsageError(f"{where}: {on_one_line(shortened(problem, _LONGEST_TOLD))}")

    def missing(self, field: str) -> UsageError:
        """Return the error of a field that the row does not have."""
        return self.error(f"is missing; the row has {', '.join(self.values) or 'no fields'}", field)


def quoted(text: str) -> str:
    """Return a text from a file in quotes for a message, shortened if it is long."""
    return f"'{on_one_line(shortened(text, _LONGEST_QUOTED))}'"


def on_one_line(text: str) -> str:
    r"""Return a text with its ends of lines written as `\n` and `\r`."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def shortened(text: str, longest: int) -> str:
    """Return a text, or its beginning and an ellipsis if it is longer than `longest`."""
    return text if len(text) <= longest else f"{text[:longest]}…"
