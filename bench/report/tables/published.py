"""Published values beside our own, as a table."""

from __future__ import annotations

from bench.report.leaderboard.board import Published, Section
from bench.report.tables.format import MISSING, TextTable


def published_table(section: Section) -> TextTable | None:
    """Return the published values that rows of a section match; None where there are none."""
    if not section.published:
        return None
    sources = {n: text for one in section.published for n, text in one.sources.items()}
    given = [name for one in section.published for name in one.scores]
    names = list(dict.fromkeys([*(name for name in sources if name in given), *given]))
    titles = " and ".join(dict.fromkeys(one.title for one in section.published))
    told = "; ".join(f"{name}: {sources[name]}" for name in names if name in sources)
    return TextTable(
        headers=["method", "score", "ours (%)", "items", *names, "band", ""],
        lines=[_line(one, names) for one in section.published],
        remark=f"{titles}, in percent. {told}. A band reaches from the lowest to the highest "
        "published value and is at least as wide as releases of one value are apart; our value "
        "is a hit if it lies within. The guide names where their settings differ from ours.",
    )


def _line(one: Published, names: list[str]) -> list[str]:
    ours = MISSING if one.ours is None else f"{one.ours:.2f}"
    items = MISSING if one.items is None else f"{one.items:,}"
    published = (f"{one.scores[name]:.2f}" if name in one.scores else MISSING for name in names)
    low, high = one.band
    verdict = {True: "hit", False: "miss", None: MISSING}[one.is_hit]
    return [one.label, one.task, ours, items, *published, f"{low:.2f}–{high:.2f}", verdict]
