"""The groups of the interference study, and its states in a plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.interference.compare import principal_plane, shrink
from bench.studies.interference.plan import Regime, divide, groups_of, updates
from bench.studies.interference.store import FactOutcome
from tasks.errors import UsageError
from tasks.fact import Fact

POOL = tuple(Fact(f"f{i}", f"Question {i}?", (f"a{i}",)) for i in range(40))


@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 40), st.integers(0, 3))
def test_each_measured_fact_is_in_one_group_of_the_size(count, more, size, seed):
    size = min(size, count + more)
    measured, others = POOL[:count], POOL[count : count + more]
    groups = groups_of(size, measured, others, seed)
    counted = [fact for group in groups for fact in group.measured]
    assert sorted(fact.id for fact in counted) == sorted(fact.id for fact in measured)
    assert len(groups) == math.ceil(count / size)
    for group in groups:
        assert len({fact.id for fact in group.facts}) == len(group.facts) == size
        assert group.facts[: len(group.measured)] == group.measured
    assert all(len(group.measured) == size for group in groups[:-1]), "only the last is filled up"
    filled = groups[-1].facts[len(groups[-1].measured) :]
    assert filled[:more] == others[: len(filled)], "other facts first"
    assert groups == groups_of(size, measured, others, seed)


def test_seeds_change_the_company():
    companies = {groups_of(5, POOL[:20], POOL[20:], seed) for seed in range(4)}
    assert len(companies) == 4


@pytest.mark.parametrize(
    ("size", "exposures", "equal"), [(1, 3, 3), (4, 3, 3), (5, 6, 3), (50, 39, 3)]
)
def test_updates_of_a_group(size, exposures, equal):
    assert updates(size, 4, 3, Regime.EXPOSURES) == exposures
    assert updates(size, 4, 3, Regime.UPDATES) == equal


def test_as_many_facts_are_measured_as_there_are():
    assert divide(POOL[:7], 20, 7, "t") == 7
    with pytest.raises(UsageError) as caught:
        divide(POOL[:7], 2, 8, "t")
    assert str(caught.value) == ("--sizes 8: task 't' has 7 facts to train; give sizes up to 7")


def test_the_principal_plane_keeps_distances_within_a_plane():
    drawn = np.random.default_rng(0)
    corners = drawn.normal(size=(12, 2)) @ drawn.normal(size=(2, 7)) + 3
    sets = [corners[:4], corners[4:9], corners[9:]]
    projected, explained = principal_plane([part.astype(np.float32) for part in sets])
    assert [len(part) for part in projected] == [4, 5, 3]
    flat = np.concatenate(projected)
    before = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(flat[:, None] - flat[None], axis=-1), before, 1e-5)
    assert sum(explained) == pytest.approx(1)
    assert explained[0] > explained[1]
    mirrored, _ = principal_plane([part[::-1].astype(np.float32) for part in sets])
    np.testing.assert_allclose(mirrored[0], projected[0][::-1], atol=1e-5)


def test_states_that_are_all_equal_have_no_variance():
    projected, explained = principal_plane([np.ones((2, 5), np.float32)] * 3)
    assert explained == (0.0, 0.0)
    assert not np.concatenate(projected).any()


def test_shrink_is_missing_where_the_fact_alone_did_not_move():
    def outcome(*state):
        return FactOutcome("f", "a", "a", True, 0.0, 0.0, np.array(state, np.float32))

    assert shrink(outcome(0, 0), outcome(0, 4), outcome(3, 0)) == 0.75
    assert math.isnan(shrink(outcome(1, 1), outcome(1, 1), outcome(3, 0)))
