"""The training loop of every method: AdamW, warm-up, clipping, batches by length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.inference.encoding import collate
from bench.inference.likelihood import fact_losses
from bench.training import schedule
from bench.training.course import Course, DivergenceError, TrainingLog, TrainingPlan, Updates
from bench.training.forward import passes
from bench.training.resume import (
    TrainingState,
    TrainingStates,
    random_states,
    restore_parameters,
    restore_random_states,
    trained_parameters,
)
from tasks.fact import hash_fraction

if TYPE_CHECKING:
    from methods.parts import Adapter

__all__ = [
    "DivergenceError",
    "FlopMeter",
    "TrainingLog",
    "TrainingPlan",
    "Updates",
    "data_order_seed",
    "train",
]


def train(
    model: nn.Module,
    adapter: Adapter,
    plan: TrainingPlan,
    on_step: Callable[[int, float], None],
    on_epoch: Callable[[int], None] | None = None,
    states: TrainingStates | None = None,
    updates: Updates | None = None,
) -> TrainingLog:
    """Train the parameters that require gradients, in place.

    Args:
        model: The model with its adapter attached.
        adapter: Its `extra_loss` is added to the loss of a step, its `after_step` follows it.
        plan: Data and schedule.
        on_step: Called after each step with the number of steps done and the last loss.
        on_epoch: Called after each epoch but the last with the number of epochs done; it must
            leave random states and the training mode as they are.
        states: Keeps the state of the training from time to time, and has the one to go on from.
        updates: The optimizer of an earlier training of the same model, to go on with; None starts
            afresh.

    Raises:
        DivergenceError: The loss is not finite or exceeds EXPLOSION.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    updates = Updates(parameters, plan) if updates is None else updates
    run = _Run(model.eval(), adapter, plan)
    course = run.course
    state = states.read() if states is not None else None
    first, done = (state.epoch, state.done) if state else (1, 0)
    if state is not None:
        run.restore(state, updates)
    for epoch in range(first, plan.epochs_begun + 1):
        if not done:  # else the epoch had begun
            course.begin_epoch(model.eval(), epoch)
            if course.looks_apart:
                run.look()
            if course.is_learned:
                break
        model.train()
        for step in course.steps(epoch, done):
            loss = run.step(step, epoch)
            torch.nn.utils.clip_grad_norm_(parameters, schedule.CLIP_NORM)
            updates.update()
            adapter.after_step(model, len(course.log.losses) - 1)  # counted from 0
            updates.end_step()
            done += 1
            on_step(len(course.log.losses), loss)
            if states is not None and states.due(last=len(course.log.losses) == plan.steps):
                states.write(partial(run.state, epoch, done, updates))
        done = 0
        course.end_epoch(epoch)
        if on_epoch is not None and epoch < plan.epochs_begun:
            on_epoch(epoch)
    else:
        model.eval()
        run.look()
    course.log.flops = run.flops
    return course.log


class _Run:
    """How one model runs the batches of its course.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        adapter: The adapter.
        plan: Data and schedule.
    """

    def __init__(self, model: nn.Module, adapter: Adapter, plan: TrainingPlan) -> None:
        self.model, self.adapter, self.plan = model, adapter, plan
        self.course = Course(plan)
        self.passes = passes(model, self.course.examples, plan.pad)
        # What is only followed costs no operations of training.
        self.counter = FlopMeter(self.passes.flops * self.course.trained_share)
        self.beside = FlopMeter()  # for the penalty, whose passes all cost the same

    @property
    def flops(self) -> float:
        """Floating point operations so far."""
        return self.counter.flops + self.beside.flops

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def state(self, epoch: int, done: int, updates: Updates) -> TrainingState:
        """Return the state of the training after some steps of an epoch."""
        return TrainingState(
            epoch=epoch,
            done=done,
            parameters=trained_parameters(self.model),
            updates=updates.state(),
            course=self.course.state(),
            counted=self.counter.state,
            beside=self.beside.state,
            draws=random_states(self._device),
        )

    def restore(self, state: TrainingState, updates: Updates) -> None:
        """Go back to a state."""
        restore_parameters(self.model, state.parameters)
        updates.restore(state.updates)
        self.course.restore(state.course)
        self.counter.state, self.beside.state = state.counted, state.beside
        restore_random_states(state.draws, self._device)

    def step(self, step: Sequence[Sequence[int]], epoch: int) -> float:
        """Add up the gradients of one optimizer step; return its loss, in nats per token.

        Raises:
            DivergenceError: The loss is not finite or exceeds EXPLOSION.
        """
        found = [self._part(part, step, epoch, first=not n) for n, part in enumerate(step)]
        found += [] if self.plan.penalty is None else [self._penalty(self.plan.penalty)]
        # One transfer for the whole step: on a GPU each one waits until all work is done.
        numbers = torch.cat(found).tolist()
        penalty = 0.0 if self.plan.penalty is None else numbers.pop()
        return self.course.end_step(step, numbers, [len(part) for part in step], penalty)

    def _penalty(self, term: Callable[[nn.Module, int], Tensor]) -> Tensor:
        """Run the plan's penalty forward and back; return it, `[1]`."""
        with self.beside.measure(1):
            total = term(self.model, len(self.course.log.losses))
            total.backward()
        return total.detach()[None]

    def _part(
        self, part: Sequence[int], step: Sequence[Sequence[int]], epoch: int, *, first: bool
    ) -> Tensor:
        """Run a part of a step forward and back.

        Returns:
            Its share of the loss, then the losses and then the accuracies of its facts.
        """
        rows = [self.course.row(fact, epoch) for fact in part]
        run = self.passes.of(collate(self.course.examples, rows, self.plan.pad))
        with self.counter.measure(run.tokens):
            per_fact, hits = fact_losses(run.logits(self.model), run.batch.labels)
            shares = torch.tensor(self.course.shares(part, step))
            total = (shares.to(per_fact) * per_fact).sum()
            # An adapter's own loss does not depend on facts: it counts once per step.
            extra = self.adapter.extra_loss(self.model) if first else None
            total = total if extra is None else total + extra
            total.backward()
        return torch.cat([total.detach()[None], per_fact.detach(), hits])

    @torch.no_grad()
    def look(self) -> None:
        """Measure all facts on the trained prompt, without training."""
        for some in self.course.looks():
            run = self.passes.of(collate(self.course.examples, some, self.plan.pad))
            _, hits = fact_losses(run.logits(self.model), run.batch.labels)
            self.course.note(some, hits.tolist())


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

    @property
    def state(self) -> tuple[float, float | None]:
        """The operations so far and those per token, None before the first step."""
        return self.flops, self._per_token

    @state.setter
    def state(self, state: tuple[float, float | None]) -> None:
        self.flops, self._per_token = state

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
