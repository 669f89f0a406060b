"""Phases of several cells at once: their models, stacked on one base, are trained and asked.

What a phase spends is shared evenly by the cells that take part in it. No number of one cell
enters those of another, see `bench.stacking`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from bench.cell.context import CellContext
from bench.cell.phases import PhaseClock
from bench.cell.running import RunningCell
from bench.evaluation.responses import respond_together
from bench.forgetting.path import measure_paths_together
from bench.progress.base import Progress
from bench.stacking.model import StackedModel, stack_models
from bench.stacking.train import train_together
from bench.store.records import PhaseName


class StackedCells:
    """Cells whose models are stacked on their base.

    Args:
        members: The cells, prepared, of one base; their models can be stacked.
        context: What cells share.
        progress: Shows the phases.

    Raises:
        UsageError: The stack would not give the logits of each member.
    """

    def __init__(
        self, members: Sequence[RunningCell], context: CellContext, progress: Progress
    ) -> None:
        self._members, self._context, self._progress = members, context, progress
        self._base = context.start(members[0].cell)
        with self._shared(members, PhaseName.TRAIN):
            self._stack = stack_models(self._base.model, [m.attached.model for m in members])
        for member in members:
            member.result.update(stacked=len(members))

    def train(self) -> None:
        """Train all of them; each that diverges or fails is over, and the others are not harmed."""
        plans = [member.plan for member in self._members]
        self._progress.phase(PhaseName.TRAIN, max(plan.steps for plan in plans))
        done = 0

        def on_step(member: int, steps: int, loss: float) -> None:
            nonlocal done
            if steps > done:
                done = steps
                self._progress.step(done, loss)

        with self._shared(self._members, PhaseName.TRAIN) as clock:
            on_epoch = partial(self._measure_paths, clock)
            # All start from the same first step, if there is one; what that has cost counts.
            on_epoch({n: 0 for n, member in enumerate(self._members) if member.cell.first})
            logs = train_together(self._stack, plans, on_step, on_epoch)
        for member, log in zip(self._members, logs, strict=True):
            with member.guarded():
                if isinstance(log, Exception):
                    raise log
                member.trained(log)

    def groups(self) -> list[list[RunningCell]]:
        """Return the cells that are not over, in groups that are asked the same."""
        asked: dict[Hashable, list[RunningCell]] = {}
        for member in self._members:
            if not member.over:
                with member.guarded():
                    asked.setdefault(self._asked(member), []).append(member)
        return list(asked.values())

    def evaluate(self, group: Sequence[RunningCell]) -> None:
        """Ask the cells of a group together."""
        self._progress.phase(PhaseName.EVALUATE)
        asked, facts = group[0].asked, group[0].cell.data.facts
        with self._shared(group, PhaseName.EVALUATE):
            model = self._of(group)
            everywhere = not group[0].cell.spec.is_candidate
            found = respond_together(
                model, asked.contexts, facts, asked.before, everywhere=everywhere
            )
            learned = self._context.evaluation(group[0].cell).learned_together(model)
        for member, after, own in zip(group, found, learned, strict=True):
            with member.guarded():
                member.evaluated(after, own)

    def forget(self, group: Sequence[RunningCell]) -> None:
        """Measure what the cells of a group forgot."""
        group = [member for member in group if not member.over]
        if not group:
            return
        self._progress.phase(PhaseName.FORGET)
        with self._shared(group, PhaseName.FORGET):
            suite = self._context.suite(group[0].cell)
            found = suite.measure_together(self._of(group))
        for member, measured in zip(group, found, strict=True):
            with member.guarded():
                member.forgotten(measured)

    def _measure_paths(self, clock: PhaseClock, ended: Mapping[int, int]) -> None:
        """Measure the members that have just ended an epoch."""
        asked: dict[Hashable, list[RunningCell]] = {}
        epochs = {id(self._members[number]): epoch for number, epoch in ended.items()}
        for number in ended:
            member = self._members[number]
            asked.setdefault(self._context.forgetting_tasks(member.cell), []).append(member)
        for group in asked.values():
            measure_paths_together(
                [member.path for member in group],
                self._of(group),
                [epochs[id(member)] for member in group],
                partial(clock.phase, PhaseName.FORGET),
            )

    def _asked(self, member: RunningCell) -> Hashable:
        cell = member.cell
        spec = cell.spec
        contexts = (spec.facts_digest, cell.data.prompt.digest, spec.train_prompt, spec.fact_set)
        return (*contexts, self._context.forgetting_tasks(cell), cell.evaluate)

    def _of(self, group: Sequence[RunningCell]) -> StackedModel:
        """Return the stack of some members."""
        if len(group) == len(self._members):
            return self._stack
        return self._stack.subset([self._members.index(member) for member in group])

    @contextmanager
    def _shared(self, group: Sequence[RunningCell], name: PhaseName) -> Iterator[PhaseClock]:
        """Measure a block, and charge each cell of a group its share."""
        clock = PhaseClock(self._base.devices, self._context.cache)
        try:
            with clock.phase(name):
                yield clock
        finally:
            for member in group:
                member.clock.charge(clock.phases, len(group))
