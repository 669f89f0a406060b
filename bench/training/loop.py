"""The training loop of every method: AdamW, warm-up, clipping, batches by length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.config.types import Schedule
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

LOOK_BATCH = 32
"""Facts per batch of a pass that only measures."""


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
        contexts: The kept facts in each context that is trained, `[contexts][facts]`: each with
            its prompt and target. Several take turns: fact i is trained in context
            `(i + epoch) % contexts`. The first is the one in which the dose is measured.
        weights: Weight of each fact in the loss, float64 `[facts]` with mean 1.
        epochs: Number of epochs.
        batch_size: Facts per batch, fewer in the last of an epoch.
        learning_rate: Peak learning rate.
        order_seed: Seed of the data order; it depends on seed and task, never on the method.
        pad: Token id of padding.
        schedule: How the learning rate changes after warm-up.
        warmup: Share of the steps in which it rises.
        accumulation: Batches per optimizer step, fewer in the last of an epoch; the loss of a step
            is the mean over all of its facts.
        reweigh: Called before each epoch with the model in evaluation mode and the epoch, counted
            from 1; returns new weights `[facts]`, or None to keep the current ones.
        max_steps: Stop after this many optimizer steps, even within an epoch. The batches are the
            first of the full training, but the schedule spans only these steps. None: no limit.
        micro_batches: Number of parts in which each batch is run to save memory; the gradients of
            the parts add up to those of the whole batch.
    """

    contexts: Sequence[Sequence[Example]]
    weights: Tensor
    epochs: int
    batch_size: int
    learning_rate: float
    order_seed: int
    pad: int
    schedule: Schedule = Schedule.COSINE
    warmup: float = 0.1
    accumulation: int = 1
    reweigh: Callable[[nn.Module, int], Tensor | None] | None = None
    max_steps: int | None = None
    micro_batches: int = 1

    @property
    def facts(self) -> int:
        """Number of facts."""
        return len(self.contexts[0])

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in one epoch."""
        return math.ceil(math.ceil(self.facts / self.batch_size) / self.accumulation)

    @property
    def steps(self) -> int:
        """Total number of optimizer steps."""
        steps = self.steps_per_epoch * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def epochs_begun(self) -> int:
        """Number of epochs that are started; the last may be incomplete."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def context_of(self, fact: int, epoch: int) -> int:
        """Return in which context a fact is trained in an epoch, counted from 1."""
        return (fact + epoch) % len(self.contexts)


@dataclass
class TrainingLog:
    """What was measured during training.

    Attributes:
        curve: One point per epoch, averaged over the kept facts trained so far.
        accuracies: Teacher-forced token accuracy of each fact on the trained prompt before
            training and after each epoch in which it was trained, `[facts][epochs + 1]`. The state
            after an epoch is the one that the next pass of training meets: others of that epoch
            may have been trained already, and dropout is on. The last is measured on its own.
        losses: Loss of every optimizer step, in nats per token.
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
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingLog:
    """Train the parameters that require gradients, in place.

    Args:
        model: The model with its adapter attached.
        adapter: Its `extra_loss` is added to the loss of a step, its `after_step` follows it.
        plan: Data and schedule.
        on_step: Called after each step with the number of steps done and the last loss.
        on_epoch: Called after each epoch but the last with the number of epochs done; it must
            leave random states and the training mode as they are.

    Raises:
        DivergenceError: The loss is not finite or exceeds EXPLOSION.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    devices = {parameter.device.type for parameter in parameters}
    at_once = enabled(Optimization.ONE_UPDATE) and devices <= {"cpu", "cuda"}
    optimizer = torch.optim.AdamW(
        parameters,
        lr=plan.learning_rate,
        weight_decay=schedule.WEIGHT_DECAY,
        fused=True if at_once else None,  # None leaves the choice to AdamW
    )
    factor = schedule.rate_factor(plan.schedule, plan.warmup, plan.steps)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    generator = torch.Generator().manual_seed(plan.order_seed)
    run = _Run(model.eval(), adapter, plan)
    for epoch in range(1, plan.epochs_begun + 1):
        found = plan.reweigh(model.eval(), epoch) if plan.reweigh else None
        run.weights = run.weights if found is None else found
        if len(plan.contexts) > 1:
            run.look()
        model.train()
        for batches in run.steps(epoch, generator):
            loss = run.step(batches, epoch)
            torch.nn.utils.clip_grad_norm_(parameters, schedule.CLIP_NORM)
            optimizer.step()
            adapter.after_step(model, len(run.log.losses))  # counted from 0
            optimizer.zero_grad(set_to_none=True)
            scheduler.step()

            run.log.losses.append(loss)
            on_step(len(run.log.losses), loss)
        run.end_epoch(epoch)
        if on_epoch is not None and epoch < plan.epochs_begun:
            on_epoch(epoch)
    model.eval()
    run.look()
    run.log.flops = run.counter.flops
    return run.log


