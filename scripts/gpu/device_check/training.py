"""Stages `steps` and `large`: training steps of ours, alone and stacked, and of PEFT's loop."""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from bench.cell.attach import Attached
from bench.inference.encoding import batches_by_length, collate
from bench.training.loop import train
from device_check.machine import TableRow, attached, planned
from device_check.timing import Steps, launches
from methods.targets import linear_names

if TYPE_CHECKING:
    from bench.models.loading import Base
    from bench.training.loop import TrainingLog, TrainingPlan
    from device_check.machine import Check

STEPS, FEW = 16, 4
FACTS = 256
"""Facts of a training whose steps are timed: two batches of the largest size."""


def steps(check: Check) -> None:
    """Time LoRA and DoRA at several batch sizes, alone and stacked, and PEFT's loop."""
    base = check.base(check.shape)
    alone = [_alone(check, base, method, _sizes(check)) for method in ("lora", "dora")]
    check.tell(f"Training steps, {check.shape}", [row for rows in alone for row in rows])
    counts = (1, 4, 16, 32) if check.on_gpu else (1, 2)
    check.tell(f"Stacked training steps, {check.shape}", _stacked(check, base, "lora", counts))


def large(check: Check) -> None:
    """Time LoRA at the shape of an 8B model, alone and stacked, as a share of the product."""
    base = check.unsaved_base(check.large)
    rows = _alone(check, base, "lora", _sizes(check)[:2])
    check.tell(f"Large training steps, {check.large}", rows)
    counts = (4, 8, 16) if check.on_gpu else (2,)
    check.tell(
        f"Large stacked training steps, {check.large}", _stacked(check, base, "lora", counts)
    )


def _sizes(check: Check) -> tuple[int, ...]:
    return (8, 32, 128) if check.on_gpu else (8, 32)


def _alone(check: Check, base: Base, method: str, sizes: Sequence[int]) -> list[TableRow]:
    """Time one cell at several batch sizes, and PEFT's loop at the first."""
    _, [cell] = planned(check, base.name, [method], limit=FACTS)
    rows = list[TableRow]()
    for size in sizes:
        gc.collect()
        before = check.allocated()
        made = attached(base, cell)
        taken = check.allocated() - before
        plan = _short(made.plan, size, STEPS)
        moments = Steps(check)
        check.reset_peak()
        log = train(made.model, cell.recipe.adapter, plan, moments.stamp)
        row = {"side": "ours", "method": method, "batch": size, "attaching GiB": taken}
        row |= _speed(check, moments.gap(), [log])

        def again(count: int, made: Attached = made, size: int = size) -> None:
            short = _short(made.plan, size, count)
            train(made.model, cell.recipe.adapter, short, lambda *_: None)

        rows.append(row | launches(check, again))
    usual = {"side": "PEFT", "method": method, "batch": sizes[0]}
    return [*rows, usual | _peft(check, base, made.plan, method)]


def _stacked(check: Check, base: Base, method: str, counts: Sequence[int]) -> list[TableRow]:
    """Time cells that train together, as many as `counts` says, 8 facts a step each."""
    from bench.stacking.model import stack_models
    from bench.stacking.train import train_together

    rows = list[TableRow]()
    for count in counts:
        _, cells = planned(check, base.name, [method], limit=FACTS, seeds=tuple(range(count)))
        made = [attached(base, cell) for cell in cells]
        stack = stack_models(base.model, [one.model for one in made])

        def together(steps: int, made: list[Attached] = made, stack: Any = stack) -> list[Any]:
            plans = [_short(one.plan, 8, steps) for one in made]
            return list(train_together(stack, plans, lambda *_: None, lambda ended: None))

        together(FEW)
        check.reset_peak()
        # What a training does besides its steps cancels out.
        moments = [check.settled()]
        for number in (FEW, FEW + STEPS):
            logs = together(number)
            moments.append(check.settled())
        first, second = (b - a for a, b in pairwise(moments))
        if lost := [log for log in logs if isinstance(log, Exception)]:
            raise RuntimeError(f"{len(lost)} of {count} stacked cells failed: {lost[0]}")
        row = {"side": "stacked", "method": method, "cells": count, "batch": 8}
        rows.append(row | _speed(check, (second - first) / STEPS, logs) | launches(check, together))
    return rows


def _short(plan: TrainingPlan, size: int, count: int) -> TrainingPlan:
    return replace(plan, batch_size=size, epochs=count, max_steps=count)


def _speed(check: Check, seconds: float, logs: Sequence[TrainingLog]) -> dict[str, float]:
    """Return the columns of a step of all cells together.

    Args:
        check: The check.
        seconds: Of one step.
        logs: Of the cells.
    """
    flops = sum(log.flops / len(log.losses) for log in logs)
    row = {"step ms": 1e3 * seconds, "ms a cell": 1e3 * seconds / len(logs)}
    row |= {"GFLOP": flops / 1e9, "peak GiB": check.peak()}
    return row | ({"share of product": flops / seconds / check.flops} if check.flops else {})


def _peft(check: Check, base: Base, plan: TrainingPlan, method: str) -> dict[str, float]:
    """Time the loop that PEFT's documentation shows."""
    lent = copy.deepcopy(base.model, {id(p): p for p in base.model.parameters()})
    options = {"r": 16, "lora_alpha": 16, "target_modules": linear_names(base.model)}
    model = get_peft_model(lent, LoraConfig(use_dora=method == "dora", **options))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    moments = Steps(check)
    check.reset_peak()
    examples = plan.contexts[0]
    lengths = [len(example.tokens) for example in examples]
    for indices in batches_by_length(lengths, 8, None)[:STEPS]:
        batch = collate(examples, indices, plan.pad)
        tokens, mask, kept, labels = (
            part.to(check.device) for part in (batch.tokens, batch.mask, batch.kept, batch.labels)
        )
        logits = model(input_ids=tokens, attention_mask=mask).logits[:, kept]
        cross_entropy(logits.float().transpose(1, 2), labels).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        moments.stamp()
    taken = 1e3 * moments.gap()
    return {"step ms": taken, "ms a cell": taken, "peak GiB": check.peak()}
