"""Facts trained alone and together, compared fact by fact, and their states in one plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.leaderboard.distance_buckets import AWAY
from bench.report.statistics.intervals import Floats
from bench.store.records import Status
from bench.studies.interference.plan import Condition, Regime, StudyPlan
from bench.studies.interference.store import ASKED, FactOutcome, Said, Trained, is_confused
from tasks.context import Context

Results = Mapping[str, Trained]
"""Trainings by the digest of their specification."""

PAIR_COLUMNS = (
    *("size", "regime", "asked", "seed", "fact_id"),
    *("accuracy_before", "accuracy_alone", "accuracy_joint", "interference"),
    *("nll_alone", "nll_joint", "nll_difference"),
    *("confusion_before", "confusion", "straying_alone", "straying"),
    *("epochs_alone", "epochs_joint", "epochs_difference", "shrink"),
)


def outcomes_before(plan: StudyPlan, results: Results) -> dict[str, FactOutcome]:
    """Return what the untrained base answers, by fact id."""
    return {fact.fact_id: fact for fact in results[plan.before.spec.digest].outcomes}


def outcomes_of(condition: Condition, results: Results) -> dict[str, FactOutcome]:
    """Return what was measured in a condition, by fact id; failed trainings are left out."""
    found = [results[planned.spec.digest] for planned in condition.trainings]
    return {fact.fact_id: fact for trained in found for fact in trained.outcomes}


def failures(condition: Condition, results: Results) -> list[Trained]:
    """Return the trainings of a condition that failed."""
    found = [results[planned.spec.digest] for planned in condition.trainings]
    return [trained for trained in found if trained.record.status is not Status.DONE]


def compare(plan: StudyPlan, results: Results) -> pd.DataFrame:
    """Return one row per size, regime, context, seed and fact that was measured alone and together.

    accuracy_*, confusion* and straying* are 0 or 1; interference is accuracy alone - joint;
    nll_difference is joint - alone, in nats per token; epochs_difference is joint - alone; shrink
    is |h_joint - h_before| / |h_alone - h_before|. Missing values are NaN: see `_measures` and
    `_dose`.
    """
    before = outcomes_before(plan, results)
    alone = {condition.seed: outcomes_of(condition, results) for condition in plan.alone}
    rows = [
        row
        for condition in plan.conditions
        for row in _pairs(condition, results, before, alone[condition.seed])
    ]
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def _pairs(
    condition: Condition,
    results: Results,
    before: Mapping[str, FactOutcome],
    alone: Mapping[str, FactOutcome],
) -> Iterator[dict[str, Any]]:
    planned = [training.group for training in condition.trainings]
    groups = {fact.id: group for group in planned for fact in group.measured}
    for fact_id, joint in outcomes_of(condition, results).items():
        if fact_id not in alone or fact_id not in before:
            continue
        first, single, others = before[fact_id], alone[fact_id], groups[fact_id].others(fact_id)
        for asked in ASKED:
            yield {
                "size": condition.size,
                "regime": str(condition.regime),
                "asked": str(asked),
                "seed": condition.seed,
                "fact_id": fact_id,
                **_measures(first.said(asked), single.said(asked), joint.said(asked), others),
                "straying_alone": strayed(first, single, asked),
                "straying": strayed(first, joint, asked),
                **(_dose(single, joint) if asked is Context.PLAIN else {}),
                "shrink": shrink(first, single, joint) if asked is Context.PLAIN else None,
            }


def _measures(
    before: Said, alone: Said, joint: Said, others: frozenset[str]
) -> dict[str, float | None]:
    """Compare what was said of one fact in one context; confusion is None for right answers.

    The base was not trained with the other facts: how often its wrong answers are their targets
    tells what happens by chance, where many facts have few answers.
    """
    by_chance = is_confused(before.answer, others, correct=before.correct)
    return {
        "accuracy_before": float(before.correct),
        "accuracy_alone": float(alone.correct),
        "accuracy_joint": float(joint.correct),
        "interference": float(alone.correct) - float(joint.correct),
        "nll_alone": alone.nll,
        "nll_joint": joint.nll,
        "nll_difference": joint.nll - alone.nll,
        "confusion_before": None if by_chance is None else float(by_chance),
        "confusion": None if joint.confused is None else float(joint.confused),
    }


def _dose(alone: FactOutcome, joint: FactOutcome) -> dict[str, float | None]:
    """Compare the epochs that a fact needed; None where it was trained fewer times in the group.

    A fact that is not learned counts as one more than all epochs, so fewer of them would look like
    faster learning.
    """
    one, other = alone.epochs_to_learn, joint.epochs_to_learn
    if one is None or other is None or alone.exposures != joint.exposures:
        return {}
    return {
        "epochs_alone": float(one),
        "epochs_joint": float(other),
        "epochs_difference": float(other - one),
    }


def strayed(before: FactOutcome, after: FactOutcome, context: Context) -> float | None:
    """Return 1 if an answer went away from its target in training, else 0.

    None on the plain prompt where the base said nothing there, which is no place to stray from.
    """
    first, last = before.said(context), after.said(context)
    if context is Context.PLAIN and not first.answer:
        return None
    return float(last.distance - first.distance > AWAY)


def shrink(before: FactOutcome, alone: FactOutcome, joint: FactOutcome) -> float:
    """Return how far a fact's state moved in a group, divided by how far it moved alone."""
    moved = float(np.linalg.norm(alone.state - before.state))
    return float(np.linalg.norm(joint.state - before.state)) / moved if moved else float("nan")


