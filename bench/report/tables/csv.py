"""`leaderboard.csv`: plain numbers, one line per row, empty where missing."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from typing import Any

import pandas as pd

from bench.evaluation.metrics import CsvGroup
from bench.report.leaderboard.board import DRIFT, Leaderboard, Row, Section
from bench.report.leaderboard.by_relation import AFTER, BEFORE, ByRelation, by_relation
from bench.report.leaderboard.equal_learning import SHARES, equal_learning_metric, path_tasks
from bench.report.leaderboard.explained import is_explained, measured
from bench.report.leaderboard.half_dose import (
    AT_HALF_DOSE,
    compared_names,
    measured_metrics,
    section_metrics,
)
from bench.report.leaderboard.recipe_notes import notes_of
from bench.report.leaderboard.standings import evaluation_metric, forgetting_metric
from bench.report.statistics.equal_learning import as_ratio
from bench.report.statistics.intervals import Estimate
from bench.store.records import CellSpec, PhaseName
from methods.lora_family import BalanceNotes

_BY_RATIO = f"{DRIFT}_at_"
"""How the names of costs begin that methods are compared in by their ratio."""


def is_compared_by_ratio(metric: str) -> bool:
    """Return whether methods are compared in a metric by their ratio, not by their difference."""
    return metric.startswith(_BY_RATIO)


def leaderboard_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the table of `leaderboard.csv`.

    The columns that DESIGN.md names come first, then their intervals, then the setting, the
    fate of the cells, and further metrics, some with intervals of their own. Then stand the rank
    and the differences to the reference, empty for the reference itself, and last, if there are
    held-out problems of several kinds, the reliability of each kind. Where the base is at floor
    `forgetting.<task>` is empty and `at_floor.<task>` is 1. Only where some row starts from a
    first step there is a column `after`, only where answers were judged anew a column `rescored`,
    only where one was run with `--explain` there are the columns of `bench.evaluation.why`, and
    only where texts are classified those of metrics over all of them.
    """
    tasks = sorted({task for row in board.rows for task in row.forgetting if task != DRIFT})
    evaluated = sorted({task for row in board.rows for task in row.evaluated})
    measured = {*measured_metrics(board.rows), AT_HALF_DOSE}
    names = [name for name in compared_names() if name in measured]
    compared = [*names, *map(forgetting_metric, tasks), DRIFT]
    compared += map(evaluation_metric, evaluated)
    at_equal = [
        equal_learning_metric(task, share)
        for task in (DRIFT, *(task for task in path_tasks(board.rows) if task != DRIFT))
        for share in SHARES
    ]
    lines = []
    follows = any(row.spec.after for row in board.rows)
    explained = any(map(is_explained, board.rows))
    again = any(row.spec.rescored for row in board.rows)
    for section in board.sections:
        kinds = by_relation(section)
        for row in section.rows:
            estimates = _group(row, CsvGroup.LEADING, measured)
            estimates |= {name: row.metrics.get(name) for name in at_equal}
            for task in (*tasks, DRIFT):
                estimates[forgetting_metric(task)] = _at(row.forgetting.get(task), "lost")
            lines.append(
                {
                    "model": section.model,
                    "task": section.task,
                    "method": row.spec.asked,
                    **({"after": row.spec.started} if follows else {}),
                    **({"rescored": _rescored(row)} if again else {}),
                    "seeds": len(row.seeds),
                    "facts": section.facts,
                    **_values(estimates),
                    **_costs(row, explained),
                    **_intervals(estimates),
                    **_setting(row),
                    "half_dose": _whole(row.half_dose),
                    **_further(row, tasks, measured),
                    **_evaluated(row, evaluated),
                    **(_why(row) if explained else {}),
                    **_standing(row, section, [*compared, *at_equal]),
                    **_kinds(row, kinds),
                }
            )
    return pd.DataFrame(lines)


def leaderboard_csv(board: Leaderboard) -> str:
    """Return the text of `leaderboard.csv`, the same for the same records."""
    return leaderboard_frame(board).to_csv(index=False, na_rep="", lineterminator="\n")


def _group(row: Row, group: CsvGroup, measured: Collection[str]) -> dict[str, Estimate | None]:
    metrics = section_metrics(row.half_dose)
    return {n: row.metrics[n] for n, m in metrics.items() if m.csv is group and n in measured}


def _at(value: object, *path: str) -> Any:
    """Return an attribute of an attribute; None where one on the path is None."""
    for name in path:
        value = None if value is None else getattr(value, name)
    return value


def _rescored(row: Row) -> str:
    return row.spec.rescored.scoring if row.spec.rescored else ""


def _whole(value: float | None) -> Any:
    """Return a whole number that stays whole in a column with gaps."""
    return pd.NA if value is None else int(value)


def _values(estimates: dict[str, Estimate | None]) -> dict[str, float | None]:
    return {name: _at(found, "value") for name, found in estimates.items()}


