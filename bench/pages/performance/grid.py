"""A whole grid from the command line: ours in one call, the baseline's in a process per method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from bench.config.types import DType
from bench.inference.contexts import Contexts
from bench.models.loading import Base, load_base
from bench.pages.performance.baseline.job import Found
from bench.pages.performance.child import run_module
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, share_equal
from bench.pages.performance.jobs import FORGETTING, Choices, job_for, options_for
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from tasks.forgetting.names import ForgettingKind

METHODS = ("lora", "dora", "pissa", "corda", "freeze", "filter", "reweight", "full")
SMALL_METHODS = ("lora", "dora", "pissa", "corda")
SMALL_FACTS, SMALL_ITEMS = 16, 50
"""Facts and items of the small grid, of which the baseline takes about ten minutes."""

GRID_TARGET, CELL_TARGET = 8.0, 7.0

EQUAL = {DType.FLOAT32: 0.9, DType.BFLOAT16: 0.7, DType.FLOAT16: 0.7}
"""Least share of equal answers after training, over all methods but corda: float32, in which PEFT
computes its subspace, does not determine it."""


def whole_grid(bench: Bench) -> Outcome:
    """Time a grid of eight recipes on both sides, including evaluation and forgetting."""
    return _outcome(bench, METHODS, _both_sides(bench, METHODS, bench.scratch / "grid"))


def small_grid(bench: Bench) -> Outcome:
    """Time one cell alone and a grid of four methods, both of few facts."""
    size = bench.size
    few = replace(size, facts=min(SMALL_FACTS, size.facts), items=min(SMALL_ITEMS, size.items))
    bench = replace(bench, size=few)
    first, *_ = SMALL_METHODS
    # In a folder of its own: a results folder keeps what the base answered.
    run = partial(run_grid, bench, (first,), bench.scratch / "one-cell")
    alone = timed(run)
    sides = _both_sides(bench, SMALL_METHODS, bench.scratch / "small-grid")
    outcome = _outcome(bench, SMALL_METHODS, sides)
    what = f"one cell of {first}, {few.facts} facts, {few.epochs} epochs"
    outcome.rows.insert(0, Row(what, sides.cells[0].seconds, alone, CELL_TARGET))
    return outcome


@dataclass(frozen=True)
class _Cell:
    """A cell that both sides ran.

    Attributes:
        record: Ours.
        seconds: The baseline's.
        found: What the baseline found.
        answers: The share of equal answers.
        drift: By how much the mean drifts differ, in nats per token.
    """

    record: CellRecord
    seconds: float
    found: Found
    answers: float
    drift: float

    @property
    def note(self) -> str:
        """A line for the page."""
        ours = ", ".join(f"{name} {p.seconds:.1f}" for name, p in self.record.phases.items())
        theirs = ", ".join(f"{name} {taken:.1f}" for name, taken in self.found.seconds.items())
        method = self.record.spec.method
        other = " (PEFT's start is another one, see its preparation)" if method == "corda" else ""
        return (
            f"{method}, {self.record.spec.facts} facts: {self.answers:.0%} of answers "
            f"equal{other}, drift within {self.drift:.1e} nats; the baseline {self.seconds:.1f} "
            f"s: {theirs}; ours in the grid, without what cells share: {ours}."
        )


@dataclass(frozen=True)
class _Sides:
    """What both sides took for a grid: our seconds, and each cell with the baseline's."""

    seconds: float
    cells: list[_Cell]


def _both_sides(bench: Bench, methods: Sequence[str], out: Path) -> _Sides:
    """Run a grid on our side, then each of its cells on the baseline's."""
    ours = timed(lambda: run_grid(bench, methods, out))
    base, store = load_base(bench.model), ResultsStore(out)
    cells = plan_grid(options_for(bench, ",".join(methods), out), store)
    return _Sides(ours, [_usual(bench, cell, base, store, done(store, cell)) for cell in cells])


