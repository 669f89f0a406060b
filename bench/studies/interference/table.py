"""The table of the interference study: one line per size and regime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    estimate,
)
from bench.studies.interference.compare import Results, failures
from bench.studies.interference.plan import Condition, Regime, StudyPlan
from bench.studies.study_report import Form, StudyColumn

MEASURES: dict[str, Bounds] = {
    "accuracy_before": SHARE,
    "accuracy_alone": SHARE,
    "accuracy_joint": SHARE,
    "interference": DIFFERENCE,
    "nll_difference": UNBOUNDED,
    "shrink": NON_NEGATIVE,
}
"""Columns with intervals, and what their means can be."""

DONE = "done"
_COLUMNS = (
    StudyColumn("size", "K, facts together", Form.COUNT, key=True),
    StudyColumn("regime", "regime"),
    StudyColumn("facts", "facts measured", Form.COUNT),
    StudyColumn("trainings", "trainings", Form.COUNT),
    StudyColumn("updates", "updates each", Form.COUNT),
    StudyColumn("exposures", "exposures of a fact", Form.NUMBER),
    StudyColumn("accuracy_alone", "accuracy alone, %", Form.PERCENT),
    StudyColumn("accuracy_joint", "accuracy joint, %", Form.PERCENT),
    StudyColumn("interference", "interference, points", Form.POINTS),
    StudyColumn("nll_difference", "NLL joint - alone, nats/token", Form.NATS),
    StudyColumn("shrink", "shrink, ratio", Form.NUMBER),
)
_STATUS = StudyColumn("status", "status")


def interference_table(plan: StudyPlan, pairs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return plain numbers, one line per size and regime, seeds taken together."""
    lines: dict[tuple[int, Regime], list[Condition]] = {}
    for condition in plan.conditions:
        lines.setdefault((condition.size, condition.regime), []).append(condition)
    return pd.DataFrame([_line(seeds, pairs, results) for seeds in lines.values()])


def shown_columns(table: pd.DataFrame) -> tuple[StudyColumn, ...]:
    """Return the columns for people; the status where something went wrong."""
    return _COLUMNS if (table["status"] == DONE).all() else (*_COLUMNS, _STATUS)


def estimate_of(pairs: pd.DataFrame, measure: str) -> Estimate | None:
    """Estimate a measure over the facts that every seed has; None where none has.

    Args:
        pairs: The rows of one size and regime.
        measure: One of `MEASURES`.
    """
    by_seed = pairs.pivot(index="fact_id", columns="seed", values=measure).dropna()
    if by_seed.empty:
        return None
    items = [by_seed[seed].to_numpy(dtype=np.float64) for seed in by_seed]
    return estimate([float(values.mean()) for values in items], items, MEASURES[measure])


def _line(seeds: Sequence[Condition], pairs: pd.DataFrame, results: Results) -> dict[str, Any]:
    size, regime = seeds[0].size, seeds[0].regime
    mine = pairs[(pairs["size"] == size) & (pairs["regime"] == regime)]
    trained = [results[t.spec.digest].record for c in seeds for t in c.trainings]
    failed = [t.record for c in seeds for t in failures(c, results)]
    done = [record for record in trained if record not in failed]
    line: dict[str, Any] = {
        "size": size,
        "regime": str(regime),
        "seeds": len(seeds),
        "facts": mine["fact_id"].nunique(),
        "trainings": len(trained),
        "failed": len(failed),
        "updates": _mean([record.updates for record in done]),
        "exposures": _mean([record.exposures for record in done]),
    }
    kind = ""
    for measure in MEASURES:
        found = estimate_of(mine, measure)
        line |= _written(measure, found)
        if measure == "interference" and found and found.interval:
            kind = str(found.interval.kind)
    statuses = Counter(f"{record.status}: {record.reason}" for record in failed)
    told = "; ".join(f"{n} of {len(trained)} {status}" for status, n in statuses.items())
    return {**line, "interval": kind, "status": told or DONE}


def _written(measure: str, found: Estimate | None) -> dict[str, float | None]:
    interval = found.interval if found else None
    return {
        measure: found.value if found else None,
        f"{measure}_low": interval.low if interval else None,
        f"{measure}_high": interval.high if interval else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
