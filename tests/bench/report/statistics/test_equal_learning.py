"""Cost at equal learning: by hand on a small path, and what has no value or no interval."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.statistics.comparison import Verdict, corrected
from bench.report.statistics.equal_learning import (
    BLOCKS,
    FEWEST_FACTS,
    LearningPath,
    as_ratio,
    at_equal_learning,
    blocks,
    compare_at_equal_learning,
    cost_at_share,
)
from bench.report.statistics.intervals import Crossed, IntervalKind, half_widths

EPOCHS = np.arange(5.0)
FIRST_BLOCKS = [13, 1, 10, 7, 6, 14, 12, 4]


def path(epochs_to_learn, costs, checkpoints=EPOCHS, **changes):
    learned = np.atleast_2d(np.asarray(epochs_to_learn, dtype=float))
    costs = np.atleast_2d(np.asarray(costs, dtype=float))
    return LearningPath(
        tuple(range(len(learned))), learned, np.asarray(checkpoints), costs, **changes
    )


def drawn(seed, seeds=3, facts=64, pace=1.0, rate=0.1, **changes):
    rng = np.random.default_rng(seed)
    spread = rng.normal(pace, 0.3, (1, facts)) + rng.normal(0, 0.2, (seeds, facts))
    learned = np.minimum(np.ceil(np.exp(spread)), 9)
    drift = rate * np.arange(9.0) ** 1.5 * np.exp(rng.normal(0, 0.1, (seeds, 1)))
    return path(learned, drift, np.arange(9.0), **changes)


def test_the_share_and_the_cost_are_linear_between_epochs():
    # Shares learned are 0, 0.2, 0.6, 1: half are learned three quarters of the way from 1 to 2.
    learned = [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    found = at_equal_learning(path(learned, [0, 1, 3, 7, 9]), 0.5)
    assert found.value == pytest.approx(1 + 0.75 * 2)
    assert at_equal_learning(path(learned, [0, 1, 3, 7, 9]), 0.6).value == pytest.approx(3)
    assert at_equal_learning(path(learned, [0, 1, 3, 7, 9]), 0.1).value == pytest.approx(0.5)
    assert (found.interval, found.items) == (None, 10)


def test_checkpoints_need_not_be_every_epoch_and_training_starts_at_no_cost():
    learned = [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert at_equal_learning(path(learned, [4, 8], [2, 4]), 0.5).value == pytest.approx(3.5)
    with_start = at_equal_learning(path(learned, [0, 4, 8], [0, 2, 4]), 0.5)
    assert with_start.value == pytest.approx(3.5)


def test_seeds_are_averaged_geometrically_for_a_ratio_and_plainly_for_points():
    learned = [[2] * 5, [2] * 5]
    costs = [[0, 0, 1, 1, 1], [0, 0, 4, 4, 4]]
    assert at_equal_learning(path(learned, costs), 0.99).value == pytest.approx(1.98)
    points = path(learned, costs, as_ratio=False)
    assert at_equal_learning(points, 0.99).value == pytest.approx(0.99 * 2.5)


@pytest.mark.parametrize(
    "learned",
    [
        [[1] * 10, [1] * 4 + [5] * 6],  # one seed never gets there
        [[1] * 10, [0] * 5 + [1] * 5],  # one seed starts there
        [[1] * 4, [1] * 4],  # too few facts
    ],
)
def test_a_share_that_some_seed_does_not_pass_has_no_value(learned):
    drift = [[0, 1, 2, 3, 4]] * 2
    late, fine = path(learned, drift), path([[1] * len(learned[0])] * 2, drift)
    assert at_equal_learning(late, 0.5) is None
    assert compare_at_equal_learning(fine, late, 0.5) is None
    assert compare_at_equal_learning(late, fine, 0.5) is None


def test_facts_that_were_learned_after_the_last_checkpoint_are_not_learned():
    learned = [1] * 6 + [4] * 4
    assert at_equal_learning(path(learned, [0, 1, 2], [0, 1, 2]), 0.9) is None


def test_pseudo_values_are_those_of_a_plain_jackknife():
    one = drawn(1)
    found = cost_at_share(one, 0.9)
    assert found.without.shape == (3, BLOCKS)
    for block in range(BLOCKS):
        rest = path(one.epochs_to_learn[:, blocks(64) != block], one.costs, one.checkpoints)
        assert found.without[:, block] == pytest.approx(cost_at_share(rest, 0.9).whole)
    pseudo = BLOCKS * found.whole[:, None] - (BLOCKS - 1) * found.without
    interval = at_equal_learning(one, 0.9).interval
    half = float(Crossed.of(pseudo).half_width())
    middle = found.whole.mean()
    assert (interval.low, interval.high) == pytest.approx(
        tuple(np.exp([middle - half, middle + half]))
    )
    assert interval.kind is IntervalKind.SEEDS_AND_FACTS


def test_two_methods_are_compared_by_their_ratio_in_the_seeds_that_both_have():
    one, other = drawn(1, seeds=4), drawn(2, seeds=3, rate=0.3)
    found = compare_at_equal_learning(one, other, 0.5)
    own = [at_equal_learning(each.of((0, 1, 2)), 0.5).value for each in (one, other)]
    ratio = as_ratio(found.difference)
    assert found.seeds == (0, 1, 2)
    assert ratio.value == pytest.approx(own[0] / own[1])
    assert ratio.interval.low < ratio.value < ratio.interval.high < 1
    (after,) = corrected([found])
    assert after.verdict is Verdict.BETTER, "less drift is better"


def test_p_reaches_the_level_where_the_interval_reaches_one():
    for rate in (0.1, 0.103, 0.11, 0.13):
        found = compare_at_equal_learning(drawn(1), drawn(5, rate=rate), 0.5)
        low, high = found.difference.interval.low, found.difference.interval.high
        assert (found.p < 0.05) == (not low <= 0 <= high)


def test_forgetting_is_compared_in_points_and_may_be_none():
    one, other = drawn(1, as_ratio=False), drawn(1, rate=0.0, as_ratio=False)
    found = compare_at_equal_learning(one, other, 0.5)
    assert found.difference.value == pytest.approx(at_equal_learning(one, 0.5).value)
    assert at_equal_learning(other, 0.5).value == 0.0
    assert at_equal_learning(drawn(1, rate=0.0), 0.5) is None, "no drift has no logarithm"


def test_one_seed_has_an_interval_over_blocks_of_facts_and_one_and_two_have_no_p():
    for seeds, kind in ((1, IntervalKind.FACTS), (2, IntervalKind.TWO_SEEDS)):
        found = compare_at_equal_learning(drawn(1, seeds), drawn(2, seeds), 0.5)
        assert found.p is None
        assert found.verdict is Verdict.UNTESTED
        assert found.difference.interval.kind is kind
    one = cost_at_share(drawn(1, 1), 0.5)
    interval = at_equal_learning(drawn(1, 1), 0.5).interval
    width = np.log(interval.high) - np.log(interval.low)
    assert width == pytest.approx(2 * float(half_widths(one.pseudo_values)))


def test_few_facts_have_a_value_and_no_interval():
    for facts, there in ((FEWEST_FACTS - 1, False), (FEWEST_FACTS, True)):
        found = at_equal_learning(drawn(3, facts=facts), 0.5)
        assert (found.interval is not None) == there


def test_a_share_that_hangs_on_one_block_has_a_value_and_no_interval():
    # 45 of 50 are learned: without a block that holds only learned facts it is less than 90%.
    learned = np.array([1.0] * 45 + [9.0] * 5)
    found = at_equal_learning(path([learned] * 3, [[0, 1, 2, 3, 4]] * 3), 0.9)
    assert found.value == pytest.approx(1.0)
    assert found.interval is None


def test_blocks_are_fixed_even_and_do_not_follow_the_order_of_the_facts():
    sizes = np.bincount(blocks(100), minlength=BLOCKS)
    assert sizes.max() - sizes.min() <= 1
    assert blocks(32).tolist() != [place % BLOCKS for place in range(32)]
    assert blocks(32)[:8].tolist() == FIRST_BLOCKS, "another rule would move stored intervals"


def test_other_facts_cannot_be_compared():
    with pytest.raises(ValueError, match="same facts"):
        compare_at_equal_learning(drawn(1), drawn(1, facts=65), 0.5)
    with pytest.raises(ValueError, match="same facts"):
        compare_at_equal_learning(drawn(1), drawn(1, as_ratio=False), 0.5)