def _outcome(bench: Bench, methods: Sequence[str], sides: _Sides) -> Outcome:
    comparable = [cell for cell in sides.cells if cell.record.spec.method != "corda"]
    share = fmean(cell.answers for cell in comparable)
    row = Row(
        f"grid of {len(methods)} methods, {bench.size.facts} facts, {bench.size.epochs} epochs",
        sum(cell.seconds for cell in sides.cells),
        sides.seconds,
        GRID_TARGET,
        f"{share:.0%} of answers equal, by method below",
        share >= EQUAL[bench.dtype],
    )
    return Outcome([row], notes=[*(cell.note for cell in sides.cells), bound(sides.cells)])


def bound(cells: Sequence[_Cell]) -> str:
    """Say how much faster a grid could be at most: both sides train and drift alike."""
    whole = sum(cell.seconds for cell in cells)
    alike = sum(cell.found.seconds.get(name, 0.0) for cell in cells for name in ("train", "path"))
    if not alike:
        return ""
    return (
        f"Training and the drift on its path are the same matrix products on both sides: of the "
        f"baseline's {whole:.0f} s they take {alike:.0f} s, so that a grid that needed no time "
        f"for anything else would be {whole / alike:.1f}x as fast."
    )


def run_grid(bench: Bench, methods: Sequence[str], out: Path, **more: object) -> None:
    """Run a grid of the bench's size by the command line.

    Args:
        bench: The size, the model and the device.
        methods: The methods.
        out: The results folder.
        **more: Further options, named as on the command line but with `_` for `-`.

    Raises:
        RuntimeError: The command failed.
    """
    size = bench.size
    values = {
        "methods": ",".join(methods),
        "tasks": bench.task,
        "models": bench.model,
        "forgetting": FORGETTING,
        "limit": size.facts,
        "epochs": size.epochs,
        "batch_size": size.batch_size,
        "forgetting_limit": size.items,
        "device": bench.device,
        "dtype": bench.dtype,
        "out": out,
        **more,
    }
    flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in values.items()]
    run_module("bench", "run", *(word for flag in flags for word in flag))


def done(store: ResultsStore, cell: PlannedCell) -> CellRecord:
    """Return the record of a cell that must be done.

    Raises:
        RuntimeError: It is not.
    """
    record = store.read(cell.cell_id)
    if record is None or record.status is not Status.DONE:
        raise RuntimeError(f"{cell.spec.method} is not done: {record.reason if record else ''}")
    return record


def _usual(
    bench: Bench, cell: PlannedCell, base: Base, store: ResultsStore, record: CellRecord
) -> _Cell:
    """Run a cell on the baseline's side, with what our recipe has chosen.

    Args:
        bench: The size of the measurement.
        cell: The planned cell.
        base: The base whose tokenizer is used.
        store: Our results.
        record: Our record of the cell.
    """
    rows = store.rows(record.cell_id)
    kept = [index for index, keep in enumerate(rows["kept"]) if keep]
    weights = [float(rows["weight"].iloc[index]) for index in kept]
    choices = Choices(kept, weights, record.notes.get("layers"))
    job = job_for(bench, cell, base, choices)
    asked, found = (bench.scratch / f"{cell.cell_id}.{kind}.json" for kind in ("job", "found"))
    job.write(asked)
    seconds = timed(partial(run_module, "bench.pages.performance.baseline", str(asked), str(found)))
    theirs = Found.read(found)
    by_prompt = dict(zip(job.asked, theirs.answers, strict=True))
    contexts = Contexts(base.tokenizer, cell.data.prompt)
    ours, usual = [], []
    for context in contexts.available:
        ours += rows[f"answer_{context}"].tolist()
        usual += [by_prompt[contexts.prompt(context, fact.question)] for fact in cell.data.facts]
    drift = next(entry for entry in record.forgetting if entry.task == ForgettingKind.DRIFT)
    return _Cell(
        record,
        seconds,
        theirs,
        answers=share_equal(ours, usual),
        drift=abs(drift.tuned - fmean(theirs.drift)),
    )
