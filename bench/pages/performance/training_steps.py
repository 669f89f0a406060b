"""Training steps of LoRA and DoRA against PEFT's, and epochs that skip frozen lower layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from bench.cell.attach import Attached
from bench.config.types import DType
from bench.models.loading import Base
from bench.optimizations import Optimization, without
from bench.pages.performance.baseline import training as usual
from bench.pages.performance.baseline.adapters import adapted
from bench.pages.performance.baseline.job import Job
from bench.pages.performance.clock import Stamps
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, Training, interleaved
from bench.pages.performance.jobs import attached, base_of, job_for, plan_cell
from bench.pages.performance.machine import shares, watching
from bench.planning.planned_cell import PlannedCell
from bench.training.loop import TrainingLog, train

METHODS = ("lora", "dora")
LOSS_TOLERANCE = {DType.FLOAT32: 1e-3, DType.BFLOAT16: 0.2, DType.FLOAT16: 0.2}
"""Largest difference between the losses of both sides, in nats per token."""


@dataclass
class _Ours:
    """Our training; `seconds` trains one epoch and returns the median time between steps."""

    cell: PlannedCell
    job: Job
    attached: Attached
    losses: list[float] = field(default_factory=list)
    flops: float = 0.0

    def seconds(self) -> float:
        stamps = Stamps(self.job.device)
        log = _train(self.cell, self.attached, stamps.stamp)
        self.losses = self.losses or log.losses
        self.flops = log.flops / len(log.losses)
        return stamps.gap()

    def profile(self, dtype: DType) -> str:
        """Say which operations take most of an epoch, that is, what limits a step."""
        seen = watching(self.job.device)

        def on_step(step: int, loss: float) -> None:
            if step == 1:  # the first step counts operations, which is slow
                seen.start()

        _train(self.cell, self.attached, on_step)
        seen.stop()
        return (
            f"Our lora step, {dtype}, share of time by operation: {shares(seen, self.job.device)}."
        )


@dataclass
class _Usual:
    """The baseline's training, with the same `seconds`."""

    model: nn.Module
    tokenizer: Any
    job: Job
    losses: list[float] = field(default_factory=list)

    def seconds(self) -> float:
        stamps = Stamps(self.job.device)
        losses = usual.train(self.model, self.tokenizer, self.job, stamps.stamp)
        self.losses = self.losses or losses
        return stamps.gap()


@dataclass(frozen=True)
class _Pair:
    """Both sides of one method in one dtype."""

    method: str
    dtype: DType
    usual: _Usual
    ours: _Ours

    def row(self, usual_seconds: float, our_seconds: float) -> Row:
        """Return the table's line with the times of both sides."""
        pairs = zip(self.usual.losses, self.ours.losses, strict=True)
        difference = max(abs(a - b) for a, b in pairs)
        return Row(
            f"{self.method} step, {self.dtype}",
            usual_seconds,
            our_seconds,
            same=f"losses within {difference:.1e}",
            agreed=difference < LOSS_TOLERANCE[self.dtype],
        )


def training_steps(bench: Bench) -> Outcome:
    """Time training steps of LoRA and DoRA on both sides, in each dtype."""
    pairs = [
        _pair(bench, base, method)
        for dtype in bench.dtypes
        for base in [base_of(bench, dtype)]
        for method in METHODS
    ]
    runs: dict[tuple[str, str, DType], Callable[[], float]] = {}
    for pair in pairs:
        runs["usual", pair.method, pair.dtype] = pair.usual.seconds
        runs["ours", pair.method, pair.dtype] = pair.ours.seconds
    seconds = interleaved(runs, bench.size.repeats, warm=bench.size.warm or bench.on_gpu)
    profiled = [pair for pair in pairs if pair.method == "lora"]
    outcome = Outcome(notes=[pair.ours.profile(pair.dtype) for pair in profiled])
    for pair in pairs:
        theirs, ours = (seconds[side, pair.method, pair.dtype] for side in ("usual", "ours"))
        outcome.rows.append(pair.row(theirs, ours))
        for side, taken in (("baseline", theirs), ("ours", ours)):
            what = f"{pair.method}, {pair.dtype}, {side}"
            outcome.trainings.append(Training(what, taken, pair.ours.flops, pair.dtype))
    best = {
        side: min(seconds[side, "lora", dtype] for dtype in bench.dtypes)
        for side in ("usual", "ours")
    }
    what = "lora step, each side in its faster dtype"
    outcome.rows.insert(0, Row(what, best["usual"], best["ours"], 2.0))
    for dtype in bench.dtypes:
        lora, dora = (seconds["ours", method, dtype] for method in METHODS)
        what = f"our dora step, with our lora step as baseline, {dtype}"
        outcome.rows.append(Row(what, lora, dora, 1 / 1.25))
    return outcome


def frozen_epochs(bench: Bench) -> Outcome:
    """Time epochs that train the upper half of the layers against epochs that train all."""
    base = base_of(bench)
    half = base.model.config.get_text_config().num_hidden_layers // 2
    cells = {name: plan_cell(bench, name) for name in ("lora", f"lora+last[n={half}]")}
    runs = {name: partial(_epoch_seconds, base, cell) for name, cell in cells.items()}
    seconds = interleaved(runs, 1, warm=bench.on_gpu)  # each is many steps long
    every, upper = cells
    with without(Optimization.FROZEN_PREFIX):
        plain = _first_losses(base, cells[upper])
    difference = max(
        abs(a - b) for a, b in zip(_first_losses(base, cells[upper]), plain, strict=True)
    )
    row = Row(
        f"epoch that trains the upper {half} layers, with our epoch of all layers as baseline",
        seconds[every],
        seconds[upper],
        1 / 0.6,
        f"losses within {difference:.1e} of training without the shortcut",
        difference < LOSS_TOLERANCE[bench.dtype],
    )
    return Outcome([row])


def _pair(bench: Bench, base: Base, method: str) -> _Pair:
    dtype = DType(str(base.model.dtype).removeprefix("torch."))
    cell = plan_cell(replace(bench, dtypes=(dtype,)), method, epochs=1)
    job = job_for(bench, cell, base)
    model = adapted(copy.deepcopy(base.model), base.tokenizer, job)
    ours = _Ours(cell, job, attached(base, cell))
    return _Pair(method, dtype, _Usual(model, base.tokenizer, job), ours)


def _epoch_seconds(base: Base, cell: PlannedCell) -> float:
    made = attached(base, cell)
    return timed(lambda: _train(cell, made)) / made.plan.epochs


def _first_losses(base: Base, cell: PlannedCell) -> list[float]:
    made = attached(base, cell)
    return _train(cell, replace(made, plan=replace(made.plan, epochs=1))).losses


def _train(
    cell: PlannedCell,
    made: Attached,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> TrainingLog:
    return train(made.model, cell.recipe.adapter, made.plan, on_step)
