"""`leaderboard.csv`: plain numbers, one line per row, empty where missing."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pandas as pd

from bench.evaluation.metrics import CsvGroup, compared_metrics, metric_table
from bench.report.leaderboard.board import DRIFT, Forgotten, Leaderboard, Row, Section
from bench.report.leaderboard.standings import forgetting_metric
from bench.report.statistics.comparison import Comparison
from bench.report.statistics.intervals import Estimate
from bench.store.records import PhaseName


def leaderboard_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the table of `leaderboard.csv`.

    The columns that DESIGN.md names come first, then their intervals, then the setting, the
    fate of the cells, and further metrics, some with intervals of their own. Last stand the rank
    and the differences to the reference, empty for the reference itself. Where the base is at
    floor `forgetting.<task>` is empty and `at_floor.<task>` is 1.
    """
    tasks = sorted({task for row in board.rows for task in row.forgetting if task != DRIFT})
    compared = [*compared_metrics(), *map(forgetting_metric, tasks), DRIFT]
    lines = []
    for section in board.sections:
        for row in section.rows:
            estimates = _estimates(row, tasks)
            lines.append(
                {
                    "model": section.model,
                    "task": section.task,
                    "method": row.spec.asked,
                    "seeds": len(row.seeds),
                    "facts": section.facts,
                    **{name: entry.value if entry else None for name, entry in estimates.items()},
                    **_costs(row),
                    **_intervals(estimates),
                    **_setting(row),
                    **_further(row, tasks),
                    **_standing(row, section, compared),
                }
            )
    return pd.DataFrame(lines)


def leaderboard_csv(board: Leaderboard) -> str:
    """Return the text of `leaderboard.csv`, the same for the same records."""
    return leaderboard_frame(board).to_csv(index=False, na_rep="", lineterminator="\n")


def _estimates(row: Row, tasks: list[str]) -> dict[str, Estimate | None]:
    forgotten = {f"forgetting.{task}": _lost(row.forgetting.get(task)) for task in tasks}
    return {**_group(row, CsvGroup.LEADING), **forgotten, DRIFT: _lost(row.forgetting.get(DRIFT))}


def _group(row: Row, group: CsvGroup) -> dict[str, Estimate | None]:
    return {name: row.metrics[name] for name, m in metric_table().items() if m.csv is group}


def _lost(found: Forgotten | None) -> Estimate | None:
    return found.lost if found else None


def _costs(row: Row) -> dict[str, Any]:
    phases = {name: row.phases.get(name) for name in PhaseName}
    return {
        "parameters": _integer(row.first("parameters")),
        "flops": row.first("flops"),
        **{f"seconds.{name}": cost.seconds if cost else None for name, cost in phases.items()},
        **{
            f"peak_bytes.{name}": _integer(cost.peak_bytes if cost else None)
            for name, cost in phases.items()
        },
    }


def _integer(value: float | None) -> Any:
    """Return a whole number that stays whole in a column with gaps."""
    return pd.NA if value is None else int(value)


def _intervals(estimates: dict[str, Estimate | None]) -> dict[str, float | None]:
    found = {name: entry.interval if entry else None for name, entry in estimates.items()}
    pairs = (
        ((f"{name}_low", i.low if i else None), (f"{name}_high", i.high if i else None))
        for name, i in found.items()
    )
    return dict(chain.from_iterable(pairs))


def _setting(row: Row) -> dict[str, Any]:
    spec = row.spec
    return {
        "label": row.label,
        "interval": row.interval_kind.value,
        "seed_list": " ".join(map(str, row.seeds)),
        "failed_cells": len(row.failures),
        "failures": " ".join(f"{f.seed}:{f.status.value}" for f in row.failures),
        "learning_rate": spec.learning_rate,
        "epochs": spec.epochs,
        "batch_size": spec.batch_size,
        "dtype": spec.dtype,
        "recipe": spec.recipe,
    }


def _further(row: Row, tasks: list[str]) -> dict[str, Any]:
    metrics, estimates = _group(row, CsvGroup.PLAIN), _group(row, CsvGroup.WITH_INTERVAL)
    identity = row.first("identity")
    return {
        **{name: entry.value if entry else None for name, entry in metrics.items()},
        "parameters_total": _integer(row.first("parameters_total")),
        "init_difference": row.first("init_difference"),
        "identity": _integer(identity),
        **dict(chain.from_iterable(_scores(task, row).items() for task in tasks)),
        **{name: entry.value if entry else None for name, entry in estimates.items()},
        **_intervals(estimates),
    }


def _scores(task: str, row: Row) -> dict[str, Any]:
    found = row.forgetting.get(task)
    return {
        f"base.{task}": found.base if found else None,
        f"tuned.{task}": found.tuned if found else None,
        f"at_floor.{task}": _integer(found.at_floor if found else None),
    }


def _standing(row: Row, section: Section, metrics: list[str]) -> dict[str, Any]:
    standing = row.standing
    found = {name: standing.comparisons.get(name) for name in metrics}
    return {
        "headline": section.headline,
        "rank_low": _integer(standing.rank.low if standing.rank else None),
        "rank_high": _integer(standing.rank.high if standing.rank else None),
        "reference": section.reference or None,
        "improvement": standing.improvement,
        **dict(chain.from_iterable(_difference(n, c).items() for n, c in found.items())),
    }


def _difference(metric: str, found: Comparison | None) -> dict[str, float | None]:
    interval = found.difference.interval if found else None
    return {
        f"{metric}_difference": found.difference.value if found else None,
        f"{metric}_difference_low": interval.low if interval else None,
        f"{metric}_difference_high": interval.high if interval else None,
        f"{metric}_p": found.p if found else None,
        f"{metric}_p_holm": found.p_holm if found else None,
    }
