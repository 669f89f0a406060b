"""The table of the study of order, and the sentences beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report.statistics.comparison import (
    Comparison,
    Measured,
    compare_all,
    corrected,
)
from bench.report.statistics.intervals import (
    DECIDING_SEEDS,
    DIFFERENCE,
    FEWEST_ITEMS,
    NON_NEGATIVE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Estimate,
    Floats,
    estimate,
)
from bench.store.records import Status
from bench.studies.order.plan import Budget, Condition, Order, StudyPlan
from bench.studies.order.store import Trained
from bench.studies.order.study import Optimizer, OrderOptions
from bench.studies.study_report import Form, StudyColumn
from bench.studies.trainings import named, seeds_text

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

BySeed = dict[int, "pd.Series[Any]"]
"""The values of a measure by seed, those of the same facts or texts in each."""


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
_VERDICT = StudyColumn("right_verdict", "verdict")
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
    tested = (table["right_verdict"] != "").any()
    failed = (table["status"] != DONE).any()
    return (*shown, *((_VERDICT,) if tested else ()), *((_STATUS,) if failed else ()))


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


def _values(
    seeds: Sequence[Condition], outcomes: pd.DataFrame, results: Results
) -> dict[str, BySeed]:
    """Return the values of each measure of one line, of the facts that each seed has."""
    found: dict[str, BySeed] = {"drift": _drift(seeds, results)}
    mine = of_line(outcomes, _key(seeds[0]))
    for name in (name for name in MEASURES if name != "drift"):
        found[name] = {}
        if len(mine):
            by_seed = mine.assign(value=mine[name].astype(float))
            wide = by_seed.pivot(index="fact_id", columns="seed", values="value").dropna()
            if len(wide):
                found[name] = {seed: wide[seed] for seed in mine["seed"].unique().tolist()}
    return found


def of_line(outcomes: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of one line of the table."""
    if outcomes.empty:
        return outcomes
    return outcomes[np.logical_and.reduce([outcomes[name] == key[name] for name in KEYS])]


def _drift(seeds: Sequence[Condition], results: Results) -> BySeed:
    """Return the drift on each text by seed, the mean over the trainings of a seed."""
    found = {}
    for condition in seeds:
        records = [results[t.spec.digest].record for t in condition.trainings]
        items = [record.drift for record in records if record.status is Status.DONE]
        if items:
            found[condition.seed] = pd.Series(np.mean(items, axis=0))
    return found


