"""`python -m bench recommend`: which method to use, from the stored cells."""

from __future__ import annotations

import re
from pathlib import Path

import click

from bench.cli.flags import out_option
from tasks.errors import UsageError, nearest

UNITS = {
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
}
"""Bytes in each unit."""


@click.command()
@click.option(
    "--budget-memory",
    metavar="AMOUNT",
    help="Maximum memory of any phase, such as 8GiB.",
)
@click.option(
    "--max-forgetting",
    metavar="SHARE",
    help="Maximum share that may be lost on any forgetting task, such as 0.02.",
)
@out_option
def recommend(budget_memory: str | None, max_forgetting: str | None, out: Path) -> None:
    """Recommend a method, with reasons, in three lines."""
    memory = None if budget_memory is None else parse_memory(budget_memory, "--budget-memory")
    share = None if max_forgetting is None else parse_share(max_forgetting, "--max-forgetting")

    from bench.redaction import safe_text
    from bench.report.leaderboard.load import load_leaderboard, refuse_unreadable
    from bench.report.recommend import Limits, recommendations

    board = load_leaderboard(out)
    refuse_unreadable(board, out)
    for line in recommendations(board, Limits(memory, share)):
        click.echo(safe_text(line))
    for problem in board.problems:
        click.echo(safe_text(f"skipped: {problem}"), err=True)


def parse_memory(text: str, option: str) -> int:
    """Return the bytes of `8GiB`, `8 GB` or `500mb`.

    Raises:
        UsageError: The number or the unit is missing, or the unit is unknown.
    """
    # pydantic's ByteSize reads 8 as 8 bytes, and bits: a unit must be given here, of bytes.
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([^\d\s.]*)\s*", text, re.ASCII)
    if found is None:
        raise UsageError(f"{option} '{text}': write a number and a unit, as in 8GiB")
    number, unit = found.groups()
    if not unit:
        raise UsageError(f"{option} '{text}': the unit is missing; write {number}GiB or {number}MB")
    size = {name.casefold(): size for name, size in UNITS.items()}.get(unit.casefold())
    if size is None:
        close = nearest(unit, UNITS) or list(UNITS)
        raise UsageError(f"{option} '{text}': unknown unit '{unit}'; write {', '.join(close)}")
    return int(float(number) * size)


def parse_share(text: str, option: str) -> float:
    """Return a share between 0 and 1.

    Raises:
        UsageError: It is not one; the error of a percentage says what share it is.
    """
    expected = f"{option} '{text}': write a share between 0 and 1, as in 0.02"
    try:
        share = float(text.rstrip("% "))
    except ValueError:
        raise UsageError(expected) from None
    if "%" in text or 1 < share <= 100:
        raise UsageError(f"{option} '{text}' is not a share: {share:g}% is {share / 100:g}")
    if not 0 <= share <= 1:
        raise UsageError(expected)
    return share
