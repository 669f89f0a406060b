"""Fact rows whose stored answers are judged anew.

What follows from answers is computed by the functions that a cell uses, on what is stored of each
answer. Of paraphrases, neighbours and consequences only the verdict is stored, so another rule
leaves them without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from bench.evaluation.metrics import MeasuredFact, PerFact, fact_columns, metric_table
from bench.interchange.scorings import AS_STORED, Judge, Scoring, judges
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import FactRow, Metrics
from tasks.context import Context
from tasks.fact import Fact
from tasks.scoring import exact_match, normalise

_JUDGED = (
    *("correct_before", "correct_after", "f1_after"),
    *(f"{kind}.{c}" for kind in ("correct", "contained", "confusion") for c in Context),
)
_OF_UPDATES = ("old_before", "old_after", "updated")
_SEEN = "learned_half epochs_to_learn nll_before nll_after prefers_new_after distance_before"
_UNTOUCHED = (*_SEEN.split(), "distance_few_shot", "distance_after")
"""Columns that are no matter of what counts as right."""

VERDICTS = ("correct_after", *(f"correct.{context}" for context in Context))
"""Whether the trained model's answers are right: on the trained prompt, and in other contexts."""


@dataclass(frozen=True, slots=True)
class _Judged(Fact):
    """A fact whose answers are judged by a rule."""

    judge: Judge = field(default=exact_match)

    def accepts(self, answer: str) -> bool:
        """Return what the rule says of an answer to its question."""
        return self.judge(answer, self.answers)


@dataclass(frozen=True, slots=True)
class _Said:
    """What is stored of a `Response`."""

    asked: Context
    answers: Mapping[Context, str]

    @property
    def trained(self) -> str:
        return self.answers[self.asked]

    @property
    def few_shot(self) -> str:
        return self.answers[Context.FEW_SHOT]


class UnknownRuleError(Exception):
    """No rule that is known gives a cell's stored verdicts."""


def rescored_rows(
    rows: Sequence[Mapping[str, Any]], asked: Context, scoring: Scoring
) -> list[FactRow]:
    """Judge the answers of a cell's rows anew.

    Args:
        rows: The values of fact rows by column, as stored.
        asked: The context of the trained prompt.
        scoring: The rule.

    Raises:
        UnknownRuleError: The task's own rule is wanted, and cannot be told from what is stored.
        UsageError: A user's rule fails.
    """
    judge = scoring.judge or _own_rule(rows, asked)
    targets = frozenset(normalise(row["target"]) for row in rows if row["kept"])
    lost = {} if scoring.judge is None else dict.fromkeys(lost_columns())
    found = []
    for row in rows:
        values = {**row, **lost, **_judged(row, asked, judge, targets)}
        if scoring.judge is not None and row["old_answers"]:
            values |= _of_update(row, judge, values["correct_after"])
        found.append(FactRow.model_validate(values))
    return found


def lost_columns() -> list[str]:
    """Return the columns of which no answer is stored, those of plug-ins among them."""
    known = (*_JUDGED, *_OF_UPDATES, *_UNTOUCHED)
    return [name for name in fact_columns() if name not in known]


def rescored_metrics(stored: Metrics, rows: Iterable[FactRow]) -> Metrics:
    """Return a cell's metrics over rows that were judged anew.

    Args:
        stored: Its metrics; what it lacks stays absent, and what is no mean over facts as it is.
        rows: Its new rows.
    """
    given = list(rows)
    values: dict[str, float | None] = stored.model_dump()
    for name, metric in metric_table().items():
        if name in values and metric.is_mean and metric.column not in _UNTOUCHED:
            values[name] = metric.mean(given)
    return Metrics.model_validate(values)


def _judged(
    row: Mapping[str, Any], asked: Context, judge: Judge, targets: frozenset[str]
) -> dict[str, Any]:
    """Return the columns that follow from a row's answers."""
    measured = _measured(row, asked, judge, targets)
    columns: dict[str, PerFact] = fact_columns()
    names = [*_JUDGED, *(_OF_UPDATES if row["old_answers"] else ())]
    # Older cells lack what was not measured then; it stays absent, as it does in their metrics.
    return {name: columns[name](measured) for name in names if name in row}


def _of_update(row: Mapping[str, Any], judge: Judge, right: bool) -> dict[str, bool]:
    """Return what another rule says of old answers, which are otherwise judged as a whole."""
    old = row["old_answers"]
    before, after = judge(row["answer_before"], old), judge(row["answer_after"], old)
    return {"old_before": before, "old_after": after, "updated": right and not after}


def _measured(
    row: Mapping[str, Any], asked: Context, judge: Judge, targets: frozenset[str]
) -> MeasuredFact:
    answers = {
        Context.PLAIN: row["answer_plain"],
        Context.FEW_SHOT: row["answer_few_shot"],
        Context.CHAT: row["answer_chat"],
        Context.BARE: row["answer_bare"],
        asked: row["answer_after"],
    }
    before = {asked: row["answer_before_trained"], Context.FEW_SHOT: row["answer_before"]}
    told = {context: answer for context, answer in answers.items() if answer is not None}
    fact = _Judged(
        id=row["fact_id"],
        question=row["question"],
        answers=tuple(row["answers"]),
        old_answers=tuple(row["old_answers"]),
        judge=judge,
    )
    return MeasuredFact(
        fact=fact,
        before=cast("Any", _Said(asked, before)),
        after=cast("Any", _Said(asked, told)),
        knowledge=KnowledgeCategory(row["knowledge"]),
        space=cast("Any", None),  # distances are no matter of what counts as right
        weight=row["weight"],
        kept=row["kept"],
        curve=tuple(row["curve"]),
        targets=targets,
    )


def _own_rule(rows: Sequence[Mapping[str, Any]], asked: Context) -> Judge:
    """Return the task's own rule: the one that gives all stored verdicts.

    Rows do not name the extractor of a task with worked steps, but they tell it.

    Raises:
        UnknownRuleError: No known rule does.
    """
    known = judges()
    names = ["exact", *(name for name in known if name not in ("exact", "contains", "first-line"))]
    for name in names:
        if all(_agrees(row, asked, known[name]) for row in rows):
            return known[name]
    raise UnknownRuleError(
        f"its stored verdicts follow from none of the rules {', '.join(names)}, so that "
        f"'{AS_STORED}' cannot be told; name a scoring"
    )


def _agrees(row: Mapping[str, Any], asked: Context, judge: Judge) -> bool:
    columns, measured = fact_columns(), _measured(row, asked, judge, frozenset())
    names = ("correct_before", *VERDICTS)
    stored = {name: row[name] for name in names if row.get(name) is not None}
    return all(columns[name](measured) == verdict for name, verdict in stored.items())
