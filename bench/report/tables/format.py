"""Numbers and texts as people read them; nothing a model said reaches a reader unescaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

from bench.progress.base import duration as duration  # a run and its tables write times alike
from bench.redaction import safe_text
from bench.report.statistics.intervals import Estimate
from bench.report.statistics.ranking import RankInterval

MISSING = "-"
"""Shown where there is no value: an empty denominator is never 0 or 1."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts, not escaped, and what is said beside it."""

    headers: list[str]
    lines: list[list[str]]
    remark: str


_SIGNED_ZERO = re.compile(r"^[+-]0$")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")


def percent(value: float) -> str:
    """Write a share in percent, without the sign: `95.3`."""
    return f"{_unsigned_zero(100 * value, 1):.1f}"


def points(value: float) -> str:
    """Write a difference of shares in percentage points, with its sign: `+2.5`."""
    shown = _unsigned_zero(100 * value, 1)
    return f"{shown:+.1f}" if shown else "0.0"


def percent_interval(estimate: Estimate | None) -> str:
    """Write a share with its interval, in percent: `95.3 [88, 99]`."""
    return _interval(estimate, percent, 100, "{:.0f}")


def points_interval(estimate: Estimate | None) -> str:
    """Write a difference of shares with its interval: `+2.5 [-1, +6]`."""
    return _interval(estimate, points, 100, "{:+.0f}")


def nats_interval(estimate: Estimate | None) -> str:
    """Write a divergence with its interval: `0.123 [0.10, 0.15]`."""
    return _interval(estimate, lambda value: f"{_unsigned_zero(value, 3):.3f}", 1, "{:.2f}")


def rank(found: RankInterval) -> str:
    """Write the ranks that a method may have: `1-3`, or `2` where it is certain."""
    return f"{found.low}" if found.low == found.high else f"{found.low}-{found.high}"


def _interval(
    estimate: Estimate | None, write: Callable[[float], str], scale: float, form: str
) -> str:
    if estimate is None or estimate.interval is None:
        return MISSING if estimate is None else write(estimate.value)
    ends = (estimate.interval.low, estimate.interval.high)
    low, high = (form.format(_unsigned_zero(scale * end, 3)) for end in ends)
    low, high = (_SIGNED_ZERO.sub("0", end) for end in (low, high))
    return f"{write(estimate.value)} [{low}, {high}]"


def _unsigned_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0


def count(value: float | None) -> str:
    """Write a number of things: `512`, `4.9 M`, `135 M`."""
    return _scaled(value, 1000, ("", " k", " M", " G", " T"))


def operations(value: float | None) -> str:
    """Write floating point operations: `3.2 TFLOP`."""
    units = (" FLOP", " kFLOP", " MFLOP", " GFLOP", " TFLOP", " PFLOP", " EFLOP")
    return _scaled(value, 1000, units)


def memory(value: float | None) -> str:
    """Write bytes in binary units: `1.4 GiB`."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _scaled(value: float | None, base: int, units: tuple[str, ...]) -> str:
    if value is None:
        return MISSING
    power = 0
    while abs(value) >= base - 0.5 and power < len(units) - 1:
        value, power = value / base, power + 1
    whole = abs(value) >= 99.95 or (power == 0 and value == int(value))
    return f"{value:.{0 if whole else 1}f}{units[power]}"


def markdown(text: str) -> str:
    """Escape a text for one line or one table cell of GitHub's Markdown."""
    flat = safe_text(" ".join(text.split()))
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))
