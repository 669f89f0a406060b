"""The table of methods over all tasks and models, for everything that people read."""

from __future__ import annotations

from bench.report.statistics.ranking import Overall, OverallRanks
from bench.report.tables.format import MISSING


def overall_headers(found: OverallRanks) -> list[str]:
    """Return the headers of the table of methods over all sections."""
    versus = [f"probability of ranking above {found.reference}"] if found.reference else []
    return ["method", "mean rank ↓", *versus]


def overall_lines(found: OverallRanks) -> list[list[str]]:
    """Return the table's lines as text, not escaped."""
    return [
        [method.label, f"{method.rank:.1f} [{method.low:.1f}, {method.high:.1f}]"]
        + ([_probability(method)] if found.reference else [])
        for method in found.methods
    ]


def overall_remark(found: OverallRanks) -> str:
    """Say what was ranked, and which methods could not be."""
    said = (
        f"Means over {found.sections} model-task pairs with equal weights; the intervals are a "
        "bootstrap over pairs, seeds and facts."
    )
    if found.left_out:
        said += f" Without a result in every pair and not ranked: {', '.join(found.left_out)}."
    return said


def _probability(method: Overall) -> str:
    return MISSING if method.improvement is None else f"{100 * method.improvement:.0f}%"
