"""`changes.csv` and `answers.csv`: plain numbers and texts, empty where missing."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.redaction import safe_text
from bench.report.changes.build import Changes
from bench.report.changes.compare import Change
from bench.report.changes.tables import answers_of, fate

CHANGE_COLUMNS = (
    *("table", "model", "task", "method", "seeds", "measure", "more_is_better"),
    *("a", "b", "difference", "low", "high", "p", "p_holm", "verdict", "paired", "differ"),
)
ANSWER_COLUMNS = (
    *("table", "method", "seed", "fact_id", "question", "target"),
    *("answer_a", "answer_b", "right_a", "right_b", "change"),
)


def changes_csv(changes: Changes) -> str:
    """Return the text of `changes.csv`: a line for each measure of each row, changed or not."""
    lines = [
        {
            "table": section.title,
            "model": section.model,
            "task": section.task,
            "method": row.label,
            **_numbers(change),
        }
        for section in changes.sections
        for row in section.rows
        for change in row.changes.values()
    ]
    return _text(lines, CHANGE_COLUMNS)


def answers_csv(changes: Changes) -> str:
    """Return the text of `answers.csv`: a line for each answer that changed."""
    lines = [
        {
            "table": section.title,
            "method": answer.label,
            "seed": answer.seed,
            "fact_id": answer.fact_id,
            "question": safe_text(answer.question),
            "target": safe_text(answer.target),
            "answer_a": safe_text(answer.answer_a),
            "answer_b": safe_text(answer.answer_b),
            "right_a": answer.right_a,
            "right_b": answer.right_b,
            "change": fate(answer),
        }
        for section in changes.sections
        for answer in answers_of(section)
    ]
    return _text(lines, ANSWER_COLUMNS)


def _numbers(change: Change) -> dict[str, Any]:
    comparison = change.comparison
    interval = comparison.difference.interval
    return {
        "seeds": len(comparison.seeds),
        "measure": change.measure.name,
        "more_is_better": comparison.more_is_better,
        "a": change.a,
        "b": change.b,
        "difference": comparison.difference.value,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "p": comparison.p,
        "p_holm": comparison.p_holm,
        "verdict": comparison.verdict.value,
        "paired": change.paired,
        "differ": change.moved,
    }


def _text(lines: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    frame = pd.DataFrame(lines, columns=list(columns))
    return frame.to_csv(index=False, na_rep="", lineterminator="\n")
