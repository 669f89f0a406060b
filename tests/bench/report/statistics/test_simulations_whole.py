"""The whole simulations behind the statistics, about a minute and a half."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.bench.report.statistics.simulated import (
    answers,
    epochs,
    equal_learning_coverage,
    false_differences,
    false_ranks,
    score_coverage,
    wilson_coverage,
)

pytestmark = pytest.mark.slow

TRUE = (0.3, 0.5, 0.7, 0.9, 0.95, 0.97, 0.99)


def worst(found):
    """The lowest and the highest of what was found, each with its setting."""
    return min(found), max(found)


def test_score_ends_cover_92_to_99_percent_in_every_setting():
    rng = np.random.default_rng(1)
    alike = [
        (score_coverage(rng, 3000, *setting, fact_sd=0.0), setting)
        for setting in product((3, 5, 8), (64, 256, 512), TRUE, (0.0, 0.35, 0.7))
    ]
    differing = [
        (score_coverage(rng, 1500, *setting, fact_sd=1.5), setting)
        for setting in product((3, 5, 8), (64, 256), TRUE, (0.0, 0.7))
    ]
    low, high = worst([*alike, *differing])
    assert low[0] >= 0.92, low
    assert high[0] <= 0.997, high


def test_one_seed_covers_94_to_97_percent():
    low, high = worst([(wilson_coverage(*one), one) for one in product((64, 128, 256, 512), TRUE)])
    assert low[0] >= 0.94, low
    assert high[0] <= 0.975, high


def test_differences_and_epochs_are_false_in_at_most_six_percent():
    rng = np.random.default_rng(2)
    shares = [
        (
            false_differences(
                rng,
                3000,
                seeds,
                facts,
                answers,
                true=true,
                seed_sd=seed_sd,
                fact_sd=1.0,
                own_sd=own_sd,
            ),
            (seeds, facts, true, seed_sd, own_sd),
        )
        for seeds, facts, true, seed_sd, own_sd in product(
            (3, 5, 8), (64, 256), (0.6, 0.95), (0.0, 0.7), (0.0, 0.5)
        )
    ]
    learned = [
        (
            false_differences(rng, 3000, seeds, facts, epochs, seed_sd=seed_sd, own_sd=own_sd),
            (seeds, facts, seed_sd, own_sd),
        )
        for seeds, facts, seed_sd, own_sd in product((3, 5, 8), (64, 256), (0.0, 0.3), (0.0, 0.2))
    ]
    for found in (shares, learned):
        assert max(found)[0] <= 0.058, max(found)


def test_ranks_of_five_equal_methods_exclude_the_first_or_the_last_for_few():
    rng = np.random.default_rng(3)
    for seeds, true, seed_sd in product((3, 5, 8), (0.6, 0.95), (0.0, 0.7)):
        options = {"true": true, "seed_sd": seed_sd, "fact_sd": 1.0}
        found = false_ranks(rng, 700, 5, seeds, 64, answers, **options)
        assert max(found) <= 0.05, (seeds, true, seed_sd)


def test_equal_learning_covers_94_to_97_percent():
    rng = np.random.default_rng(4)
    found = [
        (equal_learning_coverage(rng, 1500, *setting), setting)
        for setting in product((3, 5), (64, 256), (0.5, 0.9), (0.0, 0.3))
    ]
    low, high = worst(found)
    assert low[0] >= 0.93, low
    assert high[0] <= 0.98, high
    assert 0.945 <= np.mean([share for share, _ in found]) <= 0.965
