"""The one table of metrics: what is computed of every fact, averaged, compared and shown.

A metric is a function of one measured fact, and a `Metric` that describes its mean. Stored
records and fact rows, `leaderboard.csv`, the tables that people read, the comparisons with the
reference and the legend all follow this table. To add a metric, write its function and a line in
`_TABLE`, or a file of its own in this folder that calls `register`:

    def brief(measured: MeasuredFact) -> bool:
        return len(measured.after.trained.split()) <= 3

    register(Metric("brief", brief, "answers of at most three words", header="brief"))

Installed packages name such a module, or a `Metric`, under the entry-point group
`semantic_peft_bench.metrics`. What is no mean over facts, such as the area under a curve, is a
`SetMetric` of `bench.evaluation.metrics.labels`.
Cells that were measured before a metric existed stay valid; they have no value for it.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from bench.evaluation.metrics import _per_fact as of
from bench.evaluation.metrics._per_fact import mean_or_none as mean_or_none
from bench.evaluation.metrics._reserved import refusal
from bench.failures import first_line
from bench.store.knowledge import KnowledgeCategory
from tasks.context import Context
from tasks.errors import UsageError
from tasks.fact import ConsequenceKind, Fact

if TYPE_CHECKING:  # The report reads this table without torch, and `list` without pydantic.
    from bench.evaluation.embedding_space import AnswerSpace
    from bench.evaluation.responses import Response
    from bench.store.records import FactRow, Metrics

ENTRY_POINTS = "semantic_peft_bench.metrics"


@dataclass(frozen=True, slots=True)
class MeasuredFact:
    """Everything that a cell measured of one fact.

    Attributes:
        fact: The fact, with its accepted and old answers, paraphrases and neighbours.
        before, after: What the pristine base and the trained model say about it.
        knowledge: What the base knew of it.
        space: Measures semantic distances between answers.
        weight: How strongly it was learned.
        kept: Whether it was learned at all.
        curve: Teacher-forced token accuracy on the trained prompt before training and after each
            epoch, empty for a fact that a filter dropped.
        targets: The targets of all trained facts, in normal form.
    """

    fact: Fact
    before: Response
    after: Response
    knowledge: KnowledgeCategory
    space: AnswerSpace
    weight: float
    kept: bool
    curve: tuple[float, ...]
    targets: frozenset[str] = frozenset()


PerFact = Callable[[MeasuredFact], float | None]
"""Computes a value of a fact, a bool included; None where there is nothing to measure."""


class CsvGroup(IntEnum):
    """Where a metric and its difference from the reference stand in `leaderboard.csv`."""

    LEADING = 0
    """Among the first columns, its interval behind all of them."""
    PLAIN = 1
    """Among further metrics, without an interval."""
    WITH_INTERVAL = 2
    """Among further metrics, its interval behind all of them."""


_ALL = tuple(KnowledgeCategory)
_SHARE = (0.0, 1.0)
_NON_NEGATIVE = (0.0, math.inf)


@dataclass(frozen=True, slots=True)
class Metric:
    """A mean over facts.

    Attributes:
        name: The name in records and in `leaderboard.csv`.
        compute: Computes what is averaged, a `PerFact`; the column of fact rows has this
            function's name.
        explanation: What is averaged, for the legend: no capital, no full stop.
        header: Heads its column in the tables that people read, without "(%)" for a share; a
            metric without a header stands in `leaderboard.csv` only.
        csv: Its place in `leaderboard.csv`.
        over: Which facts count, by what the base knew of them; a fact without a value never does.
        bounds: The least and the greatest value; a metric from 0 to 1 is a share, in percent.
        more_is_better: Whether a higher value is better.
        compared: Whether rows are tested against the reference in it, paired by seed and fact; a
            metric without a header never is.
        studies: Whether the tables of grid studies show it too.
    """

    name: str
    compute: Callable[..., Any]
    explanation: str
    header: str = ""
    csv: CsvGroup = CsvGroup.WITH_INTERVAL
    over: tuple[KnowledgeCategory, ...] = _ALL
    bounds: tuple[float, float] = _SHARE
    more_is_better: bool = True
    compared: bool = True
    studies: bool = False

    is_mean: ClassVar[bool] = True
    """Whether it is a mean over facts, each of which has a value in a column of its own."""

    @property
    def column(self) -> str:
        """The column of fact rows."""
        return self.compute.__name__

    @property
    def is_share(self) -> bool:
        """Whether it is shown in percent."""
        return self.bounds == _SHARE

    @property
    def heading(self) -> str:
        """The header with its unit."""
        return f"{self.header} (%)" if self.is_share else self.header

    @property
    def arrow(self) -> str:
        """Its direction, as tables show it."""
        return "↑" if self.more_is_better else "↓"

    @property
    def sentence(self) -> str:
        """What the legend says of it; empty where no table shows it."""
        return f"{self.header}: {self.explanation}." if self.header else ""

    def mean(self, rows: Iterable[FactRow]) -> float | None:
        """Average the facts that count; None where none does, never 0 or 1."""
        return mean_or_none(
            getattr(row, self.column, None) for row in rows if row.knowledge in self.over
        )


def register(metric: Metric) -> None:
    """Add a metric to the table.

    Raises:
        UsageError: Its name, its column or its header is taken or means something else, or its
            function has no name.
    """
    column = getattr(metric.compute, "__name__", "<unnamed>")
    who = f"metric '{metric.name}', computed by '{column}'"
    for name in (metric.name, column):
        if why := refusal(name):
            raise UsageError(f"{who}: '{name}' {why}; rename it")
    for other in _METRICS.values():
        shares_column = metric.is_mean and other.is_mean and other.column == column
        taken = other.name == metric.name or shares_column
        headed = other.name != metric.name and metric.header and other.header == metric.header
        if headed or (taken and other.compute is not metric.compute):
            raise UsageError(
                f"{who}, with the header '{metric.header}': metric '{other.name}' of "
                f"{other.compute.__module__} has this name, function or header; rename one"
            )
    _METRICS[metric.name] = metric


def metric_table() -> dict[str, Metric]:
    """Return all metrics by name, those of this file first."""
    _discover()
    return dict(_METRICS)


def fact_columns() -> dict[str, PerFact]:
    """Return what is computed of every fact, by the column of fact rows that holds it."""
    return {m.column: m.compute for m in metric_table().values() if m.is_mean}


def compared_metrics() -> list[str]:
    """Return the names of the metrics that rows are compared in, in the order of the .csv."""
    found = sorted(metric_table().values(), key=lambda metric: metric.csv)
    return [metric.name for metric in found if metric.header and metric.compared]


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(__path__):
        path = getattr(module.module_finder, "path", "")
        with _loading(f"the metric file {path}/{module.name}.py"):
            importlib.import_module(f"{__name__}.{module.name}")
    for entry in entry_points(group=ENTRY_POINTS):
        with _loading(f"metric '{entry.name}' of an installed package ({entry.value})"):
            found = entry.load()
            if isinstance(found, Metric):
                register(found)


@contextmanager
def _loading(what: str) -> Iterator[None]:
    """Turn whatever is raised while loading metrics into one line that says where they are."""
    try:
        yield
    except Exception as error:
        why = str(error) if isinstance(error, UsageError) else first_line(error)
        raise UsageError(f"{what} cannot be loaded: {why}; repair or remove it") from error


def summarise(rows: Sequence[FactRow]) -> Metrics:
    """Return every metric of fact rows: None where nothing counts.

    What is computed over all texts of a classification is left out where rows are of facts.
    """
    from bench.store.records import Metrics

    labelled = any(row.labels for row in rows)
    wanted = {n: m for n, m in metric_table().items() if m.is_mean or labelled}
    return Metrics.model_validate({name: metric.mean(rows) for name, metric in wanted.items()})


_UNSURE, _NEVER = (KnowledgeCategory.MAYBE,), (KnowledgeCategory.UNKNOWN,)
_UNKNOWN = (*_UNSURE, *_NEVER)
_LEADING, _PLAIN = CsvGroup.LEADING, CsvGroup.PLAIN
_ANSWERED = "facts learned: answered correctly on the trained prompt after training"
_EPOCHS = (
    "the number of epochs until all tokens of the answer were right on the trained prompt and "
    "stayed right; a fact that was never learned counts as one epoch more than all"
)
_HALF = "facts learned within half of the epochs"
_STILL = "untrained questions answered correctly before training that still are"
_OLD = "facts with an outdated answer"
_NLL = "negative log-likelihood of the targets on the trained prompt, in nats per token"
_FAR = "semantic distance from the answers to the targets"
_SEEN_AS = {
    Context.PLAIN: "as a plain question",
    Context.FEW_SHOT: "after four demonstrations",
    Context.CHAT: "in the model's chat template",
    Context.BARE: "as the question alone",
}


def _robustness(context: Context) -> Metric:
    return Metric(
        f"robustness.{context}",
        of.correct_in(context),
        f"facts carried over: answered correctly {_SEEN_AS[context]}, unlike in training",
        f"robustness, {context.replace('_', '-')}",
        _LEADING,
        studies=context is Context.FEW_SHOT,
    )


def _contained(context: Context) -> Metric:
    return Metric(
        f"contained.{context}",
        of.contained_in(context),
        f"facts whose answer {_SEEN_AS[context]} contains the right one, in a sentence or alone",
    )


def _confusion(context: Context) -> Metric:
    return Metric(
        f"confusion.{context}",
        of.confused_in(context),
        f"wrong answers {_SEEN_AS[context]} that are the target of another trained fact",
        f"confusion, {context.replace('_', '-')}",
        more_is_better=False,
        compared=False,
    )


_FOLLOWS = {
    ConsequenceKind.MULTI_HOP: "questions that combine a fact with others",
    ConsequenceKind.ALIAS: "facts asked under another name of their subject",
    ConsequenceKind.INVERSE: "facts asked backwards, for the subject",
    ConsequenceKind.LOGICAL: "what else must be true if a fact is",
}


def _portability(kind: ConsequenceKind) -> Metric:
    return Metric(
        f"portability.{kind}",
        of.portability_of(kind),
        f"consequences carried over: {_FOLLOWS[kind]}, answered correctly on the trained prompt",
        f"portability, {kind.replace('_', '-')}",
        _LEADING,
    )


_TABLE = (
    Metric("reliability", of.correct_after, _ANSWERED, "reliability", _LEADING, studies=True),
    Metric(
        "reliability_unknown",
        of.correct_after,
        f"{_ANSWERED}, among those that the base did not answer",
        csv=_LEADING,
        over=_UNKNOWN,
    ),
    Metric(
        "reliability_maybe", of.correct_after, f"{_ANSWERED}, among the maybe known", over=_UNSURE
    ),
    Metric("reliability_never", of.correct_after, f"{_ANSWERED}, among the unknown", over=_NEVER),
    Metric("reliability_before", of.correct_before, "facts that the base answered", csv=_PLAIN),
    Metric(
        "epochs_to_learn_unknown",
        of.epochs_to_learn,
        f"{_EPOCHS}; averaged over the facts that the base did not answer",
        "epochs to learn, unknown facts",
        _LEADING,
        _UNKNOWN,
        _NON_NEGATIVE,
        more_is_better=False,
        studies=True,
    ),
    Metric(
        "epochs_to_learn",
        of.epochs_to_learn,
        _EPOCHS,
        bounds=_NON_NEGATIVE,
        more_is_better=False,
    ),
    Metric("learned_half", of.learned_half, _HALF),
    Metric("learned_half_unknown", of.learned_half, f"{_HALF}, among the unknown", over=_UNKNOWN),
    *map(_robustness, Context),
    Metric("token_f1", of.f1_after, "words that answers share with the targets", csv=_PLAIN),
    Metric(
        "updated", of.updated, f"{_OLD} that now get the new answer and not the old one", "updated"
    ),
    Metric(
        "still_old", of.old_after, f"{_OLD} that still get it", "still old", more_is_better=False
    ),
    Metric("old_before", of.old_before, f"{_OLD} that the base gave"),
    Metric("prefers_new", of.prefers_new_after, f"{_OLD} whose new answer is now the likelier one"),
    Metric(
        "generality",
        of.generality,
        "paraphrases carried over: other wordings answered correctly on the trained prompt",
        "generality",
        _LEADING,
        studies=True,
    ),
    Metric(
        "portability",
        of.portability,
        "consequences carried over: untrained questions whose answers follow from what was "
        "learned, answered correctly on the trained prompt in any of their wordings; multi-hop "
        "questions combine a fact with others, an alias is another name of the subject, inverse "
        "questions ask for the subject, and logical ones for what else must be true",
        "portability",
        _LEADING,
    ),
    *map(_portability, ConsequenceKind),
    Metric(
        "all_hops",
        of.all_hops,
        "multi-hop questions of which every single question was answered correctly on the trained "
        "prompt, whether or not they were themselves",
        "all hops",
    ),
    Metric(
        "portability_before",
        of.portability_before,
        "consequences that the base already answered on that prompt",
        csv=_PLAIN,
    ),
    *map(_confusion, Context),
    *map(_contained, Context),
    Metric("locality", of.locality, _STILL, "locality", _LEADING),
    Metric("nll_before", of.nll_before, _NLL, csv=_PLAIN, bounds=_NON_NEGATIVE),
    Metric("nll_after", of.nll_after, f"{_NLL}, after training", csv=_PLAIN, bounds=_NON_NEGATIVE),
    Metric("distance_before", of.distance_before, _FAR, csv=_PLAIN, bounds=_NON_NEGATIVE),
    Metric(
        "distance_few_shot",
        of.distance_few_shot,
        f"{_FAR} after training, with demonstrations",
        csv=_PLAIN,
        bounds=_NON_NEGATIVE,
    ),
    Metric(
        "distance_after",
        of.distance_after,
        f"{_FAR} after training, on the trained prompt",
        csv=_PLAIN,
        bounds=_NON_NEGATIVE,
    ),
)
"""In the order of the tables that people read; `leaderboard.csv` has group after group."""

_METRICS: dict[str, Metric] = {}
for _metric in _TABLE:
    register(_metric)
