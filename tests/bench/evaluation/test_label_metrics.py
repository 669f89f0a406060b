"""Measures of classification are scikit-learn's, and what one finds by hand."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)

from bench.evaluation.label_metrics import (
    Classified,
    auprc,
    auroc,
    balanced_accuracy,
    label_scores,
    macro_f1,
    predicted,
)

SHARES = {2: [0.7, 0.3], 3: [0.7, 0.2, 0.1], 5: [0.4, 0.3, 0.1, 0.1, 0.1]}


def graded(labels, texts=60, seed=0):
    """Texts of all labels, some with equal scores, two or three about one subject."""
    random = np.random.default_rng(seed)
    right = np.array([*range(labels)] * 3)
    right = np.append(right, random.choice(labels, size=texts - len(right), p=SHARES[labels]))
    raw = random.normal(size=(texts, labels)).round(1)  # rounded, so that there are ties
    raw[np.arange(texts), right] += 0.8
    scores = np.array([label_scores(row) for row in raw])
    return Classified(scores, right, np.arange(texts) * 2 // 5)


def theirs(measure, given, weights):
    """What scikit-learn computes of the texts with a weight."""
    scores, right, weights = (x[weights > 0] for x in (given.scores, given.right, weights))
    truth = np.eye(scores.shape[1])[right]
    every = range(scores.shape[1])
    if measure is auroc:
        return roc_auc_score(truth, scores, average="macro", sample_weight=weights)
    if measure is auprc:
        return average_precision_score(truth, scores, average="macro", sample_weight=weights)
    guesses = predicted(scores)
    if measure is macro_f1:
        score = partial(f1_score, labels=list(every), average="macro", zero_division=0)
        return score(right, guesses, sample_weight=weights)
    return balanced_accuracy_score(right, guesses, sample_weight=weights)


MEASURES = (auroc, auprc, macro_f1, balanced_accuracy)


@pytest.mark.parametrize("labels", SHARES)
@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_is_scikit_learns_with_any_weights(measure, labels):
    given = graded(labels)
    even = np.ones(60)
    assert given.value(measure) == pytest.approx(theirs(measure, given, even), abs=1e-12)
    drawn = np.random.default_rng(1).integers(0, 3, size=(20, 60)).astype(float)
    found = measure(given.scores, given.right, drawn)
    wanted = [theirs(measure, given, weights) for weights in drawn]
    assert found == pytest.approx(wanted, abs=1e-12)


def _mann_whitney(positive, negative):
    wins = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    return sum(wins) / len(wins)


def test_auroc_is_that_of_counted_pairs():
    given = graded(3)
    by_hand = []
    for label in range(3):
        own, other = given.right == label, given.right != label
        pairs = (given.scores[chosen, label] for chosen in (own, other))
        by_hand.append(_mann_whitney(*pairs))
    assert given.value(auroc) == pytest.approx(sum(by_hand) / 3, abs=1e-12)


def given_by_hand(scores, right):
    return Classified(np.array(scores), np.array(right), np.arange(len(right)))


def test_two_labels_have_the_usual_area_of_one_against_the_other():
    given = given_by_hand([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], [0, 1, 0, 1])
    # Of the 4 pairs of a text of label 1 and one of label 0, 3 are in the right order.
    assert given.value(auroc) == pytest.approx(0.75)
    # Label 1: precision 1 at half the texts, 2/3 at all. Label 0: 1 at half, 2/3 at all.
    assert given.value(auprc) == pytest.approx((1 + 2 / 3) / 2)


def test_f1_by_hand_with_a_label_that_is_never_predicted():
    scores = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]
    given = given_by_hand(scores, [0, 0, 1, 2])
    # Label 0: precision 2/3, recall 1, so 0.8. Label 1: 1. Label 2: never found, so 0.
    assert given.value(macro_f1) == pytest.approx((0.8 + 1 + 0) / 3)
    assert given.value(balanced_accuracy) == pytest.approx(2 / 3)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_label_without_texts_leaves_nothing_to_measure(measure):
    for given in (
        given_by_hand([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1]], [0, 1]),
        given_by_hand(np.empty((0, 0)), []),
    ):
        assert given.value(measure) is None
        assert len(given.per_subject(measure)) == 0


@pytest.mark.parametrize("labels", SHARES)
@pytest.mark.parametrize("measure", MEASURES)
def test_what_each_subject_adds_is_the_jackknife_of_scikit_learns_values(measure, labels):
    given = graded(labels)
    whole, found = theirs(measure, given, np.ones(60)), given.per_subject(measure)
    without = np.array(
        [theirs(measure, given, (given.subjects != s).astype(float)) for s in range(24)]
    )
    assert found == pytest.approx(whole + 23 * (without.mean() - without), abs=1e-9)
    assert found.mean() == pytest.approx(whole, abs=1e-12)


def test_of_a_plain_share_each_text_adds_its_own_value():
    def accuracy(scores, right, weights):
        return weights @ (predicted(scores) == right) / weights.sum(axis=-1)

    given = graded(3)
    alone = Classified(given.scores, given.right, np.arange(60))
    hits = (predicted(given.scores) == given.right).astype(float)
    assert alone.per_subject(accuracy) == pytest.approx(hits, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_texts_about_one_subject_count_once(measure):
    given = graded(3)
    once = Classified(given.scores, given.right, np.arange(60))
    twice = Classified(*(np.repeat(x, 2, axis=0) for x in (once.scores, once.right, once.subjects)))
    assert twice.per_subject(measure) == pytest.approx(once.per_subject(measure), abs=1e-12)


def test_a_label_of_one_subject_alone_has_a_value_and_no_spread():
    given = graded(3)
    subjects = np.where(given.right == 2, 0, 1 + given.subjects)
    alone = Classified(given.scores, given.right, np.unique(subjects, return_inverse=True)[1])
    assert alone.value(auroc) == given.value(auroc)
    assert len(alone.per_subject(auroc)) == 0


def test_scores_are_probabilities_however_unlikely_the_labels():
    scores = label_scores([-5000.0, -5000.0 - math.log(3)])
    assert scores == pytest.approx([0.75, 0.25])
    assert predicted(np.array(scores)) == 0
