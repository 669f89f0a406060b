"""What a cell measured of each fact, before and after, side by side; and their means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bench.evaluation.responses import Responses
from bench.store.records import FactRow, KnowledgeCategory, Metrics
from methods.semantics import answer_distance
from tasks.fact import Fact
from tasks.scoring import exact_match, token_f1

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


class AnswerSpace:
    """Distances between answers in the base's input-embedding space.

    Args:
        tokenizer: The base's.
        table: The base's input embeddings, `[vocabulary, dim]`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, table: Tensor) -> None:
        self._tokenizer = tokenizer
        self._table = table.detach()

    def distance(self, answer: str, targets: Iterable[str]) -> float:
        """Return the distance of an answer to the nearest target, in [0, 2]."""
        accepted = [self._tokens(target) for target in targets]
        return answer_distance(self._table, self._tokens(answer), accepted)

    def movement(self, before: str, after: str) -> float:
        """Return the distance between two answers; 0 when both are empty."""
        if before == after:
            return 0.0
        return self.distance(before, [after]) if after else self.distance(after, [before])

    def _tokens(self, text: str) -> list[int]:
        if not text:
            return []
        return self._tokenizer(f" {text}", add_special_tokens=False)["input_ids"]


def fact_rows(
    facts: Sequence[Fact],
    before: Responses,
    after: Responses,
    space: AnswerSpace,
    *,
    knowledge: Sequence[KnowledgeCategory],
    weights: Sequence[float],
    kept: Sequence[bool],
    curves: Sequence[Sequence[float]],
) -> list[FactRow]:
    """Put what was measured before and after side by side, one row per fact.

    Args:
        facts: All selected facts, also those that a filter dropped.
        before: What the pristine model said, in the order of `facts`.
        after: What the trained model said.
        space: Where answers are compared.
        knowledge: What the pristine model knew of each fact.
        weights: How strongly each fact was learned.
        kept: Whether it was learned at all.
        curves: Teacher-forced token accuracy per epoch, empty for dropped facts.
    """
    rows = []
    for i, fact in enumerate(facts):
        first, last = before.answers[i], after.answers[i]
        still = [
            now for was, now in zip(before.neighbours[i], after.neighbours[i], strict=True) if was
        ]
        rows.append(
            FactRow(
                fact_id=fact.id,
                question=fact.question,
                target=fact.target,
                answers=list(fact.answers),
                relation=fact.relation,
                subject=fact.subject,
                answer_before=first,
                answer_after=last,
                correct_before=exact_match(first, fact.answers),
                knowledge=knowledge[i],
                correct_after=exact_match(last, fact.answers),
                correct_plain=after.plain[i],
                f1_before=token_f1(first, fact.answers),
                f1_after=token_f1(last, fact.answers),
                distance_before=space.distance(first, fact.answers),
                distance_after=space.distance(last, fact.answers),
                movement=space.movement(first, last),
                nll_before=before.nll[i],
                nll_after=after.nll[i],
                generality_before=mean_or_none(before.paraphrases[i]),
                generality=mean_or_none(after.paraphrases[i]),
                locality=mean_or_none(still),
                empty_before=not first,
                empty_after=not last,
                weight=weights[i],
                kept=kept[i],
                curve=list(curves[i]),
                old_answers=list(fact.old_answers),
                **_update(fact, i, before, after),
            )
        )
    return rows


def _update(fact: Fact, index: int, before: Responses, after: Responses) -> dict[str, Any]:
    """Return the columns of a fact with an old answer, all None for any other fact."""
    old_before, old_after = before.old_nll[index], after.old_nll[index]
    if old_before is None or old_after is None:
        names = ("old_before", "old_after", "updated", "prefers_new_after")
        return dict.fromkeys((*names, "old_nll_before", "old_nll_after"))
    first, last = before.answers[index], after.answers[index]
    still_old = exact_match(last, fact.old_answers)
    return {
        "old_before": exact_match(first, fact.old_answers),
        "old_after": still_old,
        "updated": exact_match(last, fact.answers) and not still_old,
        "old_nll_before": old_before,
        "old_nll_after": old_after,
        "prefers_new_after": after.nll[index] < old_after,
    }


def summarise(rows: Sequence[FactRow]) -> Metrics:
    """Average the rows; a mean over nothing is None."""

    def reliability_of(knowledge: KnowledgeCategory) -> float | None:
        return mean_or_none(row.correct_after for row in rows if row.knowledge is knowledge)

    return Metrics(
        reliability=mean_or_none(row.correct_after for row in rows),
        reliability_unknown=mean_or_none(r.correct_after for r in rows if not r.correct_before),
        reliability_maybe=reliability_of(KnowledgeCategory.MAYBE),
        reliability_never=reliability_of(KnowledgeCategory.UNKNOWN),
        reliability_plain=mean_or_none(row.correct_plain for row in rows),
        reliability_before=mean_or_none(row.correct_before for row in rows),
        token_f1=mean_or_none(row.f1_after for row in rows),
        generality=mean_or_none(row.generality for row in rows),
        locality=mean_or_none(row.locality for row in rows),
        nll_before=mean_or_none(row.nll_before for row in rows),
        nll_after=mean_or_none(row.nll_after for row in rows),
        distance_before=mean_or_none(row.distance_before for row in rows),
        distance_after=mean_or_none(row.distance_after for row in rows),
        updated=mean_or_none(row.updated for row in rows),
        still_old=mean_or_none(row.old_after for row in rows),
        old_before=mean_or_none(row.old_before for row in rows),
        prefers_new=mean_or_none(row.prefers_new_after for row in rows),
    )


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, None when there are none."""
    present = [float(value) for value in values if value is not None]
    return fmean(present) if present else None
