"""Train the members of a stack at once, each by its own plan.

A step of the stack is the next step of every member. Plans may differ in everything: facts and
their order, weights, contexts, epochs, rates, accumulation. A member with fewer batches in a step
has rows of padding there, and one that has ended or diverged has nothing else. No number of one
member enters those of another: rows are apart in the base, factors are batched over members, and
each member has its own loss, clipping and optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.failures import raise_device_errors
from bench.stacking.assembly import Part
from bench.stacking.model import StackedModel
from bench.stacking.passes import Passes
from bench.training import schedule
from bench.training.course import Course, DivergenceError, TrainingLog, TrainingPlan, Updates
from bench.training.loop import FlopMeter

Facts = Sequence[int]

LOOK_ROWS = 128
"""Facts of all members together in a pass that only measures."""

CLIP_EPSILON = 1e-6
"""What torch's `clip_grad_norm_` adds to a norm before it divides by it."""


def train_together(
    stack: StackedModel,
    plans: Sequence[TrainingPlan],
    on_step: Callable[[int, int, float], None],
    on_epoch: Callable[[Mapping[int, int]], None] | None = None,
) -> list[TrainingLog | Exception]:
    """Train all members of a stack, in place.

    Args:
        stack: The stack, whose members' own models are in evaluation mode.
        plans: The plan of each member.
        on_step: Called after each step of a member with its number, the number of its steps done
            and the last loss.
        on_epoch: Called with the members that have just ended an epoch, but not their last one, and
            the number of epochs each has done; it must leave random states as they are.

    Returns:
        What was measured of each member; a `DivergenceError` if its loss is not finite or exceeds
        EXPLOSION, or what its `reweigh` raised. Its weights are then those before that step.
    """
    stack.eval()
    together = _Together(stack, plans)
    together.finish([m for m in together.members if not m.course.plan.epochs_begun])
    stack.stack.prepare_gradient()
    try:
        while running := [member for member in together.members if member.result is None]:
            together.begin_epochs([member for member in running if member.step is None])
            together.step([member for member in running if member.step is not None], on_step)
            ended = [member for member in running if member.advance()]
            going_on = {m.number: m.epoch for m in ended if m.epoch < m.course.plan.epochs_begun}
            if going_on and on_epoch is not None:
                stack.eval()
                on_epoch(going_on)
            together.finish([member for member in ended if member.number not in going_on])
    finally:
        stack.stack.drop_gradient()
        stack.eval()
    return [member.result for member in together.members if member.result is not None]


class _Member:
    """One member's training under way.

    Args:
        number: Its number in the stack.
        model: Its own model.
        numbers: Its trained numbers, a row of the stack.
        plan: Its data and schedule.

    Attributes:
        epoch: The epoch that is under way, counted from 1; 0 before the first.
        step: The facts of its next step, in parts; None between epochs.
        result: What came of it; None while it runs.
    """

    def __init__(self, number: int, model: nn.Module, numbers: Tensor, plan: TrainingPlan) -> None:
        self.number, self._model = number, model
        self.row = nn.Parameter(numbers)
        self.course, self.updates = Course(plan), Updates([self.row], plan)
        self.epoch = 0
        self.step: Sequence[Facts] | None = None
        self.result: TrainingLog | Exception | None = None
        self._steps: Iterator[Sequence[Facts]] = iter(())

    def begin_epoch(self) -> None:
        """Weigh facts anew if the plan says so, and begin with the first step."""
        self.epoch += 1
        try:
            self.course.begin_epoch(self._model.eval(), self.epoch)
        except Exception as error:  # a part that raises harms its own member only
            raise_device_errors(error)
            self.result = error
            return
        self._steps = self.course.steps(self.epoch)
        self.step = next(self._steps, None)

    def part(self, number: int) -> Part:
        """Return what it runs in a pass of a step: nothing if its step has fewer parts."""
        if self.step is None or number >= len(self.step):
            return Part()
        facts = self.step[number]
        rows = [self.course.row(fact, self.epoch) for fact in facts]
        return Part(rows, self.course.shares(facts, self.step))

    def update(self, gradient: Tensor, numbers: Sequence[float], widths: Sequence[int]) -> bool:
        """Note what a step measured, and update by its gradient; return whether it did.

        Args:
            gradient: The clipped gradient, `[numbers]`.
            numbers: What `Course.end_step` reads.
            widths: The same.
        """
        assert self.step is not None
        try:
            self.course.end_step(self.step, numbers, widths)
        except DivergenceError as error:
            self.result, self.step = error, None
            return False
        self.row.grad = gradient
        self.updates.update()
        self.updates.end_step()
        return True

    def advance(self) -> bool:
        """Move on to the next step; return whether that ended an epoch."""
        if self.step is None:
            return False
        self.step = next(self._steps, None)
        if self.step is None:
            self.course.end_epoch(self.epoch)
        return self.step is None


