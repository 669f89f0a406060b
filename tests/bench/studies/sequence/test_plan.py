"""Which sequences the study plans, and what identifies them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.progress.base import Silent
from bench.studies.sequence.plan import divide, plan_study
from bench.studies.sequence.run import run_sequence
from tasks.errors import UsageError
from tasks.fact import Fact

POOL = tuple(Fact(f"f{i}", f"Question {i}?", (f"a{i}",)) for i in range(60))


@given(st.integers(2, 60), st.integers(2, 20))
def test_parts_hold_every_fact_once_and_are_of_similar_size(count, parts):
    parts = min(parts, count)
    found = divide(POOL[:count], parts)
    assert sorted(fact.id for part in found for fact in part) == sorted(
        fact.id for fact in POOL[:count]
    )
    sizes = [len(part) for part in found]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1
    assert found == divide(POOL[:count][::-1], parts), "whatever the order of the rows"


def test_the_parts_are_the_same_for_every_method_and_seed(sequence):
    plan = plan_study(sequence())
    assert len(plan.sequences) == 4
    assert len({planned.parts for planned in plan.sequences}) == 1
    assert (plan.methods, plan.seeds) == (("lora[r=4]", "full"), (0, 1))


def test_identity_changes_with_what_matters(sequence):
    def digests(**changes):
        return {planned.spec.digest for planned in plan_study(sequence(**changes)).sequences}

    plain = digests()
    assert len(plain) == 4
    for changes in ({"lr": 1e-3}, {"epochs": 3}, {"parts": 5}, {"limit": 6}, {"batch_size": 2}):
        assert digests(**changes).isdisjoint(plain), changes
    assert digests(methods="full", seeds="1") < plain


def test_what_cannot_be_studied_is_refused_before_a_model_loads(sequence, monkeypatch):
    monkeypatch.setattr("bench.studies.trainings.CellContext", None)
    with pytest.raises(UsageError, match="give at most 10 parts, or more facts with --limit"):
        run_sequence(sequence(parts=11), Silent())
    with pytest.raises(UsageError, match=r"--methods 'lora\+reweight'.*; write lora$"):
        sequence(methods="lora+reweight").named()
    with pytest.raises(ValidationError):
        sequence(parts=1)
