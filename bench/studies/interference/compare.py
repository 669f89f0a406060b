"""Facts alone against the same facts together, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.store.records import Status
from bench.studies.interference.plan import Condition, StudyPlan
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
