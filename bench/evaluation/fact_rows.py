"""Everything a cell measured of each fact, before and after training, as one row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from bench import failures
from bench.evaluation.consequences import of_trained
from bench.evaluation.metrics import MeasuredFact, Metric, metric_table
from bench.evaluation.responses import Response, Responses
from bench.evaluation.signals import BaseSignals
from bench.store.records import FactRow
from tasks.context import Context
from tasks.fact import Fact
from tasks.scoring import normalise, token_f1

ROUNDING = 1e-6
"""How far a value may lie outside a metric's bounds: float32 likelihoods and cosines do, barely."""


def fact_rows(
    signals: BaseSignals,
    after: Responses,
    kept: Tensor,
    weights: Tensor,
    accuracies: Sequence[Sequence[float]],
    *,
    held_out: bool = False,
) -> tuple[list[FactRow], list[str]]:
    """Put what was measured before and after training side by side, one row per fact.

    Returns the rows, and warnings: one if consequences do not count because a fact that they need
    was not trained, and one for each metric that could not be computed for some facts; those facts
    have no value for it.

    Args:
        signals: All selected facts, including those that a filter dropped, and what the base
            knows about them.
        after: What the trained model answered, in the order of the facts.
        kept: Which facts were trained, bool `[facts]`.
        weights: Weight of each fact in the loss, `[facts]`.
        accuracies: Learning curve of each kept fact, in their order, `[kept][epochs + 1]`.
        held_out: Whether the facts were not trained but followed: nothing is kept, and
            `accuracies` is of all facts.
    """
    trained = kept.nonzero().flatten().tolist()
    followed = range(len(signals.facts)) if held_out else trained
    curves = dict(zip(followed, accuracies, strict=True))
    # What a filter leaves out is not known when facts are asked; held-out facts know no filter.
    dropped = {f.id for f, keep in zip(signals.facts, kept.tolist(), strict=True) if not keep}
    left_out = set[str]() if held_out else dropped
    measured = zip(
        signals.facts,
        _without(signals.before, signals.facts, left_out),
        _without(after, signals.facts, left_out),
        signals.knowledge,
        weights.tolist(),
        kept.tolist(),
        [tuple(curves.get(index, ())) for index in range(len(kept))],
        strict=True,
    )
    targets = frozenset(normalise(signals.facts[index].target) for index in trained)
    space = signals.space.holding(_texts(signals, after))
    facts = [
        MeasuredFact(fact, first, last, known, space, weight, keep, curve, targets)
        for fact, first, last, known, weight, keep, curve in measured
    ]
    values: list[dict[str, Any]] = [{} for _ in facts]
    warnings = _not_counted(signals.facts, left_out)
    # Some metrics share a function: what it returns is judged by the first of them.
    means = [metric for metric in metric_table().values() if metric.is_mean]
    for metric in {m.column: m for m in reversed(means)}.values():
        wrong = []
        for fact, row in zip(facts, values, strict=True):
            row[metric.column], why = _value(metric, fact)
            wrong += [f"'{fact.fact.id}': {why}"] if why else []
        if wrong:
            count = f"{len(wrong)} fact{'s' if len(wrong) > 1 else ''}"
            said = f"metric '{metric.name}' gave no usable value for {count}, first {wrong[0]}"
            warnings.append(said)
    return [_row(fact, row) for fact, row in zip(facts, values, strict=True)], warnings


def _without(responses: Responses, facts: Sequence[Fact], left_out: set[str]) -> list[Response]:
    """Return responses per fact, without those to consequences that need what was left out."""
    found = responses.per_fact()
    counted = of_trained(facts, [one.consequences for one in found], left_out)
    return [one._replace(consequences=kept) for one, kept in zip(found, counted, strict=True)]


def _not_counted(facts: Sequence[Fact], left_out: set[str]) -> list[str]:
    """Say how many consequences need a fact that was left out, and do not count."""
    needing = sum(not left_out.isdisjoint(one.needs) for fact in facts for one in fact.consequences)
    if not needing:
        return []
    which = "1 consequence is" if needing == 1 else f"{needing} consequences are"
    what = "it needs" if needing == 1 else "they need"
    return [f"{which} not counted as portability: {what} facts that were filtered out"]


def _texts(signals: BaseSignals, after: Responses) -> Iterator[str]:
    """Yield the texts whose distances are measured."""
    for fact in signals.facts:
        yield from fact.answers
    for responses in (signals.before, after):
        for said in responses.answers.values():
            yield from said


def _value(metric: Metric, fact: MeasuredFact) -> tuple[float | None, str]:
    """Compute a metric of a fact; if it has no usable value, return None and the reason."""
    low, high = metric.bounds
    try:
        found: Any = metric.compute(fact)
        if hasattr(found, "item"):  # a number of numpy or torch
            found = found.item()
        if found is None:
            return None, ""
        number = isinstance(found, int | float) and math.isfinite(found)
        if number and low - ROUNDING <= found <= high + ROUNDING:
            return found, ""
        return None, f"{failures.shortened(found)} is not a number from {low:g} to {high:g}"
    except Exception as error:  # a metric that raises must not cost the cell
        if failures.is_out_of_memory(error) or failures.disk_is_full(error):
            raise
        return None, failures.first_line(error)


def _row(measured: MeasuredFact, metrics: dict[str, Any]) -> FactRow:
    fact, before, after = measured.fact, measured.before, measured.after
    untrained = before.trained
    return FactRow(
        fact_id=fact.id,
        question=fact.question,
        target=fact.target,
        answers=list(fact.answers),
        relation=fact.relation,
        subject=fact.subject,
        answer_before=before.few_shot,
        answer_before_trained=untrained,
        answer_after=after.trained,
        answer_few_shot=after.few_shot,
        answer_plain=after.answers[Context.PLAIN],
        answer_bare=after.answers.get(Context.BARE),
        answer_chat=after.answers.get(Context.CHAT),
        knowledge=measured.knowledge,
        f1_before=token_f1(before.few_shot, fact.answers),
        distance_before_trained=(
            measured.space.distance(untrained, fact.answers) if untrained else None
        ),
        movement=measured.space.movement(before.few_shot, after.few_shot),
        empty_before=not before.few_shot,
        empty_few_shot=not after.few_shot,
        empty_after=not after.trained,
        weight=measured.weight,
        kept=measured.kept,
        curve=list(measured.curve),
        old_answers=list(fact.old_answers),
        old_nll_before=before.old_nll,
        old_nll_after=after.old_nll,
        labels=list(fact.choices) if after.label_scores else None,
        label_scores_before=list(before.label_scores) or None,
        label_scores=list(after.label_scores) or None,
        **metrics,
    )
