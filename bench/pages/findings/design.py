"""The tables of the pre-registration, computed: `python -m bench.pages.findings.design`.

They stand in `docs/findings/design.md` between markers; the rest of that page is written by hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

import click
from scipy import special
from tabulate import tabulate

from bench.pages.findings.planned import (
    BESIDE,
    BUDGET,
    CORRELATED,
    GRIDS,
    PLANNED,
    PlannedClaim,
    PlannedUnit,
)
from bench.pages.findings.power import DRAWS, Power, power
from bench.pages.findings.verdict import DENIED
from bench.report.statistics.comparison import LEVEL
from bench.store import atomic
from tasks.errors import UsageError

PAGE = Path("docs/findings/design.md")

LEAST_CORRELATION, METHODS = 0.63, 8
"""Question 8: the bar, and over how many methods the correlation is."""

_DIGITS = {PlannedUnit.EPOCHS: 2, PlannedUnit.POINTS: 1, PlannedUnit.LOG_RATIO: 3}


@cache
def power_of(claim: PlannedClaim) -> Power:
    """Return the power of a planned claim by simulation."""
    return power(claim.components, claim.layout, claim.bar, claim.counts)


def correlation_power(counts: float, bar: float, points: int) -> Power:
    """Return the power for a correlation, by Fisher's approximation instead of by simulation.

    Args:
        counts: The correlation at which a yes is wanted.
        bar: The rule's margin.
        points: Of how many points.
    """
    error = 1 / math.sqrt(points - 3)
    needed = max(math.atanh(bar), special.ndtri(1 - LEVEL / 2) * error)
    denied = math.atanh(bar) + special.ndtri(DENIED) * error
    yes = special.ndtr((math.atanh(counts) - needed) / error)
    return Power(float(yes), float(special.ndtr(denied / error)), 0.0)


def power_table() -> str:
    """Return the power of each question's first claim, and of second claims that were weighed."""
    rows = [(claim.number, _row(claim)) for claim in PLANNED]
    found = correlation_power(CORRELATED, LEAST_CORRELATION, METHODS)
    about = "correlation of log CSD and log drift over methods"
    shown = [about, "r", f"{CORRELATED:g}", f"{LEAST_CORRELATION:g}", "-", "5", f"{METHODS}"]
    rows.append((8, ["8", *shown, *_powers(found)]))
    return _table([row for _, row in sorted(rows, key=lambda pair: pair[0])])


def beside_table() -> str:
    """Return the same for second claims."""
    return _table([_row(claim) for claim in BESIDE])


def _row(claim: PlannedClaim) -> list[str]:
    layout, digits = claim.layout, _DIGITS[claim.unit]
    parts = claim.components
    sds = " / ".join(f"{sd:.{digits}f}" for sd in (parts.seed, parts.fact, parts.rest))
    rivals = f" ({layout.rivals}, {layout.needs})" if layout.rivals > 1 else ""
    return [
        str(claim.number),
        claim.outcome + rivals,
        claim.unit,
        f"{claim.counts:.{digits}f}",
        f"{claim.bar:.{digits}f}",
        sds,
        str(layout.seeds),
        str(layout.facts),
        *_powers(power_of(claim)),
    ]


def _powers(found: Power) -> list[str]:
    return [f"{found.yes:.2f}", f"{found.no:.2f}"]


def _table(rows: Iterable[list[str]]) -> str:
    headers = ["", "decisive effect", "unit", "counts", "bar", "sd of seed / fact / rest"]
    headers += ["seeds", "n", "power, yes", "power, no"]
    align = ("right", "left", "left", *["right"] * 7)
    return tabulate(list(rows), headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def decided() -> int:
    """Return how many first claims have a power of 0.8 for yes and for no."""
    found = [power_of(claim) for claim in PLANNED]
    found.append(correlation_power(CORRELATED, LEAST_CORRELATION, METHODS))
    return sum(min(each.yes, each.no) >= 0.8 for each in found)


def count_line() -> str:
    """Say how many claims have enough power."""
    found = {claim.number: power_of(claim) for claim in PLANNED}
    worst = max(each.error for each in found.values())
    near = [n for n, each in found.items() if abs(min(each.yes, each.no) - 0.8) < 2 * each.error]
    numbers = ", ".join(map(str, near))
    close = f" Within two such errors of 0.8: question {numbers}." if near else ""
    return (
        f"{decided()} of {len(PLANNED) + 1} questions have a power of at least 0.8 for both. "
        f"{DRAWS:,} draws; the Monte Carlo standard error is at most {worst:.3f}.{close}"
    )


def cost_table() -> str:
    """Return what each grid costs, and the sum so far."""
    sums = accumulate(grid.minutes for grid in GRIDS)
    rows = [
        [
            grid.name,
            grid.questions,
            str(grid.reported),
            str(grid.tried),
            f"{grid.minutes:.0f}",
            f"{total / 60:.1f}" + ("" if total / 60 <= BUDGET else " (beyond)"),
        ]
        for grid, total in zip(GRIDS, sums, strict=True)
    ]
    headers = ["grid", "questions", "cells", "candidates", "core-minutes", "core-hours so far"]
    align = ("left", "left", *["right"] * 4)
    return tabulate(rows, headers, tablefmt="pipe", colalign=align, disable_numparse=True)


PARTS: dict[str, Callable[[], str]] = {
    "power": power_table,
    "count": count_line,
    "beside": beside_table,
    "cost": cost_table,
}
"""What stands between the markers `<!-- begin NAME -->` and `<!-- end NAME -->`."""


def with_tables(text: str) -> str:
    """Return the page with its tables computed.

    Raises:
        UsageError: The page lacks a marker.
    """
    for name, compute in PARTS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
        if not pattern.search(text):
            raise UsageError(f"the page lacks '{begin}' and '{end}', between which its table goes")
        text = pattern.sub(partial(_between, f"{begin}\n{compute()}\n{end}"), text)
    return text


def _between(found: str, _: re.Match[str]) -> str:
    return found


@click.command()
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, show_default=True)
def main(page: Path) -> None:
    """Compute the tables of the pre-registration again and write them into its page."""
    atomic.write(page, with_tables(page.read_text(encoding="utf-8")))
    click.echo(f"{page}: {count_line()}")


if __name__ == "__main__":
    main()
