"""The table of the interference study, and the sentences beside it."""

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
"""Columns with intervals, and the bounds of their means."""

DONE = "done"
_COLUMNS = (
    StudyColumn("size", "facts together (K)", Form.COUNT, key=True),
    StudyColumn("regime", "regime"),
    StudyColumn("facts", "facts measured", Form.COUNT),
    StudyColumn("trainings", "trainings", Form.COUNT),
    StudyColumn("updates", "updates per training", Form.COUNT),
    StudyColumn("exposures", "exposures per fact", Form.NUMBER),
    StudyColumn("accuracy_alone", "accuracy alone (%)", Form.PERCENT),
    StudyColumn("accuracy_joint", "accuracy joint (%)", Form.PERCENT),
    StudyColumn("interference", "interference (points)", Form.POINTS),
    StudyColumn("nll_difference", "NLL joint - alone (nats/token)", Form.NATS),
    StudyColumn("shrink", "shrink (ratio)", Form.NUMBER),
)
_STATUS = StudyColumn("status", "status")


def interference_table(plan: StudyPlan, pairs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return plain numbers, one line per size and regime, pooled over seeds."""
    lines: dict[tuple[int, Regime], list[Condition]] = {}
    for condition in plan.conditions:
        lines.setdefault((condition.size, condition.regime), []).append(condition)
    return pd.DataFrame([_line(seeds, pairs, results) for seeds in lines.values()])


def shown_columns(table: pd.DataFrame) -> tuple[StudyColumn, ...]:
    """Return the columns that people see; the status is among them if a training failed."""
    return _COLUMNS if (table["status"] == DONE).all() else (*_COLUMNS, _STATUS)


def estimate_of(pairs: pd.DataFrame, measure: str) -> Estimate | None:
    """Estimate a measure over the facts that all seeds share; None if they share none.

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
        interval = found.interval if found else None
        line[measure] = found.value if found else None
        line[f"{measure}_low"] = interval.low if interval else None
        line[f"{measure}_high"] = interval.high if interval else None
        if measure == "interference" and interval:
            kind = str(interval.kind)
    statuses = Counter(f"{record.status}: {record.reason}" for record in failed)
    ended = "; ".join(f"{n} of {len(trained)} {status}" for status, n in statuses.items())
    return {**line, "interval": kind, "status": ended or DONE}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def where(plan: StudyPlan) -> str:
    """Name the model, task, method, facts and seeds."""
    spec, seeds = plan.cell.spec, [condition.seed for condition in plan.alone]
    plural = "seed" if len(seeds) == 1 else "seeds"
    return (
        f"{_named(spec.model)} · {_named(spec.task)} · {spec.method}, "
        f"lr {spec.learning_rate:g}, batch size {spec.batch_size}: "
        f"{len(plan.measured)} facts, {plural} {', '.join(map(str, seeds))}"
    )


def _named(given: str) -> str:
    """Return a name as given; of an absolute path only its last part."""
    return Path(given).name if Path(given).is_absolute() else given


def kind_of_intervals(table: pd.DataFrame) -> str:
    """Say what the intervals cover."""
    kinds = [kind for kind in dict.fromkeys(table["interval"]) if kind]
    if not kinds:
        return "no intervals, because there are too few facts"
    return f"95% confidence intervals, paired by fact ({', '.join(kinds)})"


def about(plan: StudyPlan, table: pd.DataFrame, results: Results) -> tuple[str, ...]:
    """Say how to read the table and the picture."""
    spec = plan.cell.spec
    known = sum(fact.correct for fact in outcomes_before(plan, results).values())
    return (
        f"{where(plan)}.",
        "Every line compares the same facts, each trained alone with "
        f"{spec.epochs} updates and each trained in a group of K facts. Groups are filled up with "
        "other facts of the task, which are not measured.",
        f"At equal exposures a group is trained for {spec.epochs} epochs. At equal updates it is "
        f"trained for exactly {spec.epochs} updates, the first of the same batches in the same "
        f"order. Up to K = {spec.batch_size} (the batch size) both are the same training.",
        f"Before training the base answers {known} of the {len(plan.measured)} facts. An answer is "
        "correct if the greedy answer after the demonstrations matches exactly.",
        "Interference is the mean of accuracy alone - accuracy joint. The NLL is that of the "
        "target after the demonstrations, joint - alone.",
        "Shrink is the mean of |h joint - h before| / |h alone - h before|, where h is the state "
        "after the final norm from which the plain prompt predicts the first answer token. 1 means "
        "that a fact moves its state as far in a group as alone.",
        "The phenomenon was described in arXiv 2405.18292; the measures are this project's.",
        f"Brackets and bars: {kind_of_intervals(table)}. An interval of width 0 means that all "
        "facts agree.",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    correct = sum(outcome.correct for outcome in trained.outcomes)
    return f"{correct} of {len(trained.outcomes)} facts answered correctly"


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each size and regime with failed trainings."""
    failed = table[table["status"] != DONE].to_dict("records")
    return tuple(
        f"K = {line['size']}, {line['regime']}: {line['status']}; their facts are missing"
        for line in failed
    )