def _intervals(estimates: dict[str, Estimate | None]) -> dict[str, float | None]:
    return {
        f"{name}_{end}": _at(found, "interval", end)
        for name, found in estimates.items()
        for end in ("low", "high")
    }


def _costs(row: Row, explained: bool) -> dict[str, Any]:
    """Return what a row cost; the phase of `--explain` only where some row was run with it."""
    there = [name for name in PhaseName if explained or name is not PhaseName.EXPLAIN]
    phases = {name: row.phases.get(name) for name in there}
    return {
        "parameters": _whole(row.first("parameters")),
        "flops": row.first("flops"),
        **{f"seconds.{name}": _at(cost, "seconds") for name, cost in phases.items()},
        **{f"peak_bytes.{name}": _whole(_at(cost, "peak_bytes")) for name, cost in phases.items()},
        "stacked": max((cell.record.stacked for cell in row.cells), default=1),
    }


def training_settings(spec: CellSpec) -> dict[str, Any]:
    """Return how a cell is trained, by the names of columns."""
    return {
        "learning_rate": spec.learning_rate,
        "epochs": spec.epochs,
        "batch_size": spec.batch_size,
        "accumulation": spec.accumulation,
        "schedule": spec.schedule.value,
        "warmup": spec.warmup,
        "train_prompt": spec.train_prompt.value,
    }


def _setting(row: Row) -> dict[str, Any]:
    spec = row.spec
    return {
        "label": row.label,
        "interval": row.interval_kind.value,
        "seed_list": " ".join(map(str, row.seeds)),
        "failed_cells": len(row.failures),
        "failures": " ".join(f"{f.seed}:{f.status.value}" for f in row.failures),
        **training_settings(spec),
        "dtype": spec.dtype,
        **({"quantisation": spec.quantisation} if spec.quantisation != "none" else {}),
        "recipe": spec.recipe,
    }


def _further(row: Row, tasks: list[str], measured: Collection[str]) -> dict[str, Any]:
    estimates = _group(row, CsvGroup.WITH_INTERVAL, measured)
    found = {
        **_values(_group(row, CsvGroup.PLAIN, measured)),
        "parameters_total": _whole(row.first("parameters_total")),
        "init_difference": row.first("init_difference"),
        "identity": _whole(row.first("identity")),
        "balance": _balance(row),
    }
    for task in tasks:
        forgotten = row.forgetting.get(task)
        found |= {f"{name}.{task}": _at(forgotten, name) for name in ("base", "tuned")}
        found[f"at_floor.{task}"] = _whole(_at(forgotten, "at_floor"))
    return {**found, **_values(estimates), **_intervals(estimates)}


def _why(row: Row) -> dict[str, float | None]:
    """Return the measures of `--explain`, with intervals over seeds."""
    found = measured(row)
    return {**_values(found), **_intervals(found)}


def _kinds(row: Row, kinds: ByRelation | None) -> dict[str, float | None]:
    """Return what was answered of each kind of held-out problem, before and after training."""
    if kinds is None or not row.cells:
        return {}
    shares = zip(kinds.names, kinds.before, kinds.after(row), strict=True)
    found: dict[str, float | None] = {}
    for name, before, after in shares:
        found |= {f"{BEFORE}.{name}": _at(before, "value"), f"{AFTER}.{name}": _at(after, "value")}
        found |= _intervals({f"{AFTER}.{name}": after})
    return found


def _evaluated(row: Row, tasks: list[str]) -> dict[str, Any]:
    """Return the scores on tasks of `--evaluate` after training, and those of the base."""
    found = {evaluation_metric(task): _at(row.evaluated.get(task), "tuned") for task in tasks}
    bases = {f"learned_base.{task}": _at(row.evaluated.get(task), "base") for task in tasks}
    return {**_values(found), **_intervals(found), **bases}


def _balance(row: Row) -> float | None:
    """Return ||A|| / ||B|| before training, the median over layers and then over seeds."""
    noted = [notes_of(cell.record, BalanceNotes) for cell in row.cells]
    found = [notes.balance_median for notes in noted if notes and notes.balance_median is not None]
    return median(found) if found else None


def _standing(row: Row, section: Section, metrics: list[str]) -> dict[str, Any]:
    standing = row.standing
    found = {
        "headline": section.headline,
        "rank_low": _whole(_at(standing.rank, "low")),
        "rank_high": _whole(_at(standing.rank, "high")),
        "reference": section.reference or None,
    }
    for name in metrics:
        compared = standing.comparisons.get(name)
        difference: Estimate | None = _at(compared, "difference")
        word = "difference"
        if is_compared_by_ratio(name):
            word, difference = "ratio", as_ratio(difference) if difference else None
        by_name = {f"{name}_{word}": difference}
        found |= {**_values(by_name), **_intervals(by_name)}
        found |= {f"{name}_{p}": _at(compared, p) for p in ("p", "p_holm")}
    return found
