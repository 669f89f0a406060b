"""How well texts were classified, computed over the scores that a model gave to all labels.

Unlike `Metric`, none of these is a mean over facts: each needs all rows of a cell at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.store.records import FactRow


def label_scores(log_likelihoods: Sequence[float]) -> list[float]:
    """Return the probability of each label among all: the softmax of their log-likelihoods.

    Args:
        log_likelihoods: Of each label as a continuation, `[labels]`, in nats: the sum over its
            tokens and its stop, not their mean. The sum is the probability of saying just this
            label, so longer labels need no correction.
    """
    values = np.asarray(log_likelihoods, dtype=float)
    powers = np.exp(values - values.max())
    return [float(share) for share in powers / powers.sum()]


def predicted(scores: Sequence[float]) -> int:
    """Return the index of the label with the highest score, the first of equal ones."""
    return int(np.argmax(scores))


def auroc(scores: Sequence[Sequence[float]], right: Sequence[int]) -> float | None:
    """Return the mean over labels of the area under the ROC curve, each against all others.

    Args:
        scores: Of each text and label, `[texts, labels]`.
        right: The index of the right label of each text, `[texts]`.

    Returns:
        The macro average by scikit-learn; None if a label has no text or all of them.
    """
    from sklearn.metrics import roc_auc_score

    if (truth := _one_against_rest(scores, right)) is None:
        return None
    return float(roc_auc_score(truth, np.asarray(scores, dtype=float), average="macro"))


def auprc(scores: Sequence[Sequence[float]], right: Sequence[int]) -> float | None:
    """Return the mean over labels of the average precision; for the arguments see `auroc`."""
    from sklearn.metrics import average_precision_score

    if (truth := _one_against_rest(scores, right)) is None:
        return None
    return float(average_precision_score(truth, np.asarray(scores, dtype=float), average="macro"))


def macro_f1(scores: Sequence[Sequence[float]], right: Sequence[int]) -> float | None:
    """Return the mean over labels of F1 of the predictions; for the arguments see `auroc`."""
    from sklearn.metrics import f1_score

    if _one_against_rest(scores, right) is None:
        return None
    labels = list(range(len(scores[0])))
    guesses = [predicted(row) for row in scores]
    return float(f1_score(right, guesses, labels=labels, average="macro", zero_division=0))


def balanced_accuracy(scores: Sequence[Sequence[float]], right: Sequence[int]) -> float | None:
    """Return the mean over labels of the share found; for the arguments see `auroc`."""
    from sklearn.metrics import recall_score

    if _one_against_rest(scores, right) is None:
        return None
    guesses = [predicted(row) for row in scores]
    return float(recall_score(right, guesses, labels=list(range(len(scores[0]))), average="macro"))


def measured_labels(rows: Sequence[FactRow]) -> dict[str, float | None]:
    """Return each measure by name, of the base with `_before`; none unless rows have scores."""
    scored = [row for row in rows if row.labels and row.label_scores and row.label_scores_before]
    right = [(row.labels or []).index(row.target) for row in scored]
    moments = {
        "_before": [row.label_scores_before or [] for row in scored],
        "": [row.label_scores or [] for row in scored],
    }
    return {
        f"{name}{moment}": measure(scores, right)
        for name, measure in _MEASURES.items()
        for moment, scores in moments.items()
        if scored
    }


def _one_against_rest(
    scores: Sequence[Sequence[float]], right: Sequence[int]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]] | None:
    """Return whether each text has each label, or None if a label has no text or all."""
    if not scores:
        return None
    truth = (np.asarray(right)[:, None] == np.arange(len(scores[0]))).astype(np.int64)
    counts = truth.sum(axis=0)
    return truth if bool(((counts > 0) & (counts < len(truth))).all()) else None


_MEASURES = {
    "auroc": auroc,
    "auprc": auprc,
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
}
