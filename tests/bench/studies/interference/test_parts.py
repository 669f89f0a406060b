"""The groups of the interference study, and its states in a plane."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.metrics import metric_table
from bench.studies.interference.compare import principal_plane, shrink, strayed
from bench.studies.interference.plan import Group, Regime, divide, groups_of, updates
from bench.studies.interference.store import ASKED, FactOutcome, Said, is_confused
from bench.studies.interference.training import exposures, first_right_for_good
from tasks.context import Context
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


def outcome(*state, plain=("a", 0.0), few_shot=("a", 0.0)):
    """A fact with target a: its state, and its answers with their distances."""
    said = [
        Said(answer, answer == "a", None, distance, 0.0) for answer, distance in (plain, few_shot)
    ]
    return FactOutcome("f", "a", *said, 3, 1, np.array(state, np.float32))


def test_shrink_is_missing_where_the_fact_alone_did_not_move():
    assert shrink(outcome(0, 0), outcome(0, 4), outcome(3, 0)) == 0.75
    assert math.isnan(shrink(outcome(1, 1), outcome(1, 1), outcome(3, 0)))


@pytest.mark.parametrize(
    ("answer", "correct", "others", "expected"),
    [
        ("Lima", False, {"lima", "quito"}, True),
        ("The Lima.", False, {"lima"}, True),
        ("Oslo", False, {"lima"}, False),
        ("", False, {"lima"}, False),
        ("Lima", True, {"lima"}, None),
        ("Lima", False, set(), None),
    ],
)
def test_a_wrong_answer_is_confused_if_it_is_the_target_of_another_fact(
    answer, correct, others, expected
):
    assert is_confused(answer, others, correct=correct) is expected


def test_the_others_of_a_fact_are_the_rest_of_its_group():
    facts = (*POOL[:3], Fact("twin", "Question 0 again?", ("A0",)))
    group = Group(facts, facts[:1])
    assert group.others("f1") == {"a0", "a2"}
    assert group.others("f0") == {"a0", "a1", "a2"}, "another fact may have the same target"
    assert Group(facts[:1], facts[:1]).others("f0") == frozenset()


@pytest.mark.parametrize(("far", "expected"), [(0.5009, 0.0), (0.5011, 1.0), (0.2, 0.0)])
def test_a_fact_strays_if_its_answer_is_farther_than_before_in_the_same_context(far, expected):
    before = outcome(0, plain=("x", 0.5), few_shot=("x", 0.5))
    for context in ASKED:
        after = outcome(0, **{context.value: ("y", far)})
        assert strayed(before, after, context) == expected
        [other] = [one for one in ASKED if one is not context]
        assert strayed(before, after, other) == 0.0, "at its target there"


def test_an_empty_answer_of_the_base_on_the_plain_prompt_is_no_place_to_stray_from():
    before = outcome(0, plain=("", 1.0), few_shot=("", 1.0))
    after = outcome(0, plain=("y", 1.2), few_shot=("y", 1.2))
    assert strayed(before, after, Context.PLAIN) is None
    assert strayed(before, after, Context.FEW_SHOT) == 1.0


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=8))
def test_epochs_to_learn_are_those_after_which_a_fact_stays_right(curve):
    found, last = first_right_for_good(curve), exposures(curve)
    right_from = [e for e in range(last + 1) if all(accuracy == 1 for accuracy in curve[e:])]
    assert found == min(right_from, default=last + 1)
    measured = SimpleNamespace(curve=tuple(curve))
    assert metric_table()["epochs_to_learn"].compute(measured) == found, "as in a cell"


def test_a_fact_that_was_not_trained_has_no_epochs_to_learn():
    assert (first_right_for_good(()), exposures(())) == (None, 0)
