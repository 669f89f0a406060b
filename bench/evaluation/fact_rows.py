"""Everything a cell measured of each fact, before and after training, as one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bench.evaluation.metrics import MeasuredFact, fact_columns, mean_or_none
from bench.evaluation.responses import Responses
from bench.evaluation.signals import BaseSignals
from bench.store.records import FactRow
from tasks.scoring import token_f1


def fact_rows(
    signals: BaseSignals,
    after: Responses,
    kept: Tensor,
    weights: Tensor,
    accuracies: Sequence[Sequence[float]],
) -> list[FactRow]:
    """Put what was measured before and after training side by side, one row per fact.

    Args:
        signals: All selected facts, including those that a filter dropped, and what the base
            knows about them.
        after: What the trained model answered, in the order of the facts.
        kept: Which facts were trained, bool `[facts]`.
        weights: Weight of each fact in the loss, `[facts]`.
        accuracies: Learning curve of each kept fact, in their order, `[kept][epochs]`.
    """
    trained = kept.nonzero().flatten().tolist()
    curves = dict(zip(trained, accuracies, strict=True))
    measured = zip(
        signals.facts,
        signals.before.per_fact(),
        after.per_fact(),
        signals.knowledge,
        weights.tolist(),
        kept.tolist(),
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
