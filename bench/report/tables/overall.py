"""The table of methods over all tasks and models, for everything that people read."""

from __future__ import annotations

from bench.report.leaderboard.board import Leaderboard
from bench.report.tables.format import MISSING, TextTable


def overall_table(board: Leaderboard) -> TextTable | None:
    """Return the table of methods over all sections; None where methods are not ranked so."""
    found = board.overall
    if found is None:
        return None
    headers = ["method", "mean rank ↓"]
    lines = [[m.label, f"{m.rank:.1f} [{m.low:.1f}, {m.high:.1f}]"] for m in found.methods]
    if found.reference:
        headers.append(f"probability of ranking above {found.reference}")
        for line, method in zip(lines, found.methods, strict=True):
            share = method.improvement
            line.append(MISSING if share is None else f"{100 * share:.0f}%")
    remark = (
        f"Means over {found.sections} model-task pairs with equal weights; the intervals are a "
        "bootstrap over pairs, seeds and facts."
    )
    if found.left_out:
        remark += f" Without a result in every pair and not ranked: {', '.join(found.left_out)}."
    return TextTable(headers, lines, remark)
