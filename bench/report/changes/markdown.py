"""`changes.md`: a comparison of two folders, readable on GitHub."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from bench.report.changes import sentences
from bench.report.changes.build import Changes, SectionChange
from bench.report.changes.tables import (
    ANSWER_HEADERS,
    CHANGE_HEADERS,
    COST_HEADERS,
    answer_texts,
    answers_of,
    answers_sentence,
    change_lines,
    cost_lines,
)
from bench.report.tables.format import markdown

ANSWERS = 20
"""Changed answers of a table that are shown; the page and `answers.csv` have more."""

_TEXTS = ("method", "seeds", "measure", "cost", "seed", "question", "target", "change")


def changes_markdown(changes: Changes) -> str:
    """Return the text of `changes.md`."""
    blocks = [
        "# Changes",
        _bullets(sentences.counts(changes)),
        f"**{markdown(sentences.outcome(changes))}**",
    ]
    for section in changes.sections:
        blocks += _section(section)
    for heading, lines in sentences.listed(changes).items():
        blocks += [f"## {heading}", _bullets(lines)]
    blocks += ["## How to read this", _bullets(sentences.READING)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(section: SectionChange) -> list[str]:
    lines, answers = change_lines(section), answers_of(section)
    blocks = [f"## {markdown(section.title)}, {markdown(section.asked)}"]
    if lines:
        blocks.append(_pipe(CHANGE_HEADERS, [line.texts for line in lines]))
    said = (sentences.unchanged(section), *sentences.notes(section), answers_sentence(section))
    blocks += [markdown(text) for text in said if text]
    if answers:
        shown = [answer_texts(answer) for answer in answers[:ANSWERS]]
        more = len(answers) - len(shown)
        blocks += ["### Answers that changed", _pipe(ANSWER_HEADERS, shown)]
        blocks += [f"{more} more are in answers.csv."] if more else []
    costs = [line.texts for line in cost_lines(section)]
    return [*blocks, "### Cost", _pipe(COST_HEADERS, costs)] if costs else blocks


def _pipe(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    texts = _TEXTS + (("A", "B") if "question" in headers else ())
    align = ["left" if header in texts else "right" for header in headers]
    escaped = [[markdown(text) for text in line] for line in lines]
    return tabulate(escaped, headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)
