"""A whole grid from the command line: ours in one call, the baseline's in a process per method."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.models.loading import load_base
from bench.pages.performance.baseline.job import Found
from bench.pages.performance.child import run_module
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, share_equal
from bench.pages.performance.jobs import FORGETTING, Choices, job_for, options_for
from bench.planning.grid import plan_grid
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore

METHODS = ("lora", "dora", "pissa", "corda", "freeze", "filter", "reweight", "full")
EQUAL = 0.9
"""Least share of equal answers after training, over all methods but corda: float32, in which PEFT
computes its subspace, does not determine it."""


def whole_grid(bench: Bench) -> Outcome:
    """Time a grid of eight recipes on both sides, including evaluation and forgetting."""
    out = bench.scratch / "grid"
    options = options_for(bench, ",".join(METHODS), out)
    ours = timed(lambda: run_module("bench", "run", *_flags(bench, out)))
    store = ResultsStore(out)
    base = load_base(bench.model)
    outcome, usual, equal = Outcome(), 0.0, []
    for cell in plan_grid(options, store):
        record = store.read(cell.cell_id)
        if record is None or record.status is not Status.DONE:
            reason = record.reason if record else ""
            raise RuntimeError(f"{cell.spec.method} is not done: {reason}")
        job, found = (bench.scratch / f"{cell.cell_id}.{kind}.json" for kind in ("job", "found"))
        job_for(bench, cell, base, _choices(store, record)).write(job)
        seconds = timed(
            partial(run_module, "bench.pages.performance.baseline", str(job), str(found))
        )
        usual += seconds
        theirs = Found.read(found)
        said = store.rows(record.cell_id)["answer_after"].tolist()
        answers = share_equal(said, theirs.answers[: len(said)])
        equal += [] if record.spec.method == "corda" else [answers]
        outcome.notes.append(_note(record, seconds, answers, theirs))
    share = sum(equal) / len(equal)
    same = f"{share:.0%} of answers equal, by method below"
    what = f"grid of {len(METHODS)} methods, {bench.size.facts} facts, {bench.size.epochs} epochs"
    outcome.rows.append(Row(what, usual, ours, 4.0, same, share >= EQUAL))
    return outcome


def _flags(bench: Bench, out: Path) -> list[str]:
    size = bench.size
    values = {
        "methods": ",".join(METHODS),
        "tasks": bench.task,
        "models": bench.model,
        "forgetting": FORGETTING,
        "limit": size.facts,
        "epochs": size.epochs,
        "batch-size": size.batch_size,
        "forgetting-limit": size.items,
        "device": "cpu",
        "out": out,
    }
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def _choices(store: ResultsStore, record: CellRecord) -> Choices:
    rows = store.rows(record.cell_id)
    kept = [index for index, keep in enumerate(rows["kept"]) if keep]
    weights = [float(rows["weight"].iloc[index]) for index in kept]
    return Choices(kept, weights, record.notes.get("layers"))


def _note(record: CellRecord, seconds: float, answers: float, found: Found) -> str:
    ours = sum(phase.seconds for phase in record.phases.values())
    phases = ", ".join(f"{name} {taken:.1f}" for name, taken in found.seconds.items())
    return (
        f"{record.spec.method}: baseline {seconds:.1f} s, ours {ours:.1f} s in the grid; "
        f"{answers:.0%} of answers equal; the baseline's phases: {phases} s."
    )
