"""Means with intervals in a study's table, over facts that every seed has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.report.statistics.comparison import Measured
from bench.report.statistics.intervals import UNBOUNDED, Bounds, Estimate, estimate


def crossed(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Return a field of the facts that every seed has, `[facts, seeds]`, by fact id.

    Args:
        rows: One row per seed and fact, with the columns `fact_id` and `seed`.
        field: The column to take; facts without a value are left out.
    """
    if rows.empty:
        return pd.DataFrame()
    found = rows.assign(value=rows[field].astype(float))
    return found.pivot(index="fact_id", columns="seed", values="value").dropna().sort_index()


def mean_of(values: pd.DataFrame, bounds: Bounds) -> Estimate | None:
    """Estimate the mean of values `[items, seeds]`; None if there are none."""
    items = [np.asarray(values[seed], np.float64) for seed in values] if len(values) else []
    return estimate([float(of_seed.mean()) for of_seed in items], items, bounds)


def paired(
    values: pd.DataFrame, others: pd.DataFrame, bounds: Bounds, *, more_is_better: bool
) -> tuple[Measured, Measured]:
    """Return two sets of values `[items, seeds]`, of the items and seeds that both have.

    Args:
        values: What is compared.
        others: What it is compared with.
        bounds: Of the difference of two means.
        more_is_better: Whether a higher value is better.
    """
    items = values.index.intersection(others.index)
    seeds = [seed for seed in values if seed in others]
    first, second = (
        {int(str(seed)): np.asarray(one.loc[items][seed], np.float64) for seed in seeds}
        for one in (values, others)
    )
    return Measured(first, bounds, more_is_better), Measured(second, UNBOUNDED, more_is_better)


def bounded(name: str, found: Estimate | None) -> dict[str, Any]:
    """Return the columns of an estimate: `<name>`, `<name>_low` and `<name>_high`."""
    interval = found.interval if found else None
    return {
        name: found.value if found else None,
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def kind_of(found: Estimate | None) -> str:
    """Return what an estimate's interval covers; empty without one."""
    return str(found.interval.kind) if found and found.interval else ""


def kind_of_intervals(table: pd.DataFrame, how: str = "") -> str:
    """Say what the intervals of a table cover, whose column `interval` has their kinds.

    Args:
        table: The study's table.
        how: What else there is to say of them, as in `, paired by fact`.
    """
    kinds = [kind for kind in dict.fromkeys(table["interval"]) if kind]
    if not kinds:
        return "no intervals, because there are too few facts"
    return f"95% confidence intervals{how} ({', '.join(kinds)})"
