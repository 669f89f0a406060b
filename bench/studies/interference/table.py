"""The table of the interference study, and the sentences beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report.leaderboard.distance_buckets import AWAY
from bench.report.statistics.intervals import (
    DIFFERENCE,
    FEWEST_ITEMS,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    estimate,
)
from bench.studies.estimates import bounded, kind_of, kind_of_intervals
from bench.studies.interference.compare import Results, failures, outcomes_before
from bench.studies.interference.plan import Condition, Regime, StudyPlan
from bench.studies.interference.store import ASKED, Trained
from bench.studies.study_report import Form, StudyColumn
from bench.studies.trainings import named, seeds_text
from tasks.context import Context

MEASURES: dict[str, Bounds] = {
    "accuracy_before": SHARE,
    "accuracy_alone": SHARE,
    "accuracy_joint": SHARE,
    "interference": DIFFERENCE,
    "nll_alone": NON_NEGATIVE,
    "nll_joint": NON_NEGATIVE,
    "nll_difference": UNBOUNDED,
    "confusion_before": SHARE,
    "confusion": SHARE,
    "straying_alone": SHARE,
    "straying": SHARE,
    "epochs_alone": NON_NEGATIVE,
    "epochs_joint": NON_NEGATIVE,
    "epochs_difference": UNBOUNDED,
    "shrink": NON_NEGATIVE,
}
"""Columns with intervals, and the bounds of their means."""

COUNTED = ("confusion_before", "confusion", "straying_alone", "straying")
"""Measures that not every fact has; how many have it is in `<name>_items`."""

OF_WRONG_ANSWERS = ("confusion_before", "confusion")
"""Measures of wrong answers, which are not those of the same facts with every seed."""

ASKED_AS = {Context.PLAIN: "trained prompt", Context.FEW_SHOT: "with demonstrations"}
"""The contexts as the table calls them."""

DONE = "done"


def _column(name: str, header: str, form: Form) -> StudyColumn:
    return StudyColumn(name, header, form, items=items_of(name))


def items_of(measure: str) -> str:
    """Return the column that says over how many facts a measure is."""
    return f"{measure}_items" if measure in COUNTED else "facts"


_COLUMNS = (
    StudyColumn("size", "facts together (K)", Form.COUNT, key=True),
    StudyColumn("regime", "regime"),
    StudyColumn("asked", "asked"),
    StudyColumn("updates", "updates per training", Form.COUNT),
    StudyColumn("exposures", "exposures per fact", Form.NUMBER),
    _column("accuracy_alone", "accuracy alone (%)", Form.PERCENT),
    _column("accuracy_joint", "accuracy joint (%)", Form.PERCENT),
    _column("interference", "interference (points)", Form.POINTS),
    _column("nll_alone", "NLL alone (nats/token)", Form.NATS),
    _column("nll_difference", "NLL joint - alone (nats/token)", Form.NATS),
    _column("confusion", "confusion (% of wrong answers)", Form.PERCENT),
    _column("straying_alone", "straying alone (%)", Form.PERCENT),
    _column("straying", "straying joint (%)", Form.PERCENT),
    _column("epochs_alone", "epochs to learn alone", Form.MEAN),
    _column("epochs_joint", "epochs to learn joint", Form.MEAN),
    _column("shrink", "shrink (ratio)", Form.NUMBER),
)
_STATUS = StudyColumn("status", "status")


def interference_table(plan: StudyPlan, pairs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return plain numbers, one line per size, regime and context, pooled over seeds."""
    lines: dict[tuple[int, Regime], list[Condition]] = {}
    for condition in plan.conditions:
        lines.setdefault((condition.size, condition.regime), []).append(condition)
    return pd.DataFrame(
        [_line(seeds, asked, pairs, results) for seeds in lines.values() for asked in ASKED]
    )


def shown_columns(table: pd.DataFrame) -> tuple[StudyColumn, ...]:
    """Return the columns that people see; the status is among them if a training failed."""
    return _COLUMNS if (table["status"] == DONE).all() else (*_COLUMNS, _STATUS)


def estimate_of(pairs: pd.DataFrame, measure: str) -> tuple[Estimate | None, int]:
    """Estimate a measure over the facts that have it with every seed, and count them.

    Measures of wrong answers are taken over the facts that each seed has; the count is that of the
    seed with fewest.

    Args:
        pairs: The rows of one size, regime and context.
        measure: One of `MEASURES`.
    """
    if measure in OF_WRONG_ANSWERS:
        present = pairs.dropna(subset=measure).sort_values("fact_id")
        items = [found.to_numpy(np.float64) for _, found in present.groupby("seed")[measure]]
    else:
        by_seed = pairs.pivot(index="fact_id", columns="seed", values=measure).dropna()
        items = [by_seed[seed].to_numpy(np.float64) for seed in by_seed] if len(by_seed) else []
    if not items:
        return None, 0
    means = [float(values.mean()) for values in items]
    return estimate(means, items, MEASURES[measure]), min(map(len, items))


