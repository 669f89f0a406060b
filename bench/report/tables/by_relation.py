"""The table of held-out problems by their kind, such as a skill's levels; of questions, too."""

from __future__ import annotations

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.by_relation import by_relation
from bench.report.tables import format as wording
from bench.report.tables.format import TextTable
from bench.store.asks import Asks

BASE = "base, after four demonstrations"


def by_relation_heading(section: Section) -> str:
    """Return what stands above the table: `Held-out problems by kind`."""
    return f"{section.asks.noun.capitalize()}s by kind"


def by_relation_table(section: Section) -> TextTable | None:
    """Return the share answered of each kind, a line for each method below the base's.

    None where the facts that were trained are asked, where problems are of one kind, or where no
    kind has enough of them.
    """
    found = by_relation(section)
    trained = "" if section.asks is Asks.TRAINED_QUESTIONS else "; none of them was trained"
    if found is None:
        return None
    headers = ["method", *(f"{name} (%) ↑" for name in found.names)]
    shares = {BASE: found.before} | {row.label: found.after(row) for row in section.done}
    lines = [
        [label, *(wording.percent_interval(share) for share in of_kinds)]
        for label, of_kinds in shares.items()
    ]
    if all(text == wording.MISSING for _, *texts in lines for text in texts):
        return None
    kind = section.asks.items.removesuffix("s")
    sizes = ", ".join(f"{found.size(name)} of {name}" for name in found.names)
    return TextTable(
        headers,
        lines,
        f"Reliability, of each kind of {kind} alone: {sizes}{trained}. The first line is the "
        "base before training, asked after four demonstrations.",
    )
