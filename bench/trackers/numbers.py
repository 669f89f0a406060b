"""The numbers that are logged of a cell: those of `leaderboard.csv`, and curves by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.evaluation.why import MEASURES
from bench.report.leaderboard.board import DRIFT
from bench.report.leaderboard.standings import evaluation_metric, forgetting_metric
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import CellRecord

if TYPE_CHECKING:
    import pyarrow as pa

FACT_COLUMNS = ("epochs_to_learn", "knowledge")

EPOCH = "epoch/"
"""How the names of curves begin: drift after an epoch is measured on fewer texts than the final
drift, so that the two must not share a name."""

Curves = dict[str, dict[int, float]]


def metrics_of(record: CellRecord) -> dict[str, float]:
    """Return a cell's final numbers, by their columns in `leaderboard.csv`.

    What was not measured, or cannot be told because the base is at floor, is left out.
    """
    found = {name: value for name, value in _measured(record) if value is not None}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _measured(record: CellRecord) -> Iterator[tuple[str, float | None]]:
    if record.metrics is not None:
        yield from record.metrics.model_dump().items()
    for lost in record.forgetting:
        yield forgetting_metric(lost.task), None if lost.at_floor else lost.forgetting
        if lost.task != DRIFT:
            yield f"base.{lost.task}", lost.base
            yield f"tuned.{lost.task}", lost.tuned
            yield f"at_floor.{lost.task}", lost.at_floor
    for learned in record.evaluated:
        yield evaluation_metric(learned.task), learned.tuned
        yield f"learned_base.{learned.task}", learned.base
    for name in ("parameters", "parameters_total", "flops", "init_difference", "identity"):
        yield name, getattr(record, name)
    for phase, cost in record.phases.items():
        yield f"seconds.{phase}", cost.seconds_cold
        yield f"peak_bytes.{phase}", cost.peak_bytes
    for measure in MEASURES:
        yield measure.name, measure.of(record.change)


def curves_of(record: CellRecord, facts: pa.Table) -> Curves:
    """Return by name what was measured after each epoch; curves without a value are left out.

    Args:
        record: Of the cell.
        facts: Its rows, with `FACT_COLUMNS`.
    """
    curves: Curves = _learned(record.spec.epochs, facts)
    for point in record.curve:
        _add(curves, "loss", point.epoch, point.loss)
        _add(curves, "token_accuracy", point.epoch, point.token_accuracy)
    for checkpoint in record.path:
        _add(curves, DRIFT, checkpoint.epoch, checkpoint.drift)
        for task, lost in checkpoint.forgetting.items():
            _add(curves, forgetting_metric(task), checkpoint.epoch, lost)
    return {name: dict(sorted(values.items())) for name, values in sorted(curves.items())}


def _learned(epochs: int, facts: pa.Table) -> Curves:
    """Return the shares of trained facts that are learned by each epoch, and stay learned."""
    needed = facts["epochs_to_learn"].to_pylist()
    knowledge = facts["knowledge"].to_pylist()
    trained = [(n, k) for n, k in zip(needed, knowledge, strict=True) if n is not None]
    unknown = [n for n, k in trained if k != KnowledgeCategory.KNOWN]
    curves: Curves = {}
    for name, counted in (("learned", [n for n, _ in trained]), ("learned_unknown", unknown)):
        for epoch in range(epochs + 1 if counted else 0):
            _add(curves, name, epoch, sum(n <= epoch for n in counted) / len(counted))
    return curves


def _add(curves: Curves, name: str, epoch: int, value: float | None) -> None:
    if value is not None and math.isfinite(value):
        curves.setdefault(EPOCH + name, {})[epoch] = value
