"""The table of why methods forget: which measure of `--explain` goes with what was lost."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evaluation.why import MEASURES
from bench.report.leaderboard.board import Section
from bench.report.leaderboard.explained import association, is_explained, lost_tasks
from bench.report.statistics.correlation import Correlation
from bench.report.tables.format import MISSING, TextTable

HEADING = "Why it was forgotten"


def why_table(section: Section) -> TextTable | None:
    """Return how each measure goes with drift and with what was forgotten, a line for each measure.

    None where no cell was run with `--explain`, or nothing was lost that could be compared.
    """
    tasks = lost_tasks(section)
    if not tasks or not any(map(is_explained, section.rows)):
        return None
    headers = ["measure", *(f"{task}, {how}" for task in tasks for how in ("over", "within"))]
    lines = []
    for measure in MEASURES:
        found = [association(section, measure, task) for task in tasks]
        texts = (correlation_text(one) for each in found for one in (each.over, each.within))
        lines.append([measure.name, *texts])
    return TextTable(
        headers,
        lines,
        "Correlations of each measure with what was lost, with Fisher's 95% intervals: over "
        "methods (the mean of each method's cells; a method is one point) and within methods (over "
        "seeds and rates, each method's mean taken away). Sizes and drift by their logarithms, "
        "shares as they are. "
        f"A correlation is no cause, and these are many: {len(lines)} measures.",
    )


def correlation_text(found: Correlation | None) -> str:
    """Write a correlation with its interval and the number of its points."""
    if found is None:
        return MISSING
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}], n = {found.points}"


def why_sentences(sections: Sequence[Section]) -> list[str]:
    """Explain each measure, a line for each; nothing where no cell was run with `--explain`."""
    if not any(is_explained(row) for section in sections for row in section.rows):
        return []
    return [f"{measure.name} (--explain): {measure.explanation}." for measure in MEASURES]
