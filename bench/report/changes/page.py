"""`changes.html`: a comparison of two folders on one page, in the look of `leaderboard.html`."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.changes import sentences
from bench.report.changes.build import Changes, SectionChange
from bench.report.changes.tables import (
    ANSWER_HEADERS,
    CHANGE_HEADERS,
    COST_HEADERS,
    ChangeLine,
    answer_texts,
    answers_of,
    answers_sentence,
    change_lines,
    cost_lines,
)
from bench.report.html.page import page_templates

ANSWERS = 500
"""Changed answers of a table that the page shows."""


@dataclass(frozen=True)
class Bar:
    """A difference and its interval on a scale with 0 in the middle, in percent of its length."""

    left: float
    width: float
    at: float


def changes_html(changes: Changes) -> str:
    """Return the page; every text that a model, a file or a person gave is escaped."""
    return (
        page_templates()
        .get_template("changes.html")
        .render(
            counts=sentences.counts(changes),
            outcome=sentences.outcome(changes),
            sections=[_section(section) for section in changes.sections],
            listed=sentences.listed(changes),
            reading=sentences.READING,
            headers={"change": CHANGE_HEADERS, "cost": COST_HEADERS, "answer": ANSWER_HEADERS},
        )
    )


def _section(section: SectionChange) -> dict[str, object]:
    lines, answers = change_lines(section), answers_of(section)
    said = (sentences.unchanged(section), *sentences.notes(section))
    return {
        "title": f"{section.title}, {section.asked}",
        "lines": [
            {
                "texts": line.texts,
                "numbers": line.numbers,
                "verdict": line.change.comparison.verdict.value,
                "bar": interval_bar(line, lines),
            }
            for line in lines
        ],
        "said": [text for text in said if text],
        "answered": answers_sentence(section),
        "answers": [answer_texts(answer) for answer in answers[:ANSWERS]],
        "left_out": max(0, len(answers) - ANSWERS),
        "costs": [line.texts for line in cost_lines(section)],
    }


def interval_bar(line: ChangeLine, lines: list[ChangeLine]) -> Bar | None:
    """Return where a difference lies on the scale that its measure has in a table.

    Args:
        line: The difference.
        lines: All of the table; those of one measure have one scale, so that bars compare.
    """
    name = line.change.measure.name
    alike = [each for each in lines if each.change.measure.name == name]
    reach = max(abs(end) for each in alike for end in _ends(each))
    low, high = _ends(line)
    if reach == 0 or line.change.comparison.difference.interval is None:
        return None
    scale = 50 / reach
    at = 50 + scale * line.change.comparison.difference.value
    return Bar(left=50 + scale * low, width=scale * (high - low), at=at)


def _ends(line: ChangeLine) -> tuple[float, float]:
    found = line.change.comparison.difference
    interval = found.interval
    return (found.value, found.value) if interval is None else (interval.low, interval.high)
