"""The seven questions, each a function from the evidence to an answer."""

from __future__ import annotations

from collections.abc import Callable

from bench.findings.answer import Answer, corrected_answer
from bench.findings.evidence import Evidence
from bench.findings.questions import (
    company,
    distance,
    keeping,
    layers,
    rates,
    selection,
    straying,
)

QUESTIONS: tuple[Callable[[Evidence], Answer], ...] = (
    distance.answer,
    straying.answer,
    company.answer,
    selection.answer,
    layers.answer,
    keeping.answer,
    rates.answer,
)
"""In the order of the page."""


def answers(evidence: Evidence) -> tuple[Answer, ...]:
    """Answer every question, corrected for its number of comparisons."""
    return tuple(corrected_answer(ask(evidence)) for ask in QUESTIONS)
