"""The table of held-out problems by their kind, such as the levels of a skill."""

from __future__ import annotations

from bench.report.leaderboard.board import Section
from bench.report.leaderboard.by_relation import by_relation
from bench.report.tables import format as wording
from bench.report.tables.format import TextTable

HEADING = "Held-out problems by kind"
BASE = "base, after four demonstrations"


def by_relation_table(section: Section) -> TextTable | None:
    """Return the share answered of each kind, a line for each method below the base's.

    None where the facts that were trained are asked, or where problems are of one kind.
    """
    found = by_relation(section)
    if found is None:
        return None
    headers = ["method", *(f"{name} (%) ↑" for name in found.names)]
    shares = {BASE: found.before} | {row.label: found.after(row) for row in section.done}
    lines = [
        [label, *(wording.percent_interval(share) for share in of_kinds)]
        for label, of_kinds in shares.items()
    ]
    sizes = ", ".join(f"{found.size(name)} of {name}" for name in found.names)
    return TextTable(
        headers,
        lines,
        f"Reliability, of each kind of problem alone: {sizes}; none of them was trained. The first "
        "line is the base before training, asked after four demonstrations.",
    )
