"""One adapter that is trained on some facts after others, and asked about facts in between.

Each training is one of the shared loop, of any of the facts, and goes on from the weights that the
last one left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from bench.cell.attach import Attached, attach
from bench.cell.context import CellContext
from bench.evaluation.responses import Response, Responses, respond
from bench.evaluation.round_trip import refuse_unanswerable
from bench.evaluation.signals import BaseSignals
from bench.inference.contexts import Contexts
from bench.models.loading import Base
from bench.planning.planned_cell import PlannedCell
from bench.store.records import CellSpec
from bench.studies.trainings import NotFiniteError
from bench.training.loop import TrainingLog, TrainingPlan, Updates, train
from tasks.context import Context
from tasks.errors import UsageError
from tasks.fact import Fact

ANSWERS = (
    ("fact_id", pa.string()),
    ("right", pa.bool_()),
    ("few_shot", pa.bool_()),
    ("generality", pa.float64()),
    ("locality", pa.float64()),
    ("nll", pa.float64()),
)
"""The stored columns of `FactAnswers`."""

OnStep = Callable[[int, float], None]


@dataclass(frozen=True)
class FactAnswers:
    """What a model answered about one fact; None where there is nothing to ask.

    Attributes:
        fact_id: The fact's id.
        right: Whether the greedy answer to the trained prompt is right.
        few_shot: The same with demonstrations before the question.
        generality: The share of paraphrases answered correctly on the trained prompt.
        locality: The share of the neighbours answered by the base that still are.
        nll: Mean negative log-likelihood of the target on the trained prompt, nats per token.
    """

    fact_id: str
    right: bool
    few_shot: bool
    generality: float | None
    locality: float | None
    nll: float

    @classmethod
    def of(cls, fact: Fact, before: Response, after: Response) -> FactAnswers:
        """Compare what a model answered with what the base did."""
        pairs = zip(before.neighbours, after.neighbours, strict=True)
        kept = [float(now) for was, now in pairs if was]
        return cls(
            fact_id=fact.id,
            right=fact.accepts(after.trained),
            few_shot=fact.accepts(after.few_shot),
            generality=fmean(map(float, after.paraphrases)) if after.paraphrases else None,
            locality=fmean(kept) if kept else None,
            nll=after.nll,
        )


@dataclass(frozen=True)
class _Asked(Contexts):
    """The two contexts that are measured: asking in the others would take as long again."""

    @property
    def available(self) -> tuple[Context, ...]:
        """The trained prompt, and demonstrations before the question."""
        return (self.asked, Context.FEW_SHOT)


@dataclass(frozen=True)
class Learner:
    """A borrowed base with its adapter.

    Attributes:
        cell: Model, recipe and prompt.
        facts: All facts that are asked.
        signals: What the base knows of them.
        attached: The model with its adapter, and the plan of a training of the first facts.
    """

    cell: PlannedCell
    facts: tuple[Fact, ...]
    signals: BaseSignals
    attached: Attached

    @property
    def model(self) -> nn.Module:
        """The model with its adapter, in evaluation mode."""
        return self.attached.model

    @property
    def contexts(self) -> Contexts:
        """How questions are put."""
        return self.signals.contexts

    def plan(self, facts: Sequence[Fact], **changes: Any) -> TrainingPlan:
        """Return the plan of a training of some facts, each with weight 1.

        Args:
            facts: The facts.
            changes: Fields of the plan that are not those of the cell.
        """
        contexts = [self.contexts.examples(one, facts) for one in self.contexts.trained]
        weights = torch.ones(len(facts), dtype=torch.float64)
        return replace(self.attached.plan, contexts=contexts, weights=weights, **changes)

    def updates(self, plan: TrainingPlan) -> Updates:
        """Return an optimizer that several trainings can share."""
        return Updates([p for p in self.model.parameters() if p.requires_grad], plan)

    def train(
        self, plan: TrainingPlan, on_step: OnStep, updates: Updates | None = None, *, done: int = 0
    ) -> TrainingLog:
        """Train from where the last training ended; see `bench.training.loop.train`.

        Args:
            plan: Data and schedule.
            on_step: Called after each step with the number of steps done and the last loss.
            updates: The optimizer to go on with; None starts afresh.
            done: Steps of earlier trainings, which are counted too.
        """

        def counted(step: int, loss: float) -> None:
            on_step(done + step, loss)

        return train(self.model, self.attached.adapter, plan, counted, updates=updates)

    def ask(self) -> Responses:
        """Ask the model everything that is measured about the facts."""
        asked = _Asked(self.contexts.tokenizer, self.contexts.demonstrations)
        return respond(self.model, asked, self.facts, self.signals.before)

    def answers(self) -> list[FactAnswers]:
        """Ask the model, and compare its answers with the base's, `[facts]`."""
        asked = zip(self.facts, self.signals.before.per_fact(), self.ask().per_fact(), strict=True)
        return [FactAnswers.of(*each) for each in asked]


def learner(
    cell: PlannedCell,
    spec: CellSpec,
    first: tuple[Fact, ...],
    facts: tuple[Fact, ...],
    base: Base,
    bench: CellContext,
) -> Learner:
    """Attach a recipe's adapter to a borrowed base, and seed what training draws.

    Args:
        cell: Model, recipe, prompt and calibration facts.
        spec: Seed, schedule and names.
        first: The facts that the recipe sees when it starts.
        facts: All facts that are asked.
        base: The resident base.
        bench: What trainings share.

    Raises:
        UsageError: The recipe does not fit the model or the facts, an answer cannot come back, or
            the adapter counts the steps of the whole training, of which there are several.
    """
    prompt = cell.data.prompt
    signals = BaseSignals(base, facts, prompt, bench.cache)
    seen = signals if first == facts else BaseSignals(base, first, prompt, bench.cache)
    refuse_unanswerable(base, facts, signals.contexts, bench.cache)
    attached = attach(base, seen, cell.recipe, spec, cell.calibration, replay=cell.replay)
    tuner = getattr(attached.model, "base_model", None)
    if hasattr(tuner, "update_and_allocate"):
        raise UsageError(
            f"{cell.recipe.name} reallocates its ranks by the step of one training, of which "
            "there are several here"
        )
    torch.manual_seed(spec.seed)  # as before `attach`, see bench.cell.attach
    return Learner(cell, facts, signals, attached)


def refuse_changed(trained: Learner, bench: CellContext) -> None:
    """Check that training left the base alone, else load it anew for the next training.

    Raises:
        UsageError: It did not.
    """
    if changed := trained.attached.loan.changed():
        bench.drop_base()  # some of them may be the base's own
        raise UsageError(
            f"training changed {changed[0]}, which requires no gradients: the adapter must leave "
            "the frozen weights alone, or copy what it writes to"
        )


def drift_items(trained: Learner, bench: CellContext) -> list[float]:
    """Return the mean KL to the base on each of the base's own texts, nats per token.

    Raises:
        NotFiniteError: The trained model has diverged.
    """
    [drift] = bench.suite(trained.cell).measure(trained.model)
    if not all(map(math.isfinite, drift.tuned_items)):
        raise NotFiniteError("the trained model's predictions are not finite")
    return drift.tuned_items
