"""How long a grid will take: from similar finished cells, else roughly from the model's size."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.config.types import DType
from bench.models.shape import weights_of
from bench.planning.memory import estimate
from bench.planning.planned_cell import CellState, PlannedCell
from bench.store.formats import CellSummary
from bench.store.records import CellSpec, PhaseName, Status

TOKENS_OF_FACT = 24
"""About how many tokens a question and its answer have; measured on the embedded tasks."""

FLOP_OF_TOKEN = 4
"""Operations per weight and trained token: forward, and backward to the inputs only."""

TRAIN_SHARE = 0.4
"""Share of a cell's time that training takes at 10 epochs if forgetting is measured, too."""

CORE_FLOPS, GPU_FLOPS = 24e9, 3e13
"""Operations per second of a core and of a GPU on short questions, to an order of magnitude."""


@dataclass(frozen=True)
class Cost:
    """What one cell takes: seconds, and peak memory in bytes; None if unknown."""

    seconds: float | None
    peak_bytes: float | None


@dataclass(frozen=True)
class GridCost:
    """What the cells that will run take.

    Attributes:
        seconds: The sum over all cells; None if unknown.
        peak_bytes: The maximum over all cells; None if unknown.
        measured: Whether every cell was estimated from finished ones.
        cells: How many will run.
    """

    seconds: float | None
    peak_bytes: float | None
    measured: bool
    cells: int


def grid_cost(cells: Sequence[PlannedCell], finished: Iterable[CellSummary]) -> GridCost:
    """Estimate the cells of a grid that will run.

    Args:
        cells: The planned cells, including those whose candidate is not chosen yet.
        finished: The summaries of the results folder.
    """
    done = [summary for summary in finished if summary.status is Status.DONE and summary.phases]
    groups: dict[Hashable, list[CellSummary]] = {}  # of cells alike, and of one model's
    for summary in done:
        groups.setdefault(_alike(summary.spec), []).append(summary)
        groups.setdefault((summary.spec.model, summary.spec.precision), []).append(summary)
    known: dict[Hashable, tuple[Cost, bool]] = {}
    costs = []
    for cell in (cell for cell in cells if cell.runs or cell.state is CellState.OPEN):
        key = (_alike(cell.spec), cell.spec.model, len(cell.forgetting))
        if key not in known:
            related = groups.get((cell.spec.model, cell.spec.precision))
            near = groups.get(_alike(cell.spec), related)
            if near:
                scaled = fmean(_scaled_seconds(cell, summary) for summary in near)
                peak = max(float(summary.peak_bytes) for summary in near)
                known[key] = (Cost(scaled, peak), True)
            else:
                known[key] = (_from_size(cell), False)
        costs.append(known[key])
    seconds = [cost.seconds for cost, _ in costs]
    peaks = [cost.peak_bytes for cost, _ in costs if cost.peak_bytes is not None]
    return GridCost(
        None if None in seconds else sum(value or 0.0 for value in seconds),
        max(peaks, default=None),
        all(measured for _, measured in costs),
        len(costs),
    )


def _alike(spec: CellSpec) -> Hashable:
    size = (spec.trained, spec.epochs, spec.batch_size)
    return (spec.model, spec.precision, spec.task, spec.recipe, *size)


def _scaled_seconds(cell: PlannedCell, summary: CellSummary) -> float:
    """Return the seconds of a finished cell, scaled to the size of `cell`."""
    facts = cell.spec.trained / summary.spec.trained
    scales = {
        PhaseName.TRAIN: facts * cell.spec.epochs / summary.spec.epochs,
        PhaseName.EVALUATE: facts,
        PhaseName.FORGET: len(cell.forgetting) / max(1, len(summary.forgetting)),
    }
    return sum(phase.seconds_cold * scales.get(name, 1.0) for name, phase in summary.phases.items())


def _from_size(cell: PlannedCell) -> Cost:
    weights = weights_of(cell.source)
    if weights is None:
        return Cost(None, None)
    spec = cell.spec
    tokens = TOKENS_OF_FACT * cell.data.asked_in_training + cell.data.text_tokens
    trained = FLOP_OF_TOKEN * weights * tokens * spec.epochs
    wide = spec.dtype is DType.FLOAT32
    speed = CORE_FLOPS * (os.cpu_count() or 1) if wide else GPU_FLOPS
    return Cost(trained / speed / TRAIN_SHARE, estimate(cell, weights))