def _line(
    seeds: Sequence[Condition], asked: Context, pairs: pd.DataFrame, results: Results
) -> dict[str, Any]:
    size, regime = seeds[0].size, seeds[0].regime
    same = (pairs["size"] == size) & (pairs["regime"] == regime) & (pairs["asked"] == asked)
    mine = pairs[same]
    trained = [results[t.spec.digest].record for c in seeds for t in c.trainings]
    failed = [t.record for c in seeds for t in failures(c, results)]
    done = [record for record in trained if record not in failed]
    line: dict[str, Any] = {
        "size": size,
        "regime": str(regime),
        "asked": ASKED_AS[asked],
        "seeds": len(seeds),
        "facts": mine["fact_id"].nunique(),
        "trainings": len(trained),
        "failed": len(failed),
        "updates": _mean([record.updates for record in done]),
        "exposures": _mean([record.exposures for record in done]),
    }
    kind = ""
    for measure in MEASURES:
        found, items = estimate_of(mine, measure)
        line |= bounded(measure, found)
        if measure in COUNTED:
            line[items_of(measure)] = items
        if measure == "interference":
            kind = kind_of(found)
    statuses = Counter(f"{record.status}: {record.reason}" for record in failed)
    ended = "; ".join(f"{n} of {len(trained)} {status}" for status, n in statuses.items())
    return {**line, "interval": kind, "status": ended or DONE}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def where(plan: StudyPlan) -> str:
    """Name the model, task, method, facts and seeds."""
    spec, seeds = plan.cell.spec, [condition.seed for condition in plan.alone]
    return (
        f"{named(spec.model)} · {named(spec.task)} · {spec.method}, "
        f"lr {spec.learning_rate:g}, batch size {spec.batch_size}: "
        f"{len(plan.measured)} facts, {seeds_text(seeds)}"
    )


def intervals_of(table: pd.DataFrame) -> str:
    """Say what the intervals cover."""
    return kind_of_intervals(table, ", paired by fact")


def about(plan: StudyPlan, table: pd.DataFrame, results: Results) -> tuple[str, ...]:
    """Say how to read the table and the picture."""
    spec = plan.cell.spec
    known = sum(fact.few_shot.correct for fact in outcomes_before(plan, results).values())
    return (
        f"{where(plan)}.",
        "Every line compares the same facts, each trained alone with "
        f"{spec.epochs} updates and each trained in a group of K facts. Groups are filled up with "
        "other facts of the task, which are not measured.",
        _regimes(plan),
        "Every fact is asked twice: on the trained prompt, which tells whether it was learned, and "
        "with four demonstrations before it, which training did not see and which tells whether it "
        f"is carried over. With demonstrations the base answers {known} of the "
        f"{len(plan.measured)} facts before training.",
        "Interference is the mean of accuracy alone - accuracy joint. The NLL is that of the "
        "target in the same prompt.",
        "Confusion is the share of wrong answers that are the target of another fact of the same "
        "training. confusion_before in the .csv is the same share of the base's wrong answers, "
        "which is chance.",
        "Straying is the share of facts whose answer is farther from the target than the base's "
        f"answer to the same prompt, by more than {AWAY:g} in semantic distance. Facts to which "
        "the base answers nothing on the trained prompt are left out there.",
        "Epochs to learn: after how many exposures all tokens of the target are right on the "
        f"trained prompt, and stay right. A fact that is not learned counts as {spec.epochs + 1}; "
        "where it was seen fewer times than alone, there is no value.",
        "Shrink is the mean of |h joint - h before| / |h alone - h before|, where h is the state "
        "after the final norm from which the trained prompt predicts the first answer token. 1 "
        "means that a fact moves its state as far in a group as alone.",
        "The phenomenon was described in arXiv 2405.18292; the measures are this project's.",
        f"Brackets and bars: {intervals_of(table)}. An interval of width 0 means that all "
        f"facts agree. '-' means that fewer than {FEWEST_ITEMS} facts or answers count.",
    )


def _regimes(plan: StudyPlan) -> str:
    """Say what groups and facts alone have in common."""
    spec = plan.cell.spec
    said = f"At equal exposures a group is trained for {spec.epochs} epochs."
    if all(condition.regime is Regime.EXPOSURES for condition in plan.conditions):
        return said
    return (
        f"{said} At equal updates it is trained for exactly {spec.epochs} updates, the first of "
        "the same batches in the same order, so that large groups see each fact fewer times. Up to "
        f"K = {spec.batch_size} (the batch size) both are the same training."
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    learned = sum(outcome.plain.correct for outcome in trained.outcomes)
    carried = sum(outcome.few_shot.correct for outcome in trained.outcomes)
    return (
        f"{learned} of {len(trained.outcomes)} facts answered correctly on the trained prompt, "
        f"{carried} with demonstrations"
    )


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each size and regime with failed trainings."""
    failed = table[table["status"] != DONE].drop_duplicates(["size", "regime"]).to_dict("records")
    return tuple(
        f"K = {line['size']}, {line['regime']}: {line['status']}; their facts are missing"
        for line in failed
    )
