"""The division of a train part into a tuning and a reporting set."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base import TASKS, DataAccess
from tasks.division import FactSet, divide_facts, fact_set_of
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.selection import select_facts

COUNTRIES = TASKS["countries"]()


def subjects(facts):
    return {fact.subject or fact.id for fact in facts}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.text(max_size=3)), unique=True, max_size=60))
def test_no_subject_is_in_both_sets_and_no_fact_is_lost(drawn):
    facts = [Fact(f"{n}{x}", "?", ("a",), subject=f"subject {n}") for n, x in drawn]
    try:
        tuning, reporting = divide_facts(COUNTRIES, facts)
    except UsageError:
        assert len({fact_set_of(COUNTRIES, fact) for fact in facts}) < 2
        return
    assert not subjects(tuning) & subjects(reporting)
    assert [f for f in facts if fact_set_of(COUNTRIES, f) is FactSet.TUNING] == tuning
    assert sorted(f.id for f in (*tuning, *reporting)) == sorted(f.id for f in facts)


def test_the_division_is_fixed_and_about_even():
    facts = select_facts(COUNTRIES, COUNTRIES.load(DataAccess()), FactPart.TRAIN, None)
    tuning, reporting = divide_facts(COUNTRIES, facts)
    assert divide_facts(COUNTRIES, facts) == (tuning, reporting)
    assert 0.4 < len(subjects(tuning)) / len(subjects(facts)) < 0.6
    fewer = divide_facts(COUNTRIES, facts[::3])
    assert set(fewer[0]) < set(tuning), "other facts decide nothing"
    assert all(fact.paraphrases for fact in tuning), "they stay with their fact"


def test_too_few_subjects_are_one_line():
    facts = [Fact(f"f{n}", f"{n}?", ("a",), subject="one") for n in range(9)]
    with pytest.raises(UsageError, match="1 subject is too few") as told:
        divide_facts(COUNTRIES, facts)
    assert "\n" not in str(told.value)
