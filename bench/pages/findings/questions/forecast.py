"""Question 8: does the change of outputs on known texts predict drift?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.evaluation.why import MEASURES
from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import correlated
from bench.pages.findings.enough import methods_needed
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.planned import STARTS
from bench.pages.findings.questions.planned_settings import SMALLER, planned_settings
from bench.pages.findings.verdict import Verdict
from bench.report.leaderboard.board import DRIFT, Row
from bench.report.leaderboard.explained import Association, association, is_explained
from bench.report.statistics.correlation import Correlation

QUESTION = Question(
    key="forecast",
    title="What predicts drift",
    asks="Do methods whose weights move the base's outputs on known texts further (CSD) drift "
    "more?",
    compared="Pearson's correlation of the logarithms of CSD and of drift, both after the last "
    "epoch, over the means of methods, each at its own learning rate.",
    source="PEFT-Arena: capability-conditioned drift goes with what is forgotten",
    expected=Verdict.YES,
    grids=("lora", "pissa", "keeping", "starts", "starts_astra"),
)
MEASURE = next(measure for measure in MEASURES if measure.name == "csd.knowledge")
CORRELATION = 0.63
BAR = float(np.arctanh(CORRELATION))
FEWEST_METHODS = 5


def answer(evidence: Evidence) -> Answer:
    """Correlate CSD with drift over methods, and within them."""
    settings = [
        s for s in planned_settings(evidence, SMALLER) if len(_explained(s)) >= FEWEST_METHODS
    ]
    found = [(setting, _association(setting)) for setting in settings]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Methods with more CSD on known texts drift more",
                "correlation",
                present(_effect(s, "over methods", both.over) for s, both in found),
                BAR,
            ),
        ),
        details=present(_effect(s, "over seeds, within methods", both.within) for s, both in found),
        caveats=(
            "A correlation over methods does not say that a method with less CSD would drift less.",
            "Each method is at its own learning rate; how much they have learned differs.",
        ),
        needs=methods_needed(CORRELATION, STARTS + 1),
    )


def _explained(setting: Setting) -> list[Row]:
    return [row for row in setting.adapters().values() if is_explained(row)]


def _association(setting: Setting) -> Association:
    """Correlate adapters alone; their candidates, at other rates, do not count."""
    rows = tuple(replace(row, tuning=None) for row in _explained(setting))
    section = replace(setting.section, rows=rows)
    return association(section, MEASURE, DRIFT)


def _effect(setting: Setting, said: str, found: Correlation | None) -> Effect | None:
    if found is None:
        return None
    seeds = min(len(row.cells) for row in _explained(setting))
    return correlated(f"CSD and drift, {said}", setting.title, found, seeds)
