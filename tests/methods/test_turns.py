"""What comes when is decided by the seed and the turn, and evenly."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from methods.parts import STRATEGIES
from methods.turns import in_turn, shuffled

SIZES = st.integers(1, 20)


@given(pool=SIZES, count=SIZES, turns=SIZES, seed=st.integers(0, 5))
def test_over_the_turns_each_comes_as_often_as_the_others(pool, count, turns, seed):
    taken = [index for turn in range(turns) for index in in_turn(pool, count, turn, seed)]
    assert len(taken) == turns * count
    often = Counter(taken)
    assert set(often) <= set(range(pool))
    assert max(often.values()) - min(often[index] for index in range(pool)) <= 1


@given(pool=SIZES, count=SIZES, turn=SIZES, seed=st.integers(0, 5))
def test_a_turn_is_a_function_of_its_arguments(pool, count, turn, seed):
    first = in_turn(pool, count, turn, seed)
    in_turn(pool, count, turn + 1, seed)
    assert in_turn(pool, count, turn, seed) == first


def test_seeds_and_turns_shuffle_anew():
    assert len({tuple(shuffled(9, seed, turn)) for seed in range(3) for turn in range(3)}) == 9


@given(share=st.floats(0.01, 0.99), facts=st.integers(1, 300))
def test_the_replayed_share_is_the_nearest_that_whole_rows_allow(share, facts):
    replayed = len(STRATEGIES["replay"](share=share).draw(facts, 1000, 0, 1))

    def off(count):
        return abs(count - share * (facts + count))

    assert off(replayed) <= min(off(replayed + 1), off(max(0, replayed - 1))) + 1e-9
