"""The table of the study of order, and the sentences beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report.statistics.comparison import (
    Comparison,
    compare_all,
    corrected,
)
from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
)
from bench.store.records import Status
from bench.studies.estimates import bounded, crossed, kind_of, mean_of, paired
from bench.studies.order.plan import Budget, Condition, Order, StudyPlan
from bench.studies.order.store import Trained
from bench.studies.study_report import Form, StudyColumn

Results = Mapping[str, Trained]
"""Trainings by the digest of their specification."""

MEASURES: dict[str, Bounds] = {
    "taught": SHARE,
    "right_then": SHARE,
    "right": SHARE,
    "lost": DIFFERENCE,
    "few_shot": SHARE,
    "generality": SHARE,
    "locality": SHARE,
    "nll": NON_NEGATIVE,
    "drift": NON_NEGATIVE,
}
"""Columns with intervals, and the bounds of their means."""

COMPARED: dict[str, Bounds] = {
    **dict.fromkeys(("right", "few_shot", "generality", "locality"), DIFFERENCE),
    "drift": UNBOUNDED,
}
"""Measures whose differences to one after another are shown, and the bounds of these."""

OF_SOME = ("generality", "locality")
"""Measures that not every fact has; how many have it is in `<name>_items`."""

KEYS = ("method", "size", "budget", "order")
DONE = "done"

Values = Mapping[str, pd.DataFrame]
"""The values of each measure of one line, `[facts, seeds]`; of drift `[texts, seeds]`."""


def items_of(measure: str) -> str:
    """Return the column that says over how many facts a measure is."""
    return f"{measure}_items" if measure in OF_SOME else "facts"


def _column(name: str, header: str, form: Form, of: str = "") -> StudyColumn:
    items = "" if name.startswith("drift") else items_of(of or name)
    return StudyColumn(name, header, form, items=items)


_COLUMNS = (
    StudyColumn("method", "method"),
    StudyColumn("size", "facts (K)", Form.COUNT, key=True),
    StudyColumn("budget", "budget"),
    StudyColumn("order", "order"),
    StudyColumn("updates", "updates per training", Form.COUNT),
    StudyColumn("exposures", "exposures per fact", Form.NUMBER),
    _column("right_then", "right after own training (%) ↑", Form.PERCENT),
    _column("right", "right in the end (%) ↑", Form.PERCENT),
    _column("right_difference", "difference to one after another (points)", Form.POINTS, "right"),
    _column("few_shot", "with demonstrations (%) ↑", Form.PERCENT),
    _column("generality", "generality (%) ↑", Form.PERCENT),
    _column("locality", "locality (%) ↑", Form.PERCENT),
    _column("drift", "drift (nats per token) ↓", Form.NATS),
)
_VERDICT = StudyColumn("right_verdict", "verdict on it")
_STATUS = StudyColumn("status", "status")


def outcomes_of(plan: StudyPlan, results: Results) -> pd.DataFrame:
    """Return one row per condition and fact that was measured; `drift` is not among them."""
    rows = [
        {**_key(condition), "seed": condition.seed, **vars(outcome)}
        for condition in plan.conditions
        for training in condition.trainings
        for outcome in results[training.spec.digest].outcomes
    ]
    found = pd.DataFrame(rows)
    if rows:
        found["lost"] = found["right_then"].astype(float) - found["right"].astype(float)
    return found


def order_table(plan: StudyPlan, outcomes: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return plain numbers, one line per method, size, budget and order, pooled over seeds."""
    lines: dict[tuple[Any, ...], list[Condition]] = {}
    for condition in plan.conditions:
        lines.setdefault(tuple(_key(condition).values()), []).append(condition)
    ordered = sorted(lines, key=lambda key: _place(plan, *key))
    values = {key: _values(lines[key], outcomes, results) for key in ordered}
    compared = {name: _compared(ordered, values, name) for name in COMPARED}
    return pd.DataFrame(
        [
            {
                **_line(lines[key], outcomes, results),
                **_estimates(values[key]),
                **_differences({name: found[key] for name, found in compared.items()}),
            }
            for key in ordered
        ]
    )


