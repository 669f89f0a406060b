"""The training loop of every method: AdamW, warm-up and cosine, clipping, batches by length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.inference.encoding import Example, batches_by_length, collate
from bench.inference.likelihood import fact_losses
from bench.optimizations import Optimization, enabled
from bench.store.records import Epoch
from bench.training import schedule
from bench.training.forward import passes
from tasks.fact import hash_fraction

if TYPE_CHECKING:
    from methods.parts import Adapter

EXPLOSION = 1e4
"""A batch loss above this, in nats per token, counts as divergence; guessing gives about 11."""


class DivergenceError(Exception):
    """The loss became NaN, infinite or larger than EXPLOSION.

    Args:
        step: The optimizer step, counted from 0.
        loss: The loss of its batch, in nats per token.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss {loss:g} at step {step}")
        self.step = step


@dataclass(frozen=True)
class TrainingPlan:
    """The data and the schedule of one training.

    Attributes:
        examples: The kept facts, each with its plain prompt and target.
        weights: Weight of each example in the loss, float64 `[examples]` with mean 1.
        epochs: Number of epochs.
        batch_size: Examples per optimizer step, fewer in the last of an epoch.
        learning_rate: Peak learning rate.
        order_seed: Seed of the data order; it depends on seed and task, never on the method.
        pad: Token id of padding.
        reweigh: Called before each epoch with the model in evaluation mode and the epoch, counted
            from 1; returns new weights `[examples]`, or None to keep the current ones.
        max_steps: Stop after this many optimizer steps, even within an epoch. The batches are the
            first of the full training, but the schedule spans only these steps. None: no limit.
        accumulation: Number of parts in which each batch is run to save memory; the gradients of
            the parts add up to those of the whole batch.
    """

    examples: Sequence[Example]
    weights: Tensor
    epochs: int
    batch_size: int
    learning_rate: float
    order_seed: int
    pad: int
    reweigh: Callable[[nn.Module, int], Tensor | None] | None = None
    max_steps: int | None = None
    accumulation: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in one epoch."""
        return math.ceil(len(self.examples) / self.batch_size)

    @property
    def steps(self) -> int:
        """Total number of optimizer steps."""
        steps = self.steps_per_epoch * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def epochs_begun(self) -> int:
        """Number of epochs that are started; the last may be incomplete."""
        return math.ceil(self.steps / self.steps_per_epoch)


@dataclass
class TrainingLog:
    """What was measured during training.

    Attributes:
        curve: One point per epoch, averaged over the kept facts trained so far.
        accuracies: Teacher-forced token accuracy of each example per epoch, `[examples][epochs]`.
        losses: Batch loss of every step, in nats per token.
        flops: Floating point operations of all forward and backward passes, counted on the first
            step and scaled by the number of tokens, padding included.
    """

    curve: list[Epoch] = field(default_factory=list)
    accuracies: list[list[float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    flops: float = 0.0


def train(
    model: nn.Module,
    adapter: Adapter,
    plan: TrainingPlan,
    on_step: Callable[[int, float], None],
) -> TrainingLog:
    """Train the parameters that require gradients, in place.

    Args:
        model: The model with its adapter attached.
        adapter: Its `extra_loss` is added to the batch loss, its `after_step` follows each step.
        plan: Data and schedule.
        on_step: Called after each step with the number of steps done and the last loss.

    Raises:
        DivergenceError: The loss is not finite or exceeds EXPLOSION.
    """
    log = TrainingLog(accuracies=[[] for _ in plan.examples])
    parameters = [p for p in model.parameters() if p.requires_grad]
    devices = {parameter.device.type for parameter in parameters}
    at_once = enabled(Optimization.ONE_UPDATE) and devices <= {"cpu", "cuda"}
    optimizer = torch.optim.AdamW(
        parameters,
        lr=plan.learning_rate,
        weight_decay=schedule.WEIGHT_DECAY,
        fused=True if at_once else None,  # None leaves the choice to AdamW
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.warmup_cosine(plan.steps))
    generator = torch.Generator().manual_seed(plan.order_seed)
    ways = passes(model.eval(), plan.examples, plan.pad)
    counter = FlopMeter(ways.flops)
    weights = plan.weights
    for epoch in range(1, plan.epochs_begun + 1):
        found = plan.reweigh(model.eval(), epoch) if plan.reweigh else None
        weights = weights if found is None else found
        model.train()
        lengths = [len(example.tokens) for example in plan.examples]
        losses: dict[int, float] = {}
        batches = batches_by_length(lengths, plan.batch_size, generator)
        for indices in batches[: plan.steps - len(log.losses)]:
            step = len(log.losses)
            loss, accuracies = 0.0, []
            for part in _parts(indices, plan.accumulation):
                run = ways.of(collate(plan.examples, part, plan.pad))
                with counter.measure(run.tokens):
                    per_fact, hits = fact_losses(run.logits(model), run.batch.labels)
                    weighted = weights[run.batch.indices].to(per_fact) * per_fact
                    total = weighted.sum() / len(indices)
                    # An adapter's own loss does not depend on facts: it counts once per step.
                    extra = adapter.extra_loss(model) if part[0] == indices[0] else None
                    total = total if extra is None else total + extra
                    loss += total.item()
                    if not math.isfinite(loss) or loss > EXPLOSION:
                        raise DivergenceError(step, loss)
                    total.backward()
                losses.update(zip(part, per_fact.tolist(), strict=True))
                accuracies += hits.tolist()

            torch.nn.utils.clip_grad_norm_(parameters, schedule.CLIP_NORM)
            optimizer.step()
            adapter.after_step(model, step)
            optimizer.zero_grad(set_to_none=True)
            scheduler.step()

            log.losses.append(loss)
            for index, accuracy in zip(indices, accuracies, strict=True):
                log.accuracies[index].append(accuracy)
            on_step(step + 1, loss)
        latest = [history[-1] for history in log.accuracies if history]
        mean = sum(losses.values()) / len(losses), sum(latest) / len(latest)
        log.curve.append(Epoch(epoch=epoch, loss=mean[0], token_accuracy=mean[1]))
    log.flops = counter.flops
    model.eval()
    return log


def data_order_seed(seed: int, task: str) -> int:
    """Return the seed of the data order for a seed and a task."""
    return int(hash_fraction("order", str(seed), task) * 2**31)


class FlopMeter:
    """Counts the operations of the first step and assumes the same cost per token for the others.

    Args:
        flops: Operations spent before the first step.
    """

    def __init__(self, flops: float = 0.0) -> None:
        self.flops = flops
        self._per_token: float | None = None

    @contextmanager
    def measure(self, tokens: int) -> Iterator[None]:
        """Count the forward and backward pass of the batch of `tokens` that runs inside."""
        if self._per_token is None:
            with FlopCounterMode(display=False) as counter:
                yield
            self._per_token = counter.get_total_flops() / tokens
        else:
            yield
        self.flops += self._per_token * tokens


def _parts(indices: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    """Divide a batch into at most `count` parts of similar size."""
    size = math.ceil(len(indices) / count)
    return (indices[start : start + size] for start in range(0, len(indices), size))
