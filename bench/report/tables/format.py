"""Numbers and texts as people read them; nothing a model said reaches a reader unescaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
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


_FINEST = 3
"""No end is written with more decimals; it is 0 where these are."""

_SIGNED_ZERO = re.compile(r"^[+-]?0(\.0+)?$")
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
    return _interval(estimate, percent, 100, "", 0)


def points_interval(estimate: Estimate | None, margin: float | None = None) -> str:
    """Write a difference of shares with its interval: `+2.5 [-1, +6]`.

    Args:
        estimate: The difference.
        margin: A difference that decides; an end beside it is never written as if it were on it.
    """
    edges = (0.0,) if margin is None else (0.0, 100 * margin, -100 * margin)
    return _interval(estimate, points, 100, "+", 0, edges)


def nats_interval(estimate: Estimate | None) -> str:
    """Write a divergence with its interval: `0.123 [0.104, 0.152]`."""
    return _interval(estimate, lambda value: f"{_unsigned_zero(value, 3):.3f}", 1, "", 3)


def epochs_interval(estimate: Estimate | None) -> str:
    """Write a number of epochs with its interval: `2.7 [2.4, 3.1]`."""
    return _interval(estimate, lambda value: f"{_unsigned_zero(value, 1):.1f}", 1, "", 1)


def more_epochs_interval(estimate: Estimate | None, digits: int = 1) -> str:
    """Write a difference of epochs with its interval: `+0.7 [+0.4, +1.1]`."""

    def write(value: float) -> str:
        shown = _unsigned_zero(value, digits)
        return f"{shown:+.{digits}f}" if shown else f"{shown:.{digits}f}"

    return _interval(estimate, write, 1, "+", digits)


def more_nats_interval(estimate: Estimate | None) -> str:
    """Write a difference of divergences with its interval: `+0.021 [+0.004, +0.038]`."""

    def write(value: float) -> str:
        shown = _unsigned_zero(value, 3)
        return f"{shown:+.3f}" if shown else "0.000"

    return _interval(estimate, write, 1, "+", 3)


def ratio_interval(estimate: Estimate | None) -> str:
    """Write a ratio with its interval: `1.28 [1.18, 1.39]`; an end that is not 1 is not 1.00."""
    return _interval(estimate, lambda value: f"{value:.2f}", 1, "", 2, (0.0, 1.0))


def rank(found: RankInterval | None) -> str:
    """Write the ranks that a method may have: `1-3`, `2` where it is certain, `-` for any."""
    if found is None:
        return MISSING
    return f"{found.low}" if found.low == found.high else f"{found.low}-{found.high}"


def _interval(
    estimate: Estimate | None,
    write: Callable[[float], str],
    scale: float,
    sign: str,
    digits: int,
    edges: Sequence[float] = (0.0,),
) -> str:
    """Write a value with its interval; `-` where it is missing or of too few items.

    Args:
        estimate: The value and its interval.
        write: Writes the value alone.
        scale: What ends are multiplied by.
        sign: `+` writes the sign of every end.
        digits: The decimals of an end.
        edges: Ends that are not on one of these are not rounded to it.
    """
    if estimate is None or not estimate.is_of_enough:
        return MISSING
    if estimate.interval is None:
        return write(estimate.value)
    ends = (estimate.interval.low, estimate.interval.high)
    low, high = (_end(scale * end, sign, digits, edges) for end in ends)
    return f"{write(estimate.value)} [{low}, {high}]"


def _end(value: float, sign: str, digits: int, edges: Sequence[float]) -> str:
    """Write an end with as many decimals as tell it from the edges, within reason."""
    value = _unsigned_zero(value, _FINEST)
    while digits < _FINEST and any(round(value, digits) == edge != value for edge in edges):
        digits += 1
    return _SIGNED_ZERO.sub("0", f"{value:{sign}.{digits}f}")


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
