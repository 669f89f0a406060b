"""Question 2: who strays from the target, and when?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import group_difference, mean_of
from bench.pages.findings.evidence import Evidence, Setting, values_of
from bench.pages.findings.pictures import shares
from bench.pages.findings.planned import BAR, POINTS_COUNT
from bench.pages.findings.questions.distance import thirds
from bench.pages.findings.questions.planned_settings import (
    MANY,
    epochs_of,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.leaderboard.distance_buckets import AWAY
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="straying",
    title="Straying",
    asks="While facts are being learned, do answers that lie near the target stray from it more "
    "often than answers that lie far from it?",
    compared="The share of unknown facts whose answer, with demonstrations, is farther from the "
    "target than the answer of the base was: the nearest third less the farthest third, within "
    "relations, after four epochs of LoRA.",
    source="2405.18292: facts at short distances are pushed away",
    expected=Verdict.YES,
    grids=("distance",),
)
METHOD, LEAST_FACTS = "lora", 512


def answer(evidence: Evidence) -> Answer:
    """Compare the nearest and the farthest third by the share that strayed."""
    settings = [
        setting
        for setting in planned_settings(evidence, MANY)
        if METHOD in setting.rows and setting.spec.facts >= LEAST_FACTS
    ]
    found = [tuple(_shares(setting)) for setting in settings]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "After four epochs, near facts have strayed more often than far ones",
                tuple(_difference(setting) for setting in settings),
                BAR * POINTS_COUNT / 100,
                advice={
                    Verdict.YES: "Train until facts are learned: half-way, answers that were "
                    "nearly right stray most",
                    Verdict.NO: "Do not fear for answers that are nearly right: half-way through "
                    "training they stray no more than others",
                },
            ),
        ),
        measured=tuple(effect for effects in found for effect in effects),
        caveats=(
            "An answer that happens to be near has more room to move away than one that is far, "
            "so part of the difference is there for any change of answers.",
            "It is about this dose: the picture of question 1 shows how much was learned by then.",
        ),
        pictures=tuple(
            shares("straying", "Facts that strayed", setting.title, effects[:-1])
            for setting, effects in zip(settings, found, strict=True)
        ),
    )


def _difference(setting: Setting) -> Effect:
    row = setting.rows[METHOD]
    near, _, far = thirds(row, within=True)
    table = group_difference(strayed(row), near, far)
    return mean_of("nearest third - farthest third", setting.title, table)


def _shares(setting: Setting) -> Iterator[Effect]:
    """Yield the share that strayed, of each third and of all unknown facts."""
    row = setting.rows[METHOD]
    found, groups = strayed(row), thirds(row, within=True)
    for name, group in zip(("nearest", "middle", "farthest"), groups, strict=True):
        yield mean_of(f"strayed, {name} third", setting.title, found[:, group], Unit.PERCENT)
    yield mean_of("strayed, all unknown facts", setting.title, found, Unit.PERCENT)
    learned = np.asarray(epochs_of(row, row.seeds) <= row.spec.epochs, dtype=np.float64)
    yield mean_of("learned, all unknown facts", setting.title, learned, Unit.PERCENT)


def strayed(row: Row) -> Floats:
    """Return whether answers moved away from their targets, 0 or 1, `[seeds, unknown facts]`."""
    before, after = (
        values_of(row, row.seeds, column) for column in ("distance_before", "distance_few_shot")
    )
    return np.asarray(after - before > AWAY, dtype=np.float64)[:, unknown(row)]
