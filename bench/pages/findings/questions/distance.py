"""Question 1: is a fact at a middle distance learned sooner?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, group_difference, mean_of
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.planned_settings import (
    EPOCHS_BAR,
    SMALLER,
    epochs_of,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="distance",
    title="Distance and learning",
    asks="Are facts at a middle semantic distance learned sooner than near and far ones?",
    compared="Epochs to learn of the nearest and of the farthest third of the unknown facts, each "
    "less the middle third, with LoRA. The mean of its relation is taken off each fact's distance "
    "and epochs. A yes needs both differences.",
    source="2405.18292: accuracy drops at short and at long distances",
    expected=Verdict.YES,
    grids=("adapters",),
)
METHOD = "lora"
THIRDS = ("nearest third", "middle third", "farthest third")
FEWEST = 2
"""A third with fewer facts has no spread and is not compared."""


def answer(evidence: Evidence) -> Answer:
    """Compare thirds of distance, within relations and, beside it, regardless of them."""
    found = [
        setting
        for setting in planned_settings(evidence, SMALLER)
        if METHOD in setting.rows and has_thirds(setting.rows[METHOD])
    ]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Within a relation, near and far facts take longer to learn than those between",
                tuple(_ends(found, within=True)),
                EPOCHS_BAR,
                advice={
                    Verdict.YES: "Give near and far facts of a relation more epochs than those "
                    "between",
                    Verdict.NO: "Do not plan epochs by semantic distance: among facts of one "
                    "relation, near and far ones do not both take longer to learn",
                },
            ),
        ),
        details=tuple(_ends(found, within=False)),
        caveats=(
            "Differences between relations, and so between types and lengths of answers, are taken "
            "out; the further comparisons keep them.",
            "A fact that is not learned counts as if it were learned one epoch after the last.",
        ),
        pictures=tuple(_curves(setting) for setting in found),
    )


def _curves(setting: Setting) -> Picture:
    row = setting.rows[METHOD]
    epochs = epochs_of(row, row.seeds)
    groups = {
        n: epochs[:, third] for n, third in zip(THIRDS, thirds(row, within=True), strict=True)
    }
    heading = "Learning by distance within relations"
    return learning("distance", heading, setting.title, groups, row.spec.epochs)


def _ends(settings: list[Setting], *, within: bool) -> Iterator[Effect]:
    for setting in settings:
        row = setting.rows[METHOD]
        if not has_thirds(row, within=within):
            continue
        near, middle, far = thirds(row, within=within)
        epochs = epochs_of(row, row.seeds)
        if within:
            relations = relations_of(row)
            epochs = np.stack([_centred(values, relations) for values in epochs])
        kind = "" if within else ", relations mixed"
        for name, end in (("nearest", near), ("farthest", far)):
            table = group_difference(epochs, end, middle)
            yield mean_of(f"{name} - middle third{kind}", setting.title, table, Unit.EPOCHS)


def thirds(row: Row, *, within: bool) -> tuple[Flags, Flags, Flags]:
    """Return which unknown facts are near, between and far, each `[unknown facts]`.

    Args:
        row: A method.
        within: Whether distances are taken less the mean of a fact's relation.
    """
    distances = row.cells[0].rows["distance_before"].to_numpy(dtype=np.float64)[unknown(row)]
    if not len(distances):
        return (np.zeros(0, dtype=np.bool_),) * 3
    if within:
        distances = _centred(distances, relations_of(row))
    low, high = np.quantile(distances, [1 / 3, 2 / 3])
    near, far = distances <= low, distances > high
    return near, ~near & ~far, far


def has_thirds(row: Row, *, within: bool = True) -> bool:
    """Return whether each third has two facts: where most distances are equal, one has none."""
    return min(third.sum() for third in thirds(row, within=within)) >= FEWEST


def relations_of(row: Row) -> pd.Series:
    """Return the relations of the unknown facts."""
    return row.cells[0].rows.loc[unknown(row), "relation"].reset_index(drop=True)


def _centred(values: Floats, relations: pd.Series) -> Floats:
    series = pd.Series(values)
    return np.asarray(series - series.groupby(relations).transform("mean"), dtype=np.float64)
