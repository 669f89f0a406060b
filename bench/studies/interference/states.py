"""Answer-position states before training, alone and together, in their two main directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.intervals import Floats
from bench.studies.interference.compare import Results, outcomes_before, outcomes_of
from bench.studies.interference.plan import Condition, Regime, StudyPlan


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
