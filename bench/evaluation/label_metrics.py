"""How well texts were classified, computed over the scores that a model gave to all labels.

Unlike `Metric`, none of these is a mean over facts: each needs all texts of a cell at once. Each is
scikit-learn's, which the tests compare it with, for many weightings of the texts in one pass: an
interval needs the value without each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LabelMeasure = Callable[[Floats, NDArray[np.intp], Floats], Floats]
"""Computes a value `[...]` from scores `[texts, labels]`, the places of the right labels `[texts]`
and weights `[..., texts]`, which are 0 for texts that do not count; NaN where there is no value."""


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


@dataclass(frozen=True)
class Classified:
    """Texts with the scores of their labels.

    Attributes:
        scores: Of each label, `[texts, labels]`.
        right: The place of the right label, `[texts]`.
        subjects: What each text is about, `[texts]`: texts about one subject count as one item.
    """

    scores: Floats
    right: NDArray[np.intp]
    subjects: NDArray[np.intp]

    def value(self, measure: LabelMeasure) -> float | None:
        """Return a measure of all texts; None if a label has no text, or all of them."""
        if not len(self.scores):
            return None
        found = float(measure(self.scores, self.right, np.ones(len(self.right))))
        return found if np.isfinite(found) else None

    def per_subject(self, measure: LabelMeasure) -> Floats:
        """Return jackknife values of a measure, `[subjects]`; their mean is its value.

        With n subjects, v the value and v(s) that without subject s, they are
        v + (n - 1) (mean of v(.) - v(s)). A mean over facts would be taken apart into what each of
        them adds; of a measure that is no mean these tell what each subject adds, so that all
        that is computed over facts, such as intervals and paired differences, can be over them
        (Tukey 1958; of an area under the ROC curve they are those of DeLong et al. 1988).

        None, as an empty array, where without some subject there is no value: one subject's texts
        are all that a label has.
        """
        subjects = int(self.subjects.max()) + 1 if len(self.subjects) else 0
        weights = np.not_equal.outer(np.arange(subjects), self.subjects).astype(np.float64)
        whole = self.value(measure)
        if subjects < 2 or whole is None:
            return np.empty(0)
        without = measure(self.scores, self.right, weights)
        if not np.isfinite(without).all():
            return np.empty(0)
        return np.asarray(whole + (subjects - 1) * (without.mean() - without))


def auroc(scores: Floats, right: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the area under the ROC curve, each label against all others, averaged over labels.

    For the arguments see `LabelMeasure`, here and below.
    """
    return _one_against_rest(_roc_area, scores, right, weights)


def auprc(scores: Floats, right: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the average precision, each label against all others, averaged over labels."""
    return _one_against_rest(_average_precision, scores, right, weights)


def macro_f1(scores: Floats, right: NDArray[np.intp], weights: Floats) -> Floats:
    """Return F1 of the likeliest label, averaged over labels; 0 for one that is never found."""
    hits, said, there = _counts(scores, right, weights)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there > 0, 2 * hits / (said + there), np.nan).mean(axis=-1))


def balanced_accuracy(scores: Floats, right: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the share of a label's texts that get it as the likeliest, averaged over labels."""
    hits, _, there = _counts(scores, right, weights)
    with np.errstate(invalid="ignore"):
        return np.asarray((hits / there).mean(axis=-1))


def _counts(
    scores: Floats, right: NDArray[np.intp], weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the weight, `[..., labels]`, of texts that rightly get a label, get it, have it."""
    every = np.arange(scores.shape[1])
    said, there = (
        np.equal.outer(labels, every).astype(np.float64) for labels in (predicted(scores), right)
    )
    return weights @ (said * there), weights @ said, weights @ there


def predicted(scores: Floats) -> NDArray[np.intp]:
    """Return the place of the label with the highest score, the first of equal ones, `[texts]`."""
    return np.asarray(scores).argmax(axis=-1)


Area = Callable[[Floats, Floats], Floats]
"""Computes an area `[...]` from the weights of the texts that have a label and of those that do
not, each `[..., thresholds]`, from the highest score to the lowest; equal scores are one."""


def _one_against_rest(
    area: Area, scores: Floats, right: NDArray[np.intp], weights: Floats
) -> Floats:
    areas = []
    for label, of_label in enumerate(scores.T):
        order = np.argsort(-of_label, kind="stable")
        ranked = of_label[order]
        starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        has = (right[order] == label).astype(np.float64)
        given = weights[..., order]
        positive, negative = (
            np.add.reduceat(given * which, starts, axis=-1) for which in (has, 1 - has)
        )
        areas.append(area(positive, negative))
    return np.asarray(np.mean(areas, axis=0))


def _roc_area(positive: Floats, negative: Floats) -> Floats:
    """Return the share of pairs in the right order, equal scores half: the area by trapezoids."""
    above = positive.cumsum(axis=-1) - positive / 2
    with np.errstate(invalid="ignore"):
        pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
        return np.asarray((negative * above).sum(axis=-1) / pairs)


def _average_precision(positive: Floats, negative: Floats) -> Floats:
    """Return the mean precision at the scores of texts with the label; NaN without any others."""
    found = positive.cumsum(axis=-1)
    taken = found + negative.cumsum(axis=-1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    with np.errstate(invalid="ignore"):
        share = (positive * precision).sum(axis=-1) / positive.sum(axis=-1)
    return np.asarray(np.where(negative.sum(axis=-1) > 0, share, np.nan))
