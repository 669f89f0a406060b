"""The values in a row's fields: texts, lists of texts, and what stands for a missing value."""

from __future__ import annotations

import ast
import json
import math
import re
import string
import unicodedata
from typing import Any

from tasks.row import Row

LONGEST_TEXT = 10_000
"""Most characters in one text; questions and answers are far shorter, a book is a mistake."""

MOST_TEXTS = 1000
"""Most answers, paraphrases or neighbours of one fact; every model is asked each of them."""

_MISSING_CELLS = frozenset({"nan", "NaN", "<NA>", "#N/A"})
"""How data frames and spreadsheets write a missing value; `Nan` and `NA` are names of places."""

_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_STRINGS = re.compile(rf"\[\s*+{_STRING}\s*+(?:,\s*+{_STRING}\s*+)*,?\s*+\]", re.DOTALL)
"""A list of texts as JSON and Python write it. Texts beside each other without a comma do not
match: Python would join them."""


_TYPED = str.maketrans(
    {
        # Invisible, and mostly pasted unawares; joiners stay: some scripts need them.
        **dict.fromkeys(map(chr, (0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF))),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " "),
        **dict.fromkeys("‐‑‒–−", "-"),
        **dict.fromkeys("‘’‛", "'"),
        **dict.fromkeys("“”„‟", '"'),
        **{chr(0xFEE0 + ord(c)): c for c in string.ascii_letters + string.digits},
    }
)
"""Ways of typing the same text, each with the plain one."""


def plainly_typed(text: str) -> str:
    """Return a text as most people type it, so that a fact is trained alike however it is typed.

    Composed accents, plain quotes, hyphens, spaces, digits and Latin letters; no invisible
    characters. What is a matter of meaning stays: case, em dashes, guillemets, powers, fractions.
    """
    return unicodedata.normalize("NFC", text if text.isascii() else text.translate(_TYPED))


def is_missing(row: Row, value: Any) -> bool:
    """Return whether a value stands for none: null, NaN, an empty text or a cell with `nan`."""
    if isinstance(value, str):
        stripped = value.strip()
        return not stripped or (row.written_as_text and stripped in _MISSING_CELLS)
    return value is None or (isinstance(value, float) and math.isnan(value))


def no_value(value: Any) -> str:
    """Return what is wrong with a missing value in a field that needs one."""
    if isinstance(value, str) and not value.strip():
        return "is empty"
    if isinstance(value, str):
        return (
            f"has no value: '{value.strip()}' is how a missing one is written in a table; "
            "if it is meant, write the facts as .jsonl"
        )
    return "has no value: null" if value is None else "has no value: NaN"


def text_of(row: Row, field: str, value: Any) -> str:
    """Return a text, or a number as text.

    Args:
        row: The row, for error messages.
        field: The field, for error messages.
        value: Its value, which is not missing.

    Raises:
        UsageError: The value is something else, or the text is too long or not a text.
    """
    text = plainly_typed(value).strip() if isinstance(value, str) else _number(row, field, value)
    if len(text) > LONGEST_TEXT:
        raise row.error(
            f"has {len(text):,} characters; at most {LONGEST_TEXT:,} are allowed", field
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise row.error("contains half of a surrogate pair, which is not a character", field)
    return text


def _number(row: Row, field: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "a list" if isinstance(value, list) else "an object"
        found = kind if isinstance(value, list | dict) else json.dumps(value, default=repr)
        raise row.error(f"expected text, found {found}", field)
    if not math.isfinite(value):
        raise row.error("expected text or a number, found Infinity", field)
    return str(value)


def few(row: Row, field: str, values: list[Any]) -> list[Any]:
    """Return a list that is not too long; raise `UsageError` if it is."""
    if len(values) > MOST_TEXTS:
        raise row.error(f"has {len(values):,} entries; at most {MOST_TEXTS:,} are allowed", field)
    return values


def listed(text: str) -> list[str] | None:
    """Return the texts of a list that was written as text, with quotes of either kind, or None."""
    stripped = text.strip()
    if not stripped.startswith("[") or not _STRINGS.fullmatch(stripped):
        return None
    try:
        return [str(item) for item in json.loads(stripped)]
    except ValueError:
        pass
    try:
        return [str(item) for item in ast.literal_eval(stripped)]
    except (ValueError, SyntaxError):  # an escape that neither knows
        return None


def json_list(row: Row, field: str, text: str) -> list[Any]:
    """Return a list that was written as JSON, or as Python prints it; see `listed`."""
    if (texts := listed(text)) is not None:
        return texts
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        if (printed := _printed(text)) is not None:
            return printed
        raise row.error(f"invalid JSON: {error.msg} at column {error.colno}", field) from error
    except (ValueError, RecursionError) as error:
        raise row.error("nesting too deep", field) from error
    if not isinstance(value, list):
        raise row.error(f"expected a JSON list, found {text[:40]}", field)
    return value


def _printed(text: str) -> list[Any] | None:
    """Return a list of objects as Python prints it, or None."""
    if not text.lstrip().startswith("[{"):
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, list) else None