def _estimates(values: Mapping[str, BySeed]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    kind = ""
    for name, bounds in MEASURES.items():
        found = _estimate(values[name], bounds)
        line |= _bounded(name, found)
        if name in OF_SOME:
            line[f"{name}_items"] = (found.items or 0) if found else 0
        if name == "right" and found and found.interval:
            kind = str(found.interval.kind)
    return {**line, "interval": kind}


def _estimate(by_seed: BySeed, bounds: Bounds) -> Estimate | None:
    items: list[Floats] = [np.asarray(values, dtype=np.float64) for values in by_seed.values()]
    return estimate([float(values.mean()) for values in items], items, bounds)


def _bounded(name: str, found: Estimate | None) -> dict[str, Any]:
    interval = found.interval if found else None
    return {
        name: found.value if found else None,
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _compared(
    keys: Sequence[tuple[Any, ...]], values: Mapping[tuple[Any, ...], dict[str, BySeed]], name: str
) -> dict[tuple[Any, ...], Comparison | None]:
    """Compare each line with that of one after another, fact by fact; Holm's over all lines."""
    others = [key for key in keys if key[-1] != str(Order.DEPTH) and key[1] > 1]
    pairs = []
    for key in others:
        mine, reference = values[key][name], values[(*key[:-1], str(Order.DEPTH))][name]
        pairs.append((_measured(mine, reference, name), _measured(reference, mine, name)))
    return {
        **dict.fromkeys(keys),
        **dict(zip(others, corrected(compare_all(pairs)), strict=True)),
    }


def _measured(mine: BySeed, other: BySeed, name: str) -> Measured:
    """Return the values of the facts that both have."""
    common = [seed for seed in mine if seed in other]
    return Measured(
        {
            seed: np.asarray(mine[seed].loc[mine[seed].index.isin(other[seed].index)], np.float64)
            for seed in common
        },
        COMPARED[name],
        more_is_better=name != "drift",
    )


def _differences(compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for name, found in compared.items():
        line |= _bounded(f"{name}_difference", found.difference if found else None)
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


def where(plan: StudyPlan) -> str:
    """Name the model, the task, the learning rates and the seeds."""
    spec, seeds = plan.cells[0].spec, dict.fromkeys(cell.spec.seed for cell in plan.cells)
    rates = dict.fromkeys(f"{c.spec.method} {c.spec.learning_rate:g}" for c in plan.cells)
    return (
        f"{named(spec.model)} · {named(spec.task)}: learning rate {', '.join(rates)}, "
        f"{seeds_text(list(seeds))}"
    )


def kind_of_intervals(table: pd.DataFrame) -> str:
    """Say what the intervals cover."""
    kinds = [kind for kind in dict.fromkeys(table["interval"]) if kind]
    if not kinds:
        return "no intervals, because there are too few facts"
    return f"95% confidence intervals ({', '.join(kinds)})"


def about(options: OrderOptions, plan: StudyPlan, table: pd.DataFrame) -> tuple[str, ...]:
    """Say how to read the table and the picture."""
    fresh = options.optimizer is Optimizer.FRESH
    batches = (
        f"; and in epochs, in batches of {options.batch_size}" if options.batch_size > 1 else ""
    )
    known = table["known"].dropna()
    return (
        f"{where(plan)}; constant learning rate without warm-up.",
        "One adapter learns K facts in several ways: one after another (depth first), each fact "
        "alone to its end and then the next; in epochs over all of them, one by one, which changes "
        f"nothing but the order{batches}.",
        "Until learned: a fact that is trained alone stops as soon as all of its target tokens are "
        "right under teacher forcing, and epochs stop as soon as those of all facts are; each fact "
        f"has at most {options.most} exposures. At equal exposures every fact has "
        f"{options.exposures}, and epochs one by one also take as many updates as one after "
        "another.",
        "One after another, "
        + ("each fact begins with a new AdamW" if fresh else "all facts share one AdamW")
        + "; epochs have one AdamW throughout.",
        f"Small groups are repeated with other facts until {options.measured} facts are measured, "
        "where the task has them. One fact has no order: its line is the same training each time.",
        "Right: the greedy answer to the trained prompt. Right after own training is asked "
        "directly after a fact's last update when facts are trained one after another; what is "
        "missing in the end was lost to the facts that followed. In epochs the two are the same.",
        "With demonstrations: four examples stand before the question, which training did not "
        "see. Generality: other wordings of the question. Locality: neighbours that the base "
        "answered and that still are. Drift: mean KL to the base on its own texts."
        + (f" The base knew {100 * known.mean():.0f}% of the facts." if len(known) else ""),
        "Differences are paired by seed and fact, with the same K and budget"
        + (
            f"; verdicts are Holm-corrected over all lines, from {DECIDING_SEEDS} seeds on."
            if (table["right_verdict"] != "").any()
            else f"; nothing is tested with fewer than {DECIDING_SEEDS} seeds."
        ),
        "The comparison is that of arXiv 2509.22072, whose editors stop at a loss of 0.01 instead; "
        "the measures are this project's.",
        f"Brackets and bars: {kind_of_intervals(table)}. '-' means that fewer than {FEWEST_ITEMS} "
        "facts count.",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    right = sum(outcome.right for outcome in trained.outcomes)
    taught = sum(outcome.taught for outcome in trained.outcomes)
    return (
        f"{taught} of {len(trained.outcomes)} facts learned, {right} answered in the end, "
        f"{trained.record.exposures:.3g} exposures per fact"
    )


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each line of the table with failed trainings."""
    failed = table[table["status"] != DONE].to_dict("records")
    return tuple(
        f"{line['method']}, K = {line['size']}, {line['budget']}, {line['order']}: "
        f"{line['status']}; their facts are missing"
        for line in failed
    )
