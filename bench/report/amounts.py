"""Amounts as people type them: memory with its unit, shares."""

from __future__ import annotations

import re

from tasks.errors import UsageError, nearest

UNITS = {
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
}
"""Bytes in each unit."""

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\d\s.]*)\s*", re.ASCII)


def parse_memory(text: str, option: str) -> int:
    """Return the bytes of `8GiB`, `8 GB` or `500mb`.

    Raises:
        UsageError: No number, no unit, or an unknown one; names the nearest.
    """
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} '{text}': write a number and a unit, as in 8GiB")
    number, unit = found.groups()
    if not unit:
        raise UsageError(f"{option} '{text}': its unit is missing; write {number}GiB or {number}MB")
    by_folded = {name.casefold(): size for name, size in UNITS.items()}
    size = by_folded.get(unit.casefold())
    if size is None:
        close = nearest(unit, UNITS) or list(UNITS)
        raise UsageError(f"{option} '{text}': unknown unit '{unit}'; write {', '.join(close)}")
    return int(float(number) * size)


def parse_share(text: str, option: str) -> float:
    """Return a share between 0 and 1.

    Raises:
        UsageError: Something else; says what a percentage is as a share.
    """
    try:
        share = float(text.rstrip("% "))
    except ValueError:
        raise UsageError(f"{option} '{text}': write a share between 0 and 1, as in 0.02") from None
    if "%" in text or 1 < share <= 100:
        raise UsageError(f"{option} '{text}' is no share: {share:g} % is {share / 100:g}")
    if not 0 <= share <= 1:
        raise UsageError(f"{option} '{text}': write a share between 0 and 1, as in 0.02")
    return share
