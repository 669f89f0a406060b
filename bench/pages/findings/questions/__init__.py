"""Questions that `docs/findings/design.md` fixes, each a function from evidence to an answer."""

from __future__ import annotations

from collections.abc import Callable

from bench.pages.findings.answer import Answer
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.questions import (
    company,
    distance,
    forecast,
    keeping,
    layers,
    prompts,
    speed,
    strategies,
    straying,
)

QUESTIONS: tuple[Callable[[Evidence], Answer], ...] = (
    distance.answer,
    straying.answer,
    company.answer,
    strategies.answer,
    layers.answer,
    keeping.answer,
    speed.answer,
    forecast.answer,
    prompts.answer,
)
"""In the order of the page."""