class _Run:
    """A training under way: what its passes measured, and how batches are run.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        adapter: The adapter.
        plan: Data and schedule.
    """

    def __init__(self, model: nn.Module, adapter: Adapter, plan: TrainingPlan) -> None:
        self.model, self.adapter, self.plan = model, adapter, plan
        self.log = TrainingLog(accuracies=[[] for _ in range(plan.facts)])
        self.weights = plan.weights
        # The examples of all contexts in one row: that of fact i in context c is c * facts + i.
        self.examples = [example for context in plan.contexts for example in context]
        self.passes = passes(model, self.examples, plan.pad)
        self.counter = FlopMeter(self.passes.flops)
        self._losses: dict[int, float] = {}
        self._hits: dict[int, float] = {}

    def steps(self, epoch: int, generator: torch.Generator) -> Iterator[Sequence[Sequence[int]]]:
        """Yield the batches of facts of each optimizer step of an epoch."""
        plan = self.plan
        lengths = [len(self.examples[self._row(fact, epoch)].tokens) for fact in range(plan.facts)]
        batches = batches_by_length(lengths, plan.batch_size, generator)
        starts = range(0, len(batches), plan.accumulation)
        for start in starts[: plan.steps - len(self.log.losses)]:
            yield batches[start : start + plan.accumulation]

    def step(self, batches: Sequence[Sequence[int]], epoch: int) -> float:
        """Add up the gradients of one optimizer step; return its loss, in nats per token.

        Raises:
            DivergenceError: The loss is not finite or exceeds EXPLOSION.
        """
        plan, loss, first = self.plan, 0.0, True
        count = sum(map(len, batches))
        for part in (p for batch in batches for p in _parts(batch, plan.micro_batches)):
            rows = [self._row(fact, epoch) for fact in part]
            run = self.passes.of(collate(self.examples, rows, plan.pad))
            with self.counter.measure(run.tokens):
                per_fact, hits = fact_losses(run.logits(self.model), run.batch.labels)
                weighted = self.weights[torch.tensor(part)].to(per_fact) * per_fact
                total = weighted.sum() / count
                # An adapter's own loss does not depend on facts: it counts once per step.
                extra = self.adapter.extra_loss(self.model) if first else None
                total = total if extra is None else total + extra
                loss, first = loss + total.item(), False
                if not math.isfinite(loss) or loss > EXPLOSION:
                    raise DivergenceError(len(self.log.losses), loss)
                total.backward()
            self._losses.update(zip(part, per_fact.tolist(), strict=True))
            self._hits.update(zip(part, hits.tolist(), strict=True))
            if len(plan.contexts) == 1:
                self._note(part, hits.tolist())
        return loss

    def end_epoch(self, epoch: int) -> None:
        """Add an epoch's point to the learning curve: its own losses, the latest accuracies."""
        loss = sum(self._losses.values()) / len(self._losses)
        accuracy = sum(self._hits.values()) / len(self._hits)
        self.log.curve.append(Epoch(epoch=epoch, loss=loss, token_accuracy=accuracy))
        self._losses = {}

    @torch.no_grad()
    def look(self) -> None:
        """Measure all facts on the trained prompt, without training.

        Passes of training see every state but the last, unless contexts take turns.
        """
        lengths = [len(example.tokens) for example in self.plan.contexts[0]]
        for some in batches_by_length(lengths, LOOK_BATCH, None):
            run = self.passes.of(collate(self.examples, some, self.plan.pad))
            _, hits = fact_losses(run.logits(self.model), run.batch.labels)
            self._note(some, hits.tolist())

    def _note(self, facts: Sequence[int], hits: Sequence[float]) -> None:
        for fact, hit in zip(facts, hits, strict=True):
            self.log.accuracies[fact].append(hit)

    def _row(self, fact: int, epoch: int) -> int:
        return self.plan.context_of(fact, epoch) * self.plan.facts + fact


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
