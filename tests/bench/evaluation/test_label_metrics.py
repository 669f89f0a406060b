"""Measures of classification are scikit-learn's, and what one finds by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from bench.evaluation.label_metrics import (
    auprc,
    auroc,
    balanced_accuracy,
    label_scores,
    macro_f1,
    predicted,
)


@pytest.fixture
def graded():
    random = np.random.default_rng(0)
    right = [*range(3), *random.choice(3, size=57, p=[0.7, 0.2, 0.1])]
    raw = random.normal(size=(60, 3)).round(1)  # rounded, so that there are ties
    raw[np.arange(60), right] += 0.8
    return [label_scores(row) for row in raw], [int(label) for label in right]


def _mann_whitney(positive, negative):
    wins = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    return sum(wins) / len(wins)


def test_auroc_is_scikit_learns_and_that_of_counted_pairs(graded):
    scores, right = graded
    by_hand = []
    for label in range(3):
        own = [row[label] for row, true in zip(scores, right, strict=True) if true == label]
        other = [row[label] for row, true in zip(scores, right, strict=True) if true != label]
        by_hand.append(_mann_whitney(own, other))
    assert auroc(scores, right) == pytest.approx(sum(by_hand) / 3, abs=1e-12)
    theirs = roc_auc_score(right, scores, multi_class="ovr", average="macro")
    assert auroc(scores, right) == pytest.approx(theirs, abs=1e-12)


def test_two_labels_have_the_usual_area_of_one_against_the_other():
    scores, right = [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], [0, 1, 0, 1]
    # Of the 4 pairs of a text of label 1 and one of label 0, 3 are in the right order.
    assert auroc(scores, right) == pytest.approx(0.75)
    # Label 1: precision 1 at half the texts, 2/3 at all. Label 0: 1 at half, 2/3 at all.
    assert auprc(scores, right) == pytest.approx((1 + 2 / 3) / 2)


def test_other_measures_are_scikit_learns(graded):
    scores, right = graded
    truth = np.eye(3)[right]
    precision = np.mean(
        [average_precision_score(truth[:, k], np.array(scores)[:, k]) for k in range(3)]
    )
    assert auprc(scores, right) == pytest.approx(precision)
    guesses = [predicted(row) for row in scores]
    assert balanced_accuracy(scores, right) == pytest.approx(
        balanced_accuracy_score(right, guesses)
    )


def test_f1_by_hand_with_a_label_that_is_never_predicted():
    scores = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]
    right = [0, 0, 1, 2]
    # Label 0: precision 2/3, recall 1, so 0.8. Label 1: 1. Label 2: never found, so 0.
    assert macro_f1(scores, right) == pytest.approx((0.8 + 1 + 0) / 3)
    assert balanced_accuracy(scores, right) == pytest.approx(2 / 3)


def test_a_label_without_texts_leaves_nothing_to_measure():
    for measure in (auroc, auprc, macro_f1, balanced_accuracy):
        assert measure([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1]], [0, 1]) is None
        assert measure([[0.6, 0.4]], [0]) is None
        assert measure([], []) is None


def test_scores_are_probabilities_however_unlikely_the_labels():
    scores = label_scores([-5000.0, -5000.0 - math.log(3)])
    assert scores == pytest.approx([0.75, 0.25])
    assert predicted(scores) == 0
