"""Lines shown before a run about cells that will not fit into memory, and what would fit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.config.types import DType
from bench.models.shape import ModelShape, model_shape, weights_of
from bench.planning.memory import ITEM, MOST_STACKED, Need, Setup, need, setup_of
from bench.planning.planned_cell import PlannedCell
from bench.store.records import PhaseName
from methods.recipe import parse_recipe

CRUDE_WEIGHT, CRUDE_ROWS = 30.0, 8
"""No cell takes more bytes for each weight with so few facts per batch: where that fits, nothing
needs to be looked at, which would import what takes seconds."""

CRUDE_OVERHEAD = 2 * 2**30

SIMPLEST = "lora"
"""The method that is named where another one does not fit."""

MOST_ADVICE = 2
"""How many ways out are named."""

_DOING = {
    PhaseName.PREPARE.value: "to prepare",
    PhaseName.TRAIN.value: "to train",
    PhaseName.EVALUATE.value: "to evaluate",
}


class Place(NamedTuple):
    """Where cells run.

    Attributes:
        name: The device, as told to the user.
        bytes: The memory that all its workers have together.
        workers: How many workers share it.
    """

    name: str
    bytes: float
    workers: int = 1

    @property
    def each(self) -> float:
        """The memory of a worker, in bytes."""
        return self.bytes / self.workers


def memory_notes(cells: Iterable[PlannedCell], place: Place, stacked: int = 1) -> list[str]:
    """Say for each method and model that will not fit how much it takes, and what would fit.

    Args:
        cells: The cells that will run.
        place: Where they run.
        stacked: How many cells were asked to be trained together.
    """
    return [_line(cell, shape, stacked, place) for cell, shape in _large(cells, place, stacked)]


def largest_need(cells: Iterable[PlannedCell]) -> float | None:
    """Return what the largest of the cells takes alone, in bytes; None if that is unknown."""
    found: list[float] = []
    for cell in _kinds(cells):
        shape = model_shape(cell.source)
        if shape is None:
            return None
        found.append(need(shape, setup_of(cell, shape)).peak)
    return max(found, default=None)


def _kinds(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Return one cell of each method, model and size: seeds and rates take the same memory."""
    kinds: dict[Hashable, PlannedCell] = {}
    for cell in cells:
        spec = cell.spec
        size = (spec.dtype, spec.batch_size, spec.train_prompt, bool(spec.after))
        key = (spec.asked, spec.model, *size)
        kinds.setdefault(key, cell)
    return list(kinds.values())


def _large(
    cells: Iterable[PlannedCell], place: Place, stacked: int
) -> Iterator[tuple[PlannedCell, ModelShape]]:
    """Yield a cell of each kind that does not fit."""
    for cell in _kinds(cells):
        weights = weights_of(cell.source)
        rows = max(1.0, stacked * cell.spec.batch_size / CRUDE_ROWS)
        if weights is not None and weights * CRUDE_WEIGHT * rows + CRUDE_OVERHEAD < place.each:
            continue
        shape = model_shape(cell.source)
        if shape and need(shape, setup_of(cell, shape, stacked)).peak > place.each:
            yield cell, shape


def _line(cell: PlannedCell, shape: ModelShape, stacked: int, place: Place) -> str:
    setup = setup_of(cell, shape, stacked)
    found = need(shape, setup)
    has = f"{place.name} has {_amount(place.each)}"
    has += f" for each of {place.workers} workers" if place.workers > 1 else ""
    ways = list(_ways_out(cell, shape, setup, place))[:MOST_ADVICE]
    told = " or ".join(f"{what} would take about {_amount(taken.peak)}" for what, taken in ways)
    return (
        f"{cell.spec.asked} on {cell.spec.model} will not fit: it takes about "
        f"{_amount(found.peak)} {_DOING[found.phase]}, and {has}; "
        f"{told or 'use a smaller model or a larger device'}"
    )


def _ways_out(
    cell: PlannedCell, shape: ModelShape, setup: Setup, place: Place
) -> Iterator[tuple[str, Need]]:
    """Yield what could be changed and what the cell would take then, the smallest change first."""

    def first_fitting(setups: Sequence[tuple[str, Setup]]) -> Iterator[tuple[str, Need]]:
        for what, other in setups:
            if (taken := need(shape, other)).peak <= place.each:
                yield what, taken
                return

    if need(shape, alone := replace(setup, members=1)).peak <= place.each:
        fewer = [n for n in _halves(min(setup.members, MOST_STACKED)) if n < setup.members]
        yield from first_fitting([(f"--stack {n}", replace(setup, members=n)) for n in fewer])
        return
    setup = alone
    rows = [replace(setup, rows=n) for n in _halves(setup.rows) if n < setup.rows]
    yield from first_fitting([(f"--batch-size {other.rows}", other) for other in rows])
    if ITEM[setup.dtype] > ITEM[DType.BFLOAT16]:
        half = replace(setup, dtype=DType.BFLOAT16)
        yield from first_fitting([("--dtype bfloat16", half)])
    if cell.spec.asked != SIMPLEST:
        other = parse_recipe(SIMPLEST).adapter
        yield from first_fitting([(SIMPLEST, replace(setup, adapter=other, placed=False))])
    taken = need(shape, setup)
    if place.workers > 1 and (fits := int(place.bytes // taken.peak)):
        yield f"--workers {fits}", taken


def _halves(number: int) -> list[int]:
    """Return a number and its halves, down to 1."""
    return [number >> power for power in range(number.bit_length())]


def _amount(size: float) -> str:
    """Write an amount of memory: `1.5 GiB`, `80 GiB`."""
    gib = size / 2**30
    return f"{gib:.1f} GiB" if gib < 9.95 else f"{gib:,.0f} GiB"
