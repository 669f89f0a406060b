"""What a cell measured of each fact, before and after, side by side."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from bench.evaluation.metrics import MeasuredFact, fact_columns, mean_or_none
from bench.evaluation.responses import Responses
from bench.evaluation.signals import BaseSignals
from bench.store.records import FactRow
from tasks.scoring import token_f1


# Protocols, since the cell and training stand above and beside this package and are not imported.
class Weighting(Protocol):
    """What a recipe decided of the facts, see `bench.cell.decisions.Decisions`."""

    @property
    def kept(self) -> Tensor:
        """The facts that were trained, bool `[facts]`."""

    @property
    def weights(self) -> Tensor:
        """Weight of each fact in the loss, `[facts]`."""


class LearningCurves(Protocol):
    """What training left behind of the kept facts, see `bench.training.loop.TrainingLog`."""

    accuracies: list[list[float]]


def fact_rows(
    signals: BaseSignals, after: Responses, weighting: Weighting, log: LearningCurves
) -> list[FactRow]:
    """Put what was measured before and after side by side, one row per fact.

    Args:
        signals: All selected facts, also those that a filter dropped, and what the base knows.
        after: What the trained model said, in the order of the facts.
        weighting: Which facts were kept, and how strongly each was learned.
        log: The learning curves of the kept facts, in their order.
    """
    kept = weighting.kept.tolist()
    trained = [index for index, keep in enumerate(kept) if keep]
    curves = dict(zip(trained, log.accuracies, strict=True))
    measured = zip(
        signals.facts,
        signals.before.per_fact(),
        after.per_fact(),
        signals.knowledge,
        weighting.weights.tolist(),
        kept,
        [tuple(curves.get(index, ())) for index in range(len(kept))],
        strict=True,
    )
    return [
        _row(MeasuredFact(fact, first, last, known, signals.space, weight, keep, curve))
        for fact, first, last, known, weight, keep, curve in measured
    ]


def _row(measured: MeasuredFact) -> FactRow:
    fact, before, after = measured.fact, measured.before, measured.after
    metrics: dict[str, Any] = {name: compute(measured) for name, compute in fact_columns().items()}
    return FactRow(
        fact_id=fact.id,
        question=fact.question,
        target=fact.target,
        answers=list(fact.answers),
        relation=fact.relation,
        subject=fact.subject,
        answer_before=before.answer,
        answer_after=after.answer,
        knowledge=measured.knowledge,
        f1_before=token_f1(before.answer, fact.answers),
        movement=measured.space.movement(before.answer, after.answer),
        generality_before=mean_or_none(before.paraphrases),
        empty_before=not before.answer,
        empty_after=not after.answer,
        weight=measured.weight,
        kept=measured.kept,
        curve=list(measured.curve),
        old_answers=list(fact.old_answers),
        old_nll_before=before.old_nll,
        old_nll_after=after.old_nll,
        **metrics,
    )
