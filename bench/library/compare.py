"""Comparisons of two methods as a frame, as the leaderboard makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.leaderboard.board import Leaderboard, Row, Section
from bench.report.statistics.comparison import Comparison
from bench.report.statistics.equal_learning import as_ratio
from bench.report.tables.csv import is_compared_by_ratio
from tasks.errors import UsageError, unknown_name

COLUMNS = (
    "model",
    "task",
    "method",
    "reference",
    "metric",
    "kind",
    "estimate",
    "low",
    "high",
    "p",
    "p_holm",
    "seeds",
    "verdict",
)

_NUMBERS = ("estimate", "low", "high", "p", "p_holm")


def compare_frame(
    board: Leaderboard, method: str, metric: str | None, model: str | None, task: str | None
) -> pd.DataFrame:
    """Return one row for each comparison of a method with the board's reference.

    Args:
        board: Compares with the reference.
        method: A method, or the label of one of its settings.
        metric: The metric; None for all.
        model: Only of this one; None for all.
        task: The same.

    Raises:
        UsageError: A name is unknown, or the methods have nothing in common.
    """
    sections = [s for s in board.sections if model in (None, s.model) and task in (None, s.task)]
    if not sections:
        known = {f"{section.model} on {section.task}" for section in board.sections}
        raise unknown_name("pair of model and task", f"{model or '*'} on {task or '*'}", known)
    rows = [(section, row) for section in sections for row in section.rows]
    found = [(s, row) for s, row in rows if method in (row.label, row.spec.asked, row.spec.recipe)]
    if not found:
        raise unknown_name("method", method, {row.spec.asked for _, row in rows})
    lines = [line for section, row in found for line in _lines(section, row)]
    if not lines:
        raise UsageError(
            f"'{method}' cannot be compared with '{sections[0].reference or 'the reference'}': "
            "they are the same, or have no model, task and seed in common"
        )
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    if metric is not None and metric not in set(frame["metric"]):
        raise unknown_name("metric of a comparison", metric, set(frame["metric"]))
    frame = frame.astype(dict.fromkeys(_NUMBERS, "float64"))
    chosen = frame if metric is None else frame[frame["metric"] == metric]
    return chosen.reset_index(drop=True)


def _lines(section: Section, row: Row) -> Iterator[dict[str, Any]]:
    for metric, compared in row.standing.comparisons.items():
        yield {
            "model": section.model,
            "task": section.task,
            "method": row.label,
            "reference": section.reference,
            "metric": metric,
            **_numbers(compared, metric),
            "p": compared.p,
            "p_holm": compared.p_holm,
            "seeds": len(compared.seeds),
            "verdict": compared.verdict.value,
        }


def _numbers(compared: Comparison, metric: str) -> dict[str, Any]:
    ratio = is_compared_by_ratio(metric)
    estimate = as_ratio(compared.difference) if ratio else compared.difference
    interval = estimate.interval
    return {
        "kind": "ratio" if ratio else "difference",
        "estimate": estimate.value,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
    }
