"""What a training runs and what it has measured so far, whichever way its passes are run.

`bench.training.loop` follows one course with one model, `bench.stacking.train` follows several at
once with a stack of them.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.types import Schedule
from bench.inference.encoding import Example, batches_by_length
from bench.optimizations import Optimization, enabled
from bench.store.records import Epoch
from bench.training import schedule
from bench.training.rows import Replayed, epoch_batches

EXPLOSION = 1e4
"""A batch loss above this, in nats per token, counts as divergence; guessing gives about 11."""

_OF_SCHEDULE = ("base_lrs", "last_epoch", "_step_count", "_last_lr")
"""What the schedule's state changes; the rest is the same in every process."""

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
        followed: Examples that are not trained but looked at before training and after each epoch,
            instead of the facts; None: the facts are.
        until_right: Whether to stop, before the first epoch too, as soon as all target tokens of
            all facts are right under teacher forcing. All facts are then looked at before each
            epoch, in evaluation mode. A stack takes no such plan.
        order: Returns the facts in the order in which an epoch trains them, given the epoch,
            counted from 1; None: batches of similar length, shuffled.
        replayed: What is trained beside the facts, each with weight 1. It is neither looked at nor
            part of the learning curve.
        penalty: Returns what is added to the loss of a step, given the model in training and the
            step, counted from 0. A stack takes no such plan.
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
    followed: Sequence[Example] | None = None
    until_right: bool = False
    order: Callable[[int], Sequence[int]] | None = None
    replayed: Replayed | None = None
    penalty: Callable[[nn.Module, int], Tensor] | None = None

    @property
    def facts(self) -> int:
        """Number of facts."""
        return len(self.contexts[0])

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in one epoch."""
        rows = self.facts + (self.replayed.count if self.replayed else 0)
        return math.ceil(math.ceil(rows / self.batch_size) / self.accumulation)

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
            training and after each epoch in which it was trained, `[facts][epochs + 1]`, or of each
            example that is followed instead. The state
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

    @property
    def digest(self) -> str:
        """A digest of the losses, every bit of them."""
        return hashlib.sha256(array("d", self.losses).tobytes()).hexdigest()


class Course:
    """A training under way: its batches in turn, and what its passes measured.

    Args:
        plan: Data and schedule.

    Attributes:
        plan: The same.
        log: What was measured so far.
        weights: The weight of each fact now, float64 `[facts]`.
        examples: The examples of all contexts in one row: that of fact i in context c is at
            `c * facts + i`. Behind them are those that may be replayed, then those that are
            followed.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.weights = plan.weights
        self.examples = [example for context in plan.contexts for example in context]
        self._replayed = len(self.examples)
        self.examples += plan.replayed.examples if plan.replayed else ()
        self._first = 0 if plan.followed is None else len(self.examples)
        self.examples += plan.followed or ()
        looked_at = plan.facts if plan.followed is None else len(plan.followed)
        self.log = TrainingLog(accuracies=[[] for _ in range(looked_at)])
        self._generator = torch.Generator().manual_seed(plan.order_seed)
        self._began = self._generator.get_state()
        self._losses: dict[int, float] = {}
        self._hits: dict[int, float] = {}

    @property
    def trained_share(self) -> float:
        """The share of all tokens that is trained, not only followed."""
        sizes = [len(example.tokens) for example in self.examples]
        return sum(sizes[: self._first or None]) / sum(sizes)

    @property
    def looks_apart(self) -> bool:
        """Whether all that is followed is looked at before each epoch, not in passes of training.

        Several contexts take turns, others than the facts are followed, or training stops when all
        are right.
        """
        plan = self.plan
        return len(plan.contexts) > 1 or plan.followed is not None or plan.until_right

    @property
    def is_learned(self) -> bool:
        """Whether training stops, because the last look found every fact right."""
        return self.plan.until_right and all(seen[-1] == 1 for seen in self.log.accuracies)

    def begin_epoch(self, model: nn.Module, epoch: int) -> None:
        """Weigh the facts anew if the plan says so.

        Args:
            model: The model with its adapter attached, in evaluation mode.
            epoch: The epoch that begins, counted from 1.
        """
        found = self.plan.reweigh(model, epoch) if self.plan.reweigh else None
        self.weights = self.weights if found is None else found

    def steps(self, epoch: int, done: int = 0) -> Iterator[Sequence[Sequence[int]]]:
        """Yield the facts of each optimizer step of an epoch, in parts that are run one by one.

        What is replayed is numbered behind the facts.

        Args:
            epoch: The epoch, counted from 1.
            done: How many of its steps were done before and are left out.
        """
        plan = self.plan
        self._began = self._generator.get_state()
        drawn = plan.replayed.draw(epoch) if plan.replayed else ()
        replayed = [plan.facts + index for index in drawn]
        order = plan.order(epoch) if plan.order else None
        rows = (self.row(fact, epoch) for fact in [*range(plan.facts), *replayed])
        lengths = [len(self.examples[row].tokens) for row in rows]
        batches = epoch_batches(order, replayed, lengths, plan.batch_size, self._generator)
        starts = range(0, len(batches), plan.accumulation)
        for start in starts[: plan.steps - len(self.log.losses) + done][done:]:
            some = batches[start : start + plan.accumulation]
            yield [part for batch in some for part in _parts(batch, plan.micro_batches)]

    def row(self, fact: int, epoch: int) -> int:
        """Return which of the examples a fact, or what is replayed, is trained with in an epoch."""
        if fact >= self.plan.facts:
            return self._replayed + fact - self.plan.facts
        return self.plan.context_of(fact, epoch) * self.plan.facts + fact

    def shares(self, part: Sequence[int], step: Sequence[Sequence[int]]) -> list[float]:
        """Return what the loss of each fact of a part counts in the loss of its step."""
        count, facts = sum(map(len, step)), self.plan.facts
        own = [fact for fact in part if fact < facts]
        weights = self.weights[torch.tensor(own, dtype=torch.long)].tolist()
        found = dict(zip(own, weights, strict=True))
        return [found.get(row, 1.0) / count for row in part]

    def end_step(
        self,
        step: Sequence[Sequence[int]],
        numbers: Sequence[float],
        widths: Sequence[int],
        penalty: float = 0.0,
    ) -> float:
        """Note what the passes of a step measured, before its update; return its loss.

        Args:
            step: Its facts, in parts.
            numbers: For each part its share of the loss, then the loss and then the accuracy of
                each fact, with padding.
            widths: How many facts that is for each part, padding included.
            penalty: What was added to the loss of the step.

        Raises:
            DivergenceError: The loss is not finite or exceeds EXPLOSION.
        """
        loss, at = penalty, 0
        losses, hits = list[float](), list[float]()
        for part, width in zip(step, widths, strict=False):
            loss += numbers[at]
            losses += numbers[at + 1 : at + 1 + len(part)]
            hits += numbers[at + 1 + width : at + 1 + width + len(part)]
            at += 1 + 2 * width
        if not math.isfinite(loss) or loss > EXPLOSION:
            raise DivergenceError(len(self.log.losses), loss)
        rows = zip((fact for part in step for fact in part), losses, hits, strict=True)
        own = [row for row in rows if row[0] < self.plan.facts]
        self._losses.update((fact, loss) for fact, loss, _ in own)
        self._hits.update((fact, hit) for fact, _, hit in own)
        if not self.looks_apart:
            self.note([fact for fact, _, _ in own], [hit for _, _, hit in own])
        self.log.losses.append(loss)
        return loss

    def end_epoch(self, epoch: int) -> None:
        """Add an epoch's point to the learning curve: its own losses, the latest accuracies."""
        loss = sum(self._losses.values()) / len(self._losses)
        accuracy = sum(self._hits.values()) / len(self._hits)
        self.log.curve.append(Epoch(epoch=epoch, loss=loss, token_accuracy=accuracy))
        self._losses = {}

    def state(self) -> dict[str, Any]:
        """Return the place in the data and what was measured, as tensors and plain values."""
        curve = [point.model_dump() for point in self.log.curve]
        return {
            "order": self._began,
            "weights": self.weights,
            "losses": list(self.log.losses),
            "accuracies": [list(own) for own in self.log.accuracies],
            "curve": curve,
            "latest": (dict(self._losses), dict(self._hits)),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state within an epoch; `steps` then leaves out those that were done."""
        self._generator.set_state(state["order"])
        self.weights = state["weights"]
        self.log.losses = list(state["losses"])
        self.log.accuracies = [list(own) for own in state["accuracies"]]
        self.log.curve = [Epoch(**point) for point in state["curve"]]
        self._losses, self._hits = (dict(own) for own in state["latest"])

    def looks(self, most: int = LOOK_BATCH) -> list[list[int]]:
        """Return which examples a pass that only measures runs, in batches.

        They are all facts in the first context, or what is followed instead. Passes of training
        see every state but the last, unless it `looks_apart`.

        Args:
            most: Examples per batch.
        """
        looked_at = self.examples[self._first : self._first + len(self.log.accuracies)]
        batches = batches_by_length([len(example.tokens) for example in looked_at], most, None)
        return [[self._first + index for index in batch] for batch in batches]

    def note(self, examples: Sequence[int], hits: Sequence[float]) -> None:
        """Add an accuracy to the history of each example that was looked at."""
        for example, hit in zip(examples, hits, strict=True):
            self.log.accuracies[example - self._first].append(hit)


class Updates:
    """AdamW with the rate of a plan's schedule.

    Args:
        parameters: What is trained.
        plan: Data and schedule.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], plan: TrainingPlan) -> None:
        devices = {parameter.device.type for parameter in parameters}
        at_once = enabled(Optimization.ONE_UPDATE) and devices <= {"cpu", "cuda"}
        self._optimizer = torch.optim.AdamW(
            parameters,
            lr=plan.learning_rate,
            weight_decay=schedule.WEIGHT_DECAY,
            fused=True if at_once else None,  # None leaves the choice to AdamW
        )
        factor = schedule.rate_factor(plan.schedule, plan.warmup, plan.steps)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, factor)

    def update(self) -> None:
        """Update the parameters by their gradients, which stay."""
        self._optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return the state of the optimizer and of the schedule."""
        schedule = {
            name: value
            for name, value in self._scheduler.state_dict().items()
            if name in _OF_SCHEDULE
        }
        return {"optimizer": self._optimizer.state_dict(), "schedule": schedule}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state of the same optimizer."""
        self._optimizer.load_state_dict(dict(state["optimizer"]))
        self._scheduler.load_state_dict({**self._scheduler.state_dict(), **state["schedule"]})

    def end_step(self) -> None:
        """Drop the gradients, and move on in the schedule."""
        self._optimizer.zero_grad(set_to_none=True)
        self._scheduler.step()


def _parts(indices: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    """Divide a batch into at most `count` parts of similar size."""
    size = math.ceil(len(indices) / count)
    return (indices[start : start + size] for start in range(0, len(indices), size))
