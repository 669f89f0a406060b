r"""The number that a worked answer ends with, and when two numbers count as the same.

The rules are those of CorDA's `inference/gsm8k_inference.py` and `inference/grader.py`, which go
back to WizardMath and MetaMath, in our words: the last `The answer is: ` counts; of what follows it
the first run of digits with at most one `.`, `,` or `/` inside, and a sign before it; it is rounded
to a whole number. What this makes of some answers is surprising, and kept: `1,234,567` is 1234, and
a number that is a hundred times too large or too small counts as right (it may be a percentage).
A number beyond floating point is none: a model may repeat a digit until its answer is cut.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

MARK = "The answer is: "
"""What stands before the result of a worked answer."""

TOLERANCE = 1e-4
"""Relative difference up to which numbers are the same."""

_NUMBER = re.compile(r"[-+]?\d*[.,/]?\d+")


def after_mark(answer: str) -> str:
    """Return what follows the last mark of an answer; empty if it has none."""
    _, mark, result = answer.rpartition(MARK)
    return result.strip() if mark else ""


def whole_number(answer: str) -> str:
    """Return the whole number that a worked answer ends with; empty if there is none."""
    found = _NUMBER.search(after_mark(answer))
    if found is None:
        return ""
    written = found.group().replace(",", "")
    above, slash, below = written.partition("/")
    try:
        if not slash:
            return str(round(float(written)))
        value = float(above) if not float(below) else float(Fraction(above) / Fraction(below))
        return str(round(value))
    except (ValueError, OverflowError):  # nothing stands before the slash, or digits without end
        return ""


def number(text: str) -> float | None:
    """Return the value of a number, which may have commas in it; None if it is none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def same_number(said: float, wanted: float) -> bool:
    """Return whether a number is the one that was wanted, or that one as a percentage or share."""
    scales = (wanted / 100, wanted, wanted * 100)
    return any(math.isclose(scaled, said, rel_tol=TOLERANCE) for scaled in scales)


def same_whole_number(said: str, wanted: str) -> bool:
    """Return whether two results of `whole_number` count as the same."""
    return said == wanted or same_number(float(said), float(wanted))
