"""A grid whose cells share their passes of the base, beside the same cells one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config.types import DType
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, share_equal
from bench.pages.performance.grid import SMALL_FACTS, SMALL_ITEMS, run_grid
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore

METHODS = ("lora", "dora", "pissa", "corda")
RATES = (1e-4, 3e-4)
TOGETHER = len(METHODS) * len(RATES)
EPOCHS = 4
TASK = "fictional[n=64,seed=1]"
"""A task with 20 facts to tune on: candidates are tried on up to 256 where there are more."""

FIRST_EPOCH, LATER, NATS = 1e-5, 1e-4, 1e-6
"""How far losses may differ in float32, relative; after the first epoch also in nats."""

HALF = 0.02
"""The same in half precision, where another batch shape moves a loss as much."""

EQUAL = {DType.FLOAT32: 0.99, DType.BFLOAT16: 0.8, DType.FLOAT16: 0.8}
"""Least share of equal answers: those of two nearly equal logits may change."""


def stacked_grid(bench: Bench) -> Outcome:
    """Time four methods at two learning rates, stacked and alone, one process each.

    The command line tunes the rate, so that four chosen cells are trained after the eight. They are
    of few facts and epochs: what is compared is twelve cells twice.
    """
    size = bench.size
    few = replace(
        size,
        facts=min(SMALL_FACTS, size.facts),
        items=min(SMALL_ITEMS, size.items),
        epochs=min(EPOCHS, size.epochs),
    )
    bench = replace(bench, size=few)
    folders = {stack: bench.scratch / f"stack-{stack}" for stack in (TOGETHER, 1)}
    seconds = {
        stack: timed(partial(_run, bench, stack, folder)) for stack, folder in folders.items()
    }
    found = {stack: _done(folder) for stack, folder in folders.items()}
    together, alone = found[TOGETHER], found[1]
    losses = _losses(together, alone)
    answers = _equal_answers(folders[TOGETHER], folders[1], alone)
    row = Row(
        f"grid of {TOGETHER} cells and {len(METHODS)} chosen ones, 20 and 8 facts, "
        f"{few.epochs} epochs, --stack {TOGETHER}, with --stack 1 as baseline",
        seconds[1],
        seconds[TOGETHER],
        same=f"losses within {losses:.1f} of their tolerance, {answers:.1%} of answers equal",
        agreed=losses <= 1 and answers >= EQUAL[bench.dtype],
    )
    return Outcome([row], notes=[_note(together, alone)])


def _run(bench: Bench, stack: int, out: Path) -> None:
    rates = ",".join(map(str, RATES))
    run_grid(bench, METHODS, out, lr=rates, tune_seeds=1, workers=1, stack=stack, tasks=TASK)


def _done(folder: Path) -> dict[str, CellRecord]:
    """Return the records of a folder by cell id.

    Raises:
        RuntimeError: A cell is not done.
    """
    records = ResultsStore(folder).records().records
    for record in records:
        if record.status is not Status.DONE:
            raise RuntimeError(f"{record.spec.method} is not done: {record.reason}")
    return {record.cell_id: record for record in records}


def _losses(together: Mapping[str, CellRecord], alone: Mapping[str, CellRecord]) -> float:
    """Return the largest difference of two losses, in units of its tolerance.

    Raises:
        RuntimeError: The two folders do not hold the same cells.
    """
    if together.keys() != alone.keys():
        raise RuntimeError("stacked and alone are not the same cells: another one was chosen")
    return max(
        difference
        for name, record in together.items()
        for difference in _epoch_differences(record, alone[name])
    )


def _epoch_differences(one: CellRecord, other: CellRecord) -> Iterator[float]:
    for place, (a, b) in enumerate(zip(one.curve, other.curve, strict=True)):
        if a.loss is None or b.loss is None:
            yield float("inf") if a.loss != b.loss else 0.0
            continue
        relative = LATER if place else FIRST_EPOCH
        if one.spec.dtype is not DType.FLOAT32:
            relative = HALF
        yield abs(a.loss - b.loss) / max(relative * abs(b.loss), NATS)


def _equal_answers(one: Path, other: Path, cells: Mapping[str, CellRecord]) -> float:
    """Return the share of equal answers on the trained prompt and after demonstrations."""
    stores = (ResultsStore(one), ResultsStore(other))
    said: tuple[list[str], list[str]] = ([], [])
    for name in cells:
        for answers, store in zip(said, stores, strict=True):
            rows = store.rows(name)
            answers += [*rows["answer_after"], *rows["answer_few_shot"]]
    return share_equal(*said)


def _note(together: Mapping[str, CellRecord], alone: Mapping[str, CellRecord]) -> str:
    def phases(records: Mapping[str, CellRecord]) -> str:
        names = dict.fromkeys(name for record in records.values() for name in record.phases)
        sums = {
            name: sum(r.phases[name].seconds for r in records.values() if name in r.phases)
            for name in names
        }
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in sums.items())

    return f"Phases of all stacked cells: {phases(together)} s; alone: {phases(alone)} s."
