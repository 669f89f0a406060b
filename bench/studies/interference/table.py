"""The table of the interference study, and what the study says about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
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
from bench.studies.interference.compare import Results, failures, outcomes_before
from bench.studies.interference.plan import Condition, Regime, StudyPlan
from bench.studies.interference.store import Trained
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


def where(plan: StudyPlan) -> str:
    """Name model, task, method, facts and seeds."""
    spec, seeds = plan.cell.spec, [condition.seed for condition in plan.alone]
    plural = "seed" if len(seeds) == 1 else "seeds"
    return (
        f"{_named(spec.model)} · {_named(spec.task)} · {spec.method}, "
        f"lr {spec.learning_rate:g}, batch {spec.batch_size}: "
        f"{len(plan.measured)} facts, {plural} {', '.join(map(str, seeds))}"
    )


def _named(given: str) -> str:
    """Return a name as it was given, of a path elsewhere its last part."""
    return Path(given).name if Path(given).is_absolute() else given


def kind_of_intervals(table: pd.DataFrame) -> str:
    """Say what the intervals cover."""
    kinds = [kind for kind in dict.fromkeys(table["interval"]) if kind]
    if not kinds:
        return "no intervals: too few facts"
    return f"95 % intervals, paired by fact ({', '.join(kinds)})"


def about(plan: StudyPlan, table: pd.DataFrame, results: Results) -> tuple[str, ...]:
    """Return how to read the table and the picture."""
    spec = plan.cell.spec
    known = sum(fact.correct for fact in outcomes_before(plan, results).values())
    return (
        where(plan),
        "the same facts are compared in every line: each trained alone, with "
        f"{spec.epochs} updates, against trained in a group of K; other facts of the task fill "
        "groups up and are not measured",
        f"equal exposures: a group is trained {spec.epochs} epochs; equal updates: exactly "
        f"{spec.epochs} updates, the first of the same batches in the same order. Up to K = "
        f"{spec.batch_size} (the batch) both are one and the same training",
        f"before training the base answers {known} of the {len(plan.measured)} facts; correct "
        "means the greedy answer after demonstrations, by exact match",
        "interference: mean of accuracy alone - accuracy joint; NLL: of the target after "
        "demonstrations, joint - alone",
        "shrink: mean of |h joint - h before| / |h alone - h before|, h the state after the "
        "final norm from which the plain prompt predicts the first answer token; 1 means "
        "that a fact moves its state as far in company as alone",
        "the phenomenon is that of arXiv 2405.18292, the measures are this project's",
        f"{kind_of_intervals(table)}; an interval of width 0 means that all facts agree",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    correct = sum(outcome.correct for outcome in trained.outcomes)
    return f"{correct} of {len(trained.outcomes)} facts answered"


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a line per size and regime that lacks facts."""
    failed = table[table["status"] != DONE].to_dict("records")
    return tuple(
        f"K = {line['size']}, {line['regime']}: {line['status']}; their facts are missing there"
        for line in failed
    )