class _Together:
    """All members' trainings under way.

    Args:
        stack: The stack, in evaluation mode.
        plans: The plan of each member.
    """

    def __init__(self, stack: StackedModel, plans: Sequence[TrainingPlan]) -> None:
        self._stack = stack
        theta = stack.stack.theta.data
        self.members = [
            _Member(number, model, theta[number], plan)
            for number, (model, plan) in enumerate(zip(stack.alone, plans, strict=True))
        ]
        examples = [member.course.examples for member in self.members]
        self._passes = Passes(stack, examples, plans[0].pad)
        self._meter = FlopMeter()
        for member in self.members:
            share = member.course.trained_share
            member.course.log.flops = self._passes.flops / stack.members * share

    def begin_epochs(self, members: Sequence[_Member]) -> None:
        """Begin an epoch of some members."""
        for member in members:
            member.begin_epoch()
        self._look([m for m in members if m.course.looks_apart and m.result is None])

    def step(self, members: Sequence[_Member], on_step: Callable[[int, int, float], None]) -> None:
        """Run the next step of some members; the others have rows of padding.

        Args:
            members: Those that are within an epoch.
            on_step: Called for each of them that did not diverge.
        """
        if not members:
            return
        parameters = self._stack.stack
        assert parameters.gradient is not None
        parameters.gradient.flat.zero_()
        if not self._stack.training:
            self._stack.train()
        count = max(len(member.step or ()) for member in members)
        passes = [[member.part(n) for member in self.members] for n in range(count)]
        found = [self._pass(parts) for parts in passes]
        gradient = _clipped(parameters.finish_gradient())
        # One transfer for the whole step, before its update: a member that diverged gets none.
        numbers = torch.cat(found, dim=1).tolist()
        widths = [one.shape[1] // 2 for one in found]
        for member in members:
            if member.update(gradient[member.number], numbers[member.number], widths):
                losses = member.course.log.losses
                on_step(member.number, len(losses), losses[-1])
        parameters.refresh()

    @torch.no_grad()
    def finish(self, members: Sequence[_Member]) -> None:
        """Measure members that have ended on all their facts, and complete their logs."""
        self._look(members)
        for member in members:
            member.result = member.course.log

    def _pass(self, parts: Sequence[Part]) -> Tensor:
        """Run a pass forward and back; return for each member what `Course.end_step` reads."""
        batch = self._passes.of(parts)
        before = self._meter.flops
        with self._meter.measure(batch.size):
            losses, hits = batch.fact_losses(self._passes.logits(batch))
            totals = (batch.shares * losses).sum(1, keepdim=True)
            totals.sum().backward()
        self._stack.stack.end_backward()
        for member, part in zip(self.members, parts, strict=True):
            if part.rows:
                member.course.log.flops += (self._meter.flops - before) / len(parts)
        return torch.cat([totals.detach(), losses.detach(), hits], dim=1)

    @torch.no_grad()
    def _look(self, members: Sequence[_Member]) -> None:
        """Measure all facts of some members on the trained prompt, without training."""
        self._stack.eval()
        looks = {m.number: m.course.looks(-(-LOOK_ROWS // len(self.members))) for m in members}
        for number in range(max(map(len, looks.values()), default=0)):
            now = {n: some[number] for n, some in looks.items() if number < len(some)}
            parts = [Part(now.get(n, ())) for n in range(len(self.members))]
            batch = self._passes.of(parts)
            hits = batch.hits(self._passes.logits(batch)).tolist()
            for n, facts in now.items():
                self.members[n].course.note(facts, hits[n][: len(facts)])


def _clipped(gradient: Tensor) -> Tensor:
    """Scale each member's gradient in place to at most CLIP_NORM, `[members, numbers]`."""
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return gradient.mul_((schedule.CLIP_NORM / (norms + CLIP_EPSILON)).clamp_(max=1.0))
