"""What one cell had drifted by the time it had learned a share of the facts it did not know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report.statistics.equal_learning import LearningPath, cost_at_share
from bench.report.statistics.intervals import FEWEST_ITEMS
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import Checkpoint, FactRow

SHARES = {"drift_at_90": 0.9, "drift_at_50": 0.5}


def drift_at_shares(rows: Sequence[FactRow], path: Sequence[Checkpoint]) -> dict[str, float | None]:
    """Return the drift, in nats, where 90% and 50% of the unknown facts are learned.

    None where drift was not measured, where fewer than five facts were unknown, and where a share
    is never reached or was reached before training.

    Args:
        rows: The fact rows of the cell.
        path: Its checkpoints.
    """
    learned = [
        row.epochs_to_learn
        for row in rows
        if row.epochs_to_learn is not None and row.knowledge is not KnowledgeCategory.KNOWN
    ]
    drifts = [point.drift for point in path if point.drift is not None]
    if len(learned) < FEWEST_ITEMS or not path or len(drifts) < len(path):
        return dict.fromkeys(SHARES)
    whole = LearningPath(
        seeds=(0,),
        epochs_to_learn=np.array([learned], dtype=np.float64),
        checkpoints=np.array([point.epoch for point in path], dtype=np.float64),
        costs=np.array([drifts], dtype=np.float64),
        as_ratio=False,
    )
    found = {name: float(cost_at_share(whole, share).whole[0]) for name, share in SHARES.items()}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}
