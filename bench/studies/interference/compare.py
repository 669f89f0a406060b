"""Facts alone against the same facts together, pair by pair, and their states in one plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.statistics.intervals import Floats
from bench.store.records import Status
from bench.studies.interference.plan import Condition, Regime, StudyPlan
from bench.studies.interference.store import FactOutcome, Trained

Results = Mapping[str, Trained]
"""Trainings by the digest of their identity."""

PAIR_COLUMNS = (
    *("size", "regime", "seed", "fact_id", "accuracy_before", "accuracy_alone"),
    *("accuracy_joint", "interference", "nll_difference", "shrink"),
)


def outcomes_before(plan: StudyPlan, results: Results) -> dict[str, FactOutcome]:
    """Return what the pristine base says, by fact id."""
    return {fact.fact_id: fact for fact in results[plan.before.spec.digest].outcomes}


def outcomes_of(condition: Condition, results: Results) -> dict[str, FactOutcome]:
    """Return what was measured in a condition, by fact id; without what failed."""
    found = [results[planned.spec.digest] for planned in condition.trainings]
    return {fact.fact_id: fact for trained in found for fact in trained.outcomes}


def failures(condition: Condition, results: Results) -> list[Trained]:
    """Return the trainings of a condition that are not done."""
    found = [results[planned.spec.digest] for planned in condition.trainings]
    return [trained for trained in found if trained.record.status is not Status.DONE]


def compare(plan: StudyPlan, results: Results) -> pd.DataFrame:
    """Return one row per size, regime, seed and fact that was measured alone and together.

    accuracy_*: correct, as 0 or 1; interference: accuracy alone - joint; nll_difference: joint -
    alone, nats per token; shrink: |h_joint - h_before| / |h_alone - h_before|, NaN where the fact
    alone did not move its state.
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
    for fact_id, joint in outcomes_of(condition, results).items():
        if fact_id not in alone or fact_id not in before:
            continue
        first, single = before[fact_id], alone[fact_id]
        yield {
            "size": condition.size,
            "regime": str(condition.regime),
            "seed": condition.seed,
            "fact_id": fact_id,
            "accuracy_before": float(first.correct),
            "accuracy_alone": float(single.correct),
            "accuracy_joint": float(joint.correct),
            "interference": float(single.correct) - float(joint.correct),
            "nll_difference": joint.nll - single.nll,
            "shrink": shrink(first, single, joint),
        }


def shrink(before: FactOutcome, alone: FactOutcome, joint: FactOutcome) -> float:
    """Return how far a fact's state moved together, as a share of how far it moved alone."""
    moved = float(np.linalg.norm(alone.state - before.state))
    return float(np.linalg.norm(joint.state - before.state)) / moved if moved else float("nan")


@dataclass(frozen=True)
class StatePlane:
    """States of the measured facts in one plane, each `[facts, 2]`.

    Attributes:
        size, seed: Of the group that was trained together, at equal exposures.
        before, alone, together: Coordinates.
        explained: Share of the variance along each axis.
        distances: Of the base's answers to their targets, `[facts]`.
        known: Whether the base answered the fact, `[facts]`.
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
    """Return the plane of the largest size and the first seed; None where it has no facts."""
    joint = _largest(plan)
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
        distances=np.array([before[fact_id].distance for fact_id in ids]),
        known=np.array([before[fact_id].correct for fact_id in ids]),
    )


def principal_plane(
    states: list[NDArray[np.float32]],
) -> tuple[list[Floats], tuple[float, float]]:
    """Project sets of states on the first two principal components of all of them.

    The sign of a component makes its largest weight positive, so that it is the same everywhere.

    Args:
        states: Sets `[facts, dim]`, dim at least 2, that are fitted together.

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


def _largest(plan: StudyPlan) -> Condition:
    chosen = [c for c in plan.conditions if c.regime is Regime.EXPOSURES]
    size = max(condition.size for condition in chosen)
    return next(condition for condition in chosen if condition.size == size)
