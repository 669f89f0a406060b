"""The table of methods over all tasks and models, for everything that people read."""

from __future__ import annotations

from bench.report.leaderboard.board import Leaderboard
from bench.report.tables.format import TextTable, rank


def overall_table(board: Leaderboard) -> TextTable | None:
    """Return the table of methods over all sections; None where methods are not ranked so."""
    found = board.overall
    if found is None:
        return None
    headers = ["method", "mean rank ↓", "rank ↓"]
    lines = [[m.label, f"{m.rank:.1f}", rank(m.possible)] for m in found.methods]
    remark = (
        f"Over {found.sections} model-task pairs with equal weights: the mean of the ranks in each "
        "pair, and the ranks that a method may have by its mean over the pairs (95% intervals)."
    )
    if found.left_out:
        remark += f" Without three seeds in every pair and not ranked: {', '.join(found.left_out)}."
    return TextTable(headers, lines, remark)
