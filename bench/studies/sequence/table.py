"""The tables of the study of sequences, and the sentences beside them.

With R[k][j] the accuracy on part j after part k was trained (k = 0: before training) and K parts:
retention is the mean of R[K][j]; backward transfer the mean of R[K][j] - R[j][j] over j < K;
forward transfer the mean of R[j-1][j] - R[0][j] over j > 1, as in arXiv 1706.08840.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.statistics.intervals import (
    DIFFERENCE,
    NON_NEGATIVE,
    SHARE,
    Bounds,
    Estimate,
)
from bench.store.records import Status
from bench.studies.estimates import bounded, crossed, kind_of, mean_of
from bench.studies.sequence.plan import StudyPlan
from bench.studies.sequence.store import Trained
from bench.studies.study_report import Form, StudyColumn, StudyTable

Results = Mapping[str, Trained]
"""Sequences by the digest of their specification."""

ASKED = {"right": "trained prompt", "few_shot": "with demonstrations"}
"""How facts are asked, by the field of an outcome."""

MEASURES: dict[str, Bounds] = {
    "before": SHARE,
    "learned": SHARE,
    "retention": SHARE,
    "backward": DIFFERENCE,
    "forward": DIFFERENCE,
}
"""Columns of the first table with intervals over facts, and the bounds of their means."""

AT_THE_END = {"generality": "right", "locality": "few_shot"}
"""What is measured in the end of some facts, and in the line of which way of asking it stands."""

DONE = "done"

_COLUMNS = (
    StudyColumn("method", "method"),
    StudyColumn("asked", "asked"),
    StudyColumn("before", "before (%)", Form.PERCENT, items="facts"),
    StudyColumn("learned", "right after own part (%) ↑", Form.PERCENT, items="facts"),
    StudyColumn("retention", "right after the last part (%) ↑", Form.PERCENT, items="facts"),
    StudyColumn("backward", "backward transfer (points) ↑", Form.POINTS, items="backward_items"),
    StudyColumn("forward", "forward transfer (points) ↑", Form.POINTS, items="forward_items"),
    StudyColumn("generality", "generality (%) ↑", Form.PERCENT, items="generality_items"),
    StudyColumn("locality", "locality (%) ↑", Form.PERCENT, items="locality_items"),
    StudyColumn("drift", "drift (nats per token) ↓", Form.NATS),
    StudyColumn("updates", "optimizer updates", Form.COUNT),
)
_STATUS = StudyColumn("status", "status")


def outcomes_of(plan: StudyPlan, results: Results) -> pd.DataFrame:
    """Return one row per method, seed, stage and fact that was measured."""
    return pd.DataFrame(
        [
            {
                "method": planned.spec.cell.method,
                "seed": planned.spec.cell.seed,
                **vars(outcome),
            }
            for planned in plan.sequences
            for outcome in results[planned.spec.digest].outcomes
        ]
    )


def sequence_table(plan: StudyPlan, outcomes: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return plain numbers, one line per method and way of asking, pooled over seeds."""
    return pd.DataFrame(
        [
            _line(plan, outcomes[outcomes["method"] == method], results, method, field)
            for method in plan.methods
            for field in ASKED
        ]
    )


def shown_columns(table: pd.DataFrame) -> tuple[StudyColumn, ...]:
    """Return the columns that people see: those with a value, and the status if one failed."""
    shown = [c for c in _COLUMNS if c.name not in AT_THE_END or table[c.name].notna().any()]
    return tuple(shown) if (table["status"] == DONE).all() else (*shown, _STATUS)


def matrix(outcomes: pd.DataFrame, method: str, field: str, parts: int) -> NDArray[np.float64]:
    """Return the accuracy R[k][j] on each part after each, the mean over seeds and facts.

    Args:
        outcomes: One row per method, seed, stage and fact.
        method: The recipe.
        field: How facts are asked, a key of `ASKED`.
        parts: How many parts there are.

    Returns:
        `[parts + 1, parts]`; the first row is before training. NaN where nothing was measured.
    """
    mine = outcomes[outcomes["method"] == method].astype({field: float})
    wide = mine.pivot_table(index="stage", columns="part", values=field)
    return wide.reindex(range(parts + 1)).reindex(columns=range(1, parts + 1)).to_numpy()


