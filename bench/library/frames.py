"""Records and fact rows as frames. The guide explains their columns: docs/guide/library.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluation.metrics import metric_table
from bench.report.leaderboard.board import DRIFT, Cell
from bench.report.leaderboard.half_dose import EPOCHS_UNKNOWN
from bench.report.leaderboard.standings import evaluation_metric, forgetting_metric
from bench.report.tables.csv import training_settings
from bench.store.records import CellRecord, CellSpec, Checkpoint
from bench.store.store import DamagedRowsError

_WHOLE = ("parameters", "parameters_total", "peak_bytes.", "step", "stacked")
"""How columns of whole numbers begin, which would be read as fractions where one is missing."""


def cells_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """Return one row per cell; what a cell did not measure is missing."""
    frame = pd.DataFrame([_cell(record) for record in records])
    metrics = [name for name in metric_table() if name in frame.columns]
    nowhere = [name for name in metrics if not frame[name].notna().any()]
    whole = [name for name in frame.columns if name.startswith(_WHOLE)]
    return frame.astype(
        {
            **dict.fromkeys(metrics, "float64"),
            **dict.fromkeys(whole, "Int64"),
            "identity": "boolean",
        }
    ).drop(columns=nowhere)


def facts_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per fact and cell: the columns of `FactRow` after those that name the cell."""
    return _joined(_named(cell.record, rows) for cell in cells if (rows := _rows(cell)) is not None)


def paths_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per checkpoint and cell, from before training on."""
    frames = [pd.DataFrame(_path(cell)) for cell in cells if cell.record.path]
    records = [cell.record for cell in cells if cell.record.path]
    return _joined(map(_named, records, frames))


def curves_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """Return one row per epoch and cell, teacher-forced over the facts that were trained."""
    columns = ("epoch", "loss", "token_accuracy")
    return _joined(
        _named(r, pd.DataFrame([point.model_dump() for point in r.curve], columns=list(columns)))
        for r in records
    )


def _cell(record: CellRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        **_name(record),
        "status": record.status.value,
        "reason": record.reason,
        **_setting(spec),
        **(record.metrics.model_dump() if record.metrics else {}),
        **_forgotten(record),
        **_learned(record),
        "parameters": record.parameters,
        "parameters_total": record.parameters_total,
        "flops": record.flops,
        "init_difference": record.init_difference,
        "identity": record.identity,
        **{f"seconds.{name}": phase.seconds_cold for name, phase in record.phases.items()},
        **{f"peak_bytes.{name}": phase.peak_bytes for name, phase in record.phases.items()},
        "stacked": record.stacked,
        "step": record.step,
        "adapter": record.adapter_path,
        "warnings": "\n".join(record.warnings),
    }


def _name(record: CellRecord) -> dict[str, Any]:
    spec = record.spec
    named = {"model": spec.model, "task": spec.task, "method": spec.asked, "seed": spec.seed}
    return {"cell": record.cell_id, **named}


def _setting(spec: CellSpec) -> dict[str, Any]:
    return {
        "after": spec.started,
        "fact_set": spec.fact_set.value if spec.fact_set else "",
        "facts": spec.facts,
        "trained": spec.trained,
        **training_settings(spec),
        "dtype": spec.dtype.value,
        "quantisation": spec.quantisation.value,
        "model_revision": spec.model_revision,
        "recipe": spec.recipe,
    }


def _forgotten(record: CellRecord) -> dict[str, Any]:
    """Return each forgetting task's loss, and the scores behind it, as leaderboard.csv names them.

    Where the base is at floor nothing could be forgotten, and the loss is missing.
    """
    found: dict[str, Any] = {}
    for entry in record.forgetting:
        found[forgetting_metric(entry.task)] = None if entry.at_floor else entry.forgetting
        if entry.task != DRIFT:
            found |= {f"base.{entry.task}": entry.base, f"tuned.{entry.task}": entry.tuned}
    return found


def _learned(record: CellRecord) -> dict[str, Any]:
    found = {evaluation_metric(entry.task): entry.tuned for entry in record.evaluated}
    return found | {f"learned_base.{entry.task}": entry.base for entry in record.evaluated}


def _path(cell: Cell) -> Iterator[dict[str, Any]]:
    """Yield what was learned and lost by each checkpoint; nothing of either before the first one.

    What was learned is the share of the facts that the base did not answer, as in the plot `paths`.
    """
    epochs = cell.facts.per_fact(metric_table()[EPOCHS_UNKNOWN])
    points = cell.record.path
    if points[0].epoch != 0:
        drift = None if points[0].drift is None else 0.0
        start = Checkpoint(
            epoch=0, drift=drift, forgetting=dict.fromkeys(points[0].forgetting, 0.0)
        )
        points = [start, *points]
    for point in points:
        lost = {forgetting_metric(task): value for task, value in point.forgetting.items()}
        learned = float(np.mean(epochs <= point.epoch)) if len(epochs) else None
        yield {"epoch": point.epoch, "learned": learned, DRIFT: point.drift, **lost}


def _rows(cell: Cell) -> pd.DataFrame | None:
    try:
        return cell.rows
    except DamagedRowsError:  # its texts: the numbers were whole
        return None


def _named(record: CellRecord, rows: pd.DataFrame) -> pd.DataFrame:
    """Put the columns that name a cell before its rows."""
    own = pd.DataFrame(_name(record), index=rows.index)
    return pd.concat([own, rows], axis="columns")


def _joined(frames: Iterator[pd.DataFrame]) -> pd.DataFrame:
    found = [frame for frame in frames if len(frame)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["cell"])
