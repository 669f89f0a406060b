"""Metrics of classification, which are computed over all texts of a cell at once.

To add one, write its function, a `LabelMeasure`, and a line in `_TABLE`: it stands in records,
`leaderboard.csv`, tables, comparisons and the legend as a mean over facts does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench.evaluation.metrics import CsvGroup, Metric, register

if TYPE_CHECKING:  # `list` needs no numpy
    from bench.evaluation.label_metrics import Classified, Floats
    from bench.store.records import FactRow

BEFORE, AFTER = "label_scores_before", "label_scores"
"""The columns of fact rows with the scores of all labels, of the base and of the trained model."""

AUROC = "auroc"
"""The one that rows are ranked by and grid studies show."""

COLUMNS = ("fact_id", "subject", "target", "labels", BEFORE, AFTER)
"""The columns of fact rows that these metrics are computed from."""


@dataclass(frozen=True, slots=True)
class SetMetric(Metric):
    """A value of all texts of a classification at once; `compute` is a `LabelMeasure`.

    Attributes:
        column: The column of fact rows with the scores that it is computed from.
    """

    column: str = AFTER

    is_mean: ClassVar[bool] = False

    def mean(self, rows: Iterable[FactRow]) -> float | None:
        """Return its value over all rows with scores; None where a label has no text."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for row in rows:
            for name, values in columns.items():
                values.append(getattr(row, name))
        return classified(columns, self.column).value(self.compute)

    def per_subject(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        """Return what each subject adds, see `Classified.per_subject`."""
        return classified(columns, self.column).per_subject(self.compute)


def base_of(name: str) -> str:
    """Return the name of the metric that is the same of the base."""
    return f"{name}_before"


def classified(columns: Mapping[str, Sequence[Any]], scores: str) -> Classified:
    """Return the texts of fact rows that have scores.

    Args:
        columns: Values of `COLUMNS`, in the order of the rows.
        scores: The column with the scores.
    """
    import numpy as np

    from bench.evaluation.label_metrics import Classified

    there = [place for place, given in enumerate(columns[scores]) if given is not None]
    rows = [{name: values[place] for name, values in columns.items()} for place in there]
    about = [row["subject"] or row["fact_id"] for row in rows]
    return Classified(
        scores=np.array([row[scores] for row in rows], dtype=np.float64),
        right=np.array([[*row["labels"]].index(row["target"]) for row in rows], dtype=np.intp),
        subjects=np.unique(np.array(about, dtype=object), return_inverse=True)[1],
    )


def _of(name: str) -> Any:
    """Return a measure by name; it is imported when it is first needed."""

    def compute(*given: Any) -> Floats:
        from bench.evaluation import label_metrics

        measure: Any = getattr(label_metrics, name)
        found: Floats = measure(*given)
        return found

    compute.__name__ = name
    return compute


_AVERAGED = "averaged over labels, so that rare ones count as much as frequent ones"
_EACH = "each label against all others"
_TABLE = (
    (AUROC, "AUROC", f"area under the ROC curve of the labels' scores, {_EACH}, {_AVERAGED}"),
    ("auprc", "AUPRC", f"average precision of the labels' scores, {_EACH}, {_AVERAGED}"),
    (
        "macro_f1",
        "F1",
        f"harmonic mean of precision and recall of the likeliest label, {_AVERAGED}",
    ),
    (
        "balanced_accuracy",
        "balanced accuracy",
        f"texts of a label that get it as the likeliest one, {_AVERAGED}",
    ),
)

for _name, _header, _explanation in _TABLE:
    register(
        SetMetric(
            _name,
            _of(_name),
            _explanation,
            _header,
            CsvGroup.LEADING,
            studies=_name == AUROC,
        )
    )
    register(
        SetMetric(
            base_of(_name),
            _of(_name),
            f"{_name} of the base",
            csv=CsvGroup.PLAIN,
            column=BEFORE,
        )
    )