def matrix_table(plan: StudyPlan, outcomes: pd.DataFrame, results: Results) -> StudyTable:
    """Return the matrices, one line per method, way of asking and stage."""
    parts = len(plan.parts)
    drift = {method: [None, *drift_by_stage(plan, results, method)] for method in plan.methods}
    fewest = min(map(len, plan.parts))
    lines = [
        {
            "method": method,
            "asked": asked,
            "trained": "before" if stage == 0 else f"part {stage}",
            **{f"part_{part}": row[part - 1] for part in range(1, parts + 1)},
            "so_far": row[:stage].mean() if stage else None,
            **bounded("drift", drift[method][stage] if stage < len(drift[method]) else None),
            "facts_per_part": fewest,
        }
        for method in plan.methods
        for field, asked in ASKED.items()
        for stage, row in enumerate(matrix(outcomes, method, field, parts))
    ]
    columns = (
        StudyColumn("method", "method"),
        StudyColumn("asked", "asked"),
        StudyColumn("trained", "trained last"),
        *(
            StudyColumn(f"part_{part}", f"part {part} (%)", Form.PERCENT, items="facts_per_part")
            for part in range(1, parts + 1)
        ),
        StudyColumn("so_far", "parts so far (%) ↑", Form.PERCENT),
        StudyColumn("drift", "drift (nats per token) ↓", Form.NATS),
    )
    return StudyTable(
        "matrix", "Accuracy on each part after each part was trained", pd.DataFrame(lines), columns
    )


def retention(
    outcomes: pd.DataFrame, method: str, field: str, parts: int
) -> dict[int, Estimate | None]:
    """Return the accuracy on parts by the number of parts trained after them.

    Args:
        outcomes: One row per method, seed, stage and fact.
        method: The recipe.
        field: How facts are asked, a key of `ASKED`.
        parts: How many parts there are; each value is of those that have so many after them.
    """
    mine = outcomes[outcomes["method"] == method]
    later = mine["stage"] - mine["part"]
    return {lag: mean_of(crossed(mine[later == lag], field), SHARE) for lag in range(parts)}


def _line(
    plan: StudyPlan, mine: pd.DataFrame, results: Results, method: str, field: str
) -> dict[str, Any]:
    parts = len(plan.parts)
    planned = [one for one in plan.sequences if one.spec.cell.method == method]
    records = [results[one.spec.digest].record for one in planned]
    done = [record for record in records if record.status is Status.DONE]
    failed = [
        f"seed {r.spec.cell.seed} {r.status}: {r.reason}"
        for r in records
        if r.status is not Status.DONE
    ]
    values = _values(mine, field, parts)
    line: dict[str, Any] = {
        "method": method,
        "asked": ASKED[field],
        "seeds": len(records),
        "failed": len(failed),
        "parts": parts,
        "facts": len(values["before"]),
        "updates": float(np.mean([record.updates for record in done])) if done else None,
    }
    kind = ""
    for name, bounds in MEASURES.items():
        found = mean_of(values[name], bounds)
        line |= bounded(name, found)
        line[f"{name}_items"] = len(values[name])
        if name == "retention":
            kind = kind_of(found)
    for name, shown in AT_THE_END.items():
        wide = crossed(mine[mine["stage"] == parts], name) if field == shown else pd.DataFrame()
        line |= {**bounded(name, mean_of(wide, SHARE)), f"{name}_items": len(wide)}
    last = pd.DataFrame({r.spec.cell.seed: r.drift[-1] for r in done})
    line |= bounded("drift", mean_of(last, NON_NEGATIVE))
    return {**line, "interval": kind, "status": "; ".join(failed) or DONE}


def _values(mine: pd.DataFrame, field: str, parts: int) -> dict[str, pd.DataFrame]:
    """Return the values of each measure, `[facts, seeds]`, of the facts that each seed has."""
    at = {
        "before": mine["stage"] == 0,
        "learned": mine["stage"] == mine["part"],
        "retention": mine["stage"] == parts,
        "just_before": mine["stage"] == mine["part"] - 1,
    }
    wide = {name: crossed(mine[rows], field) for name, rows in at.items()}
    part_of = mine.drop_duplicates("fact_id").set_index("fact_id")["part"].to_dict()
    first, last = (wide["before"].index.map(part_of) == part for part in (1, parts))
    return {
        **{name: wide[name] for name in ("before", "learned", "retention")},
        "backward": (wide["retention"] - wide["learned"])[~last],
        "forward": (wide["just_before"] - wide["before"])[~first],
    }


def drift_by_stage(plan: StudyPlan, results: Results, method: str) -> list[Estimate]:
    """Return the drift after each part, in nats per token; empty if every seed failed."""
    records = [
        results[one.spec.digest].record for one in plan.sequences if one.spec.cell.method == method
    ]
    done = {record.spec.cell.seed: record.drift for record in records if record.drift}
    stages = range(len(plan.parts)) if done else ()
    found = [
        mean_of(pd.DataFrame({seed: drift[stage] for seed, drift in done.items()}), NON_NEGATIVE)
        for stage in stages
    ]
    return [estimate for estimate in found if estimate is not None]