def shown_columns(table: pd.DataFrame) -> tuple[StudyColumn, ...]:
    """Return the columns that people see: those with a value, and the status if one failed."""
    shown = [c for c in _COLUMNS if c.name not in OF_SOME or table[c.name].notna().any()]
    if (table["right_verdict"] != "").any():
        place = [column.name for column in shown].index("right_difference")
        shown.insert(place + 1, _VERDICT)
    return (*shown, _STATUS) if (table["status"] != DONE).any() else tuple(shown)


def _key(condition: Condition) -> dict[str, Any]:
    return {
        "method": condition.method,
        "size": condition.size,
        "budget": str(condition.budget),
        "order": str(condition.order),
    }


def _place(plan: StudyPlan, method: str, size: int, budget: str, order: str) -> tuple[int, ...]:
    methods = [cell.spec.method for cell in plan.cells]
    budgets, orders = [str(one) for one in Budget], [str(one) for one in Order]
    return methods.index(method), size, budgets.index(budget), orders.index(order)


def _values(seeds: Sequence[Condition], outcomes: pd.DataFrame, results: Results) -> Values:
    mine = of_line(outcomes, _key(seeds[0]))
    measured = {name: crossed(mine, name) for name in MEASURES if name != "drift"}
    return {**measured, "drift": _drift(seeds, results)}


def of_line(outcomes: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of one line of the table."""
    if outcomes.empty:
        return outcomes
    return outcomes[np.logical_and.reduce([outcomes[name] == key[name] for name in KEYS])]


def _drift(seeds: Sequence[Condition], results: Results) -> pd.DataFrame:
    """Return the drift on each text by seed, the mean over the trainings of a seed."""
    found = {}
    for condition in seeds:
        records = [results[t.spec.digest].record for t in condition.trainings]
        items = [record.drift for record in records if record.status is Status.DONE]
        if items:
            found[condition.seed] = np.mean(items, axis=0)
    return pd.DataFrame(found)


def _estimates(values: Values) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for name, bounds in MEASURES.items():
        found = mean_of(values[name], bounds)
        line |= bounded(name, found)
        if name in OF_SOME:
            line[items_of(name)] = len(values[name])
        if name == "right":
            line["interval"] = kind_of(found)
    return line


def _compared(
    keys: Sequence[tuple[Any, ...]], values: Mapping[tuple[Any, ...], Values], name: str
) -> dict[tuple[Any, ...], Comparison | None]:
    """Compare each line with that of one after another, fact by fact.

    Holm's correction is over the lines of one method and size.
    """
    found: dict[tuple[Any, ...], Comparison | None] = dict.fromkeys(keys)
    others = [key for key in keys if key[-1] in (str(Order.BREADTH), str(Order.BATCHES))]
    for family in dict.fromkeys(key[:2] for key in others):
        mine = [key for key in others if key[:2] == family]
        pairs = [
            paired(
                values[key][name],
                values[(*key[:-1], str(Order.DEPTH))][name],
                COMPARED[name],
                more_is_better=name != "drift",
            )
            for key in mine
        ]
        found.update(zip(mine, corrected(compare_all(pairs)), strict=True))
    return found


def _differences(compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for name, found in compared.items():
        line |= bounded(f"{name}_difference", found.difference if found else None)
        tested = found is not None and found.p is not None
        line[f"{name}_p_holm"] = found.p_holm if found else None
        line[f"{name}_verdict"] = str(found.verdict) if found and tested else ""
    return line


def _line(seeds: Sequence[Condition], outcomes: pd.DataFrame, results: Results) -> dict[str, Any]:
    trained = [results[t.spec.digest].record for c in seeds for t in c.trainings]
    done = [record for record in trained if record.status is Status.DONE]
    failed = [record for record in trained if record.status is not Status.DONE]
    statuses = Counter(f"{record.status}: {record.reason}" for record in failed)
    ended = "; ".join(f"{n} of {len(trained)} {status}" for status, n in statuses.items())
    mine = of_line(outcomes, _key(seeds[0]))
    return {
        **_key(seeds[0]),
        "seeds": len(seeds),
        "facts": mine["fact_id"].nunique() if len(mine) else 0,
        "trainings": len(trained),
        "failed": len(failed),
        "updates": _mean([record.updates for record in done]),
        "exposures": _mean([record.exposures for record in done]),
        "known": mine["known"].mean() if len(mine) else None,
        "status": ended or DONE,
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