@dataclass(frozen=True)
class StatePlane:
    """States of the measured facts in one plane, each `[facts, 2]`.

    Attributes:
        size, seed: The group that was trained together, at equal exposures.
        before, alone, together: The states' coordinates.
        explained: The share of the variance along each axis.
        distances: Distances from the base's answers to their targets, with demonstrations,
            `[facts]`.
        known: Whether the base answered each fact with demonstrations, `[facts]`.
    """

    size: int
    seed: int
    before: Floats
    alone: Floats
    together: Floats
    explained: tuple[float, float]
    distances: Floats
    known: NDArray[np.bool_]


def state_plane(plan: StudyPlan, results: Results) -> StatePlane | None:
    """Return the plane of the largest size and the first seed; None if it has no facts."""
    # The first of the largest: conditions of one size are in the order of the seeds.
    equal = [c for c in plan.conditions if c.regime is Regime.EXPOSURES]
    joint = max(equal, key=lambda condition: condition.size)
    alone = next(condition for condition in plan.alone if condition.seed == joint.seed)
    before = outcomes_before(plan, results)
    single, together = outcomes_of(alone, results), outcomes_of(joint, results)
    ids = [fact_id for fact_id in before if fact_id in single and fact_id in together]
    if not ids:
        return None
    states = [
        np.stack([found[fact_id].state for fact_id in ids]) for found in (before, single, together)
    ]
    (first, second, third), explained = principal_plane(states)
    return StatePlane(
        size=joint.size,
        seed=joint.seed,
        before=first,
        alone=second,
        together=third,
        explained=explained,
        distances=np.array([before[fact_id].few_shot.distance for fact_id in ids]),
        known=np.array([before[fact_id].few_shot.correct for fact_id in ids]),
    )


def principal_plane(
    states: list[NDArray[np.float32]],
) -> tuple[list[Floats], tuple[float, float]]:
    """Project sets of states on the first two principal components of all sets together.

    A component's sign is chosen so that its largest weight is positive, the same on every machine.

    Args:
        states: Sets `[facts, dim]` with dim at least 2.

    Returns:
        The sets, `[facts, 2]` each, and the share of the variance of each component.
    """
    stacked = np.concatenate(states).astype(np.float64)
    centred = stacked - stacked.mean(axis=0)
    _, scales, components = np.linalg.svd(centred, full_matrices=False)
    plane = components[:2]
    peaks = np.take_along_axis(plane, np.abs(plane).argmax(axis=1)[:, None], axis=1)
    projected = centred @ (plane * np.where(peaks < 0, -1.0, 1.0)).T
    variance = scales**2 / max(float((scales**2).sum()), np.finfo(np.float64).tiny)
    sets = np.split(projected, np.cumsum([len(part) for part in states])[:-1])
    return sets, (float(variance[0]), float(variance[1]))
