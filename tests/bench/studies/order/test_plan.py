"""Which trainings the study of order plans, and what identifies them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.progress.base import Silent
from bench.studies.order.plan import Budget, Order, groups_of, plan_study
from bench.studies.order.run import run_order
from tasks.errors import UsageError
from tasks.fact import Fact

POOL = tuple(Fact(f"f{i}", f"Question {i}?", (f"a{i}",)) for i in range(40))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_groups_are_of_one_size_without_a_fact_in_two(size, count, least, seed):
    size = min(size, count)
    groups = groups_of(size, POOL[:count], least, seed)
    ids = [fact.id for group in groups for fact in group]
    assert {len(group) for group in groups} == {size}
    assert len({*ids}) == len(ids)
    enough = size * math.ceil(least / size)
    assert len(ids) == enough or (len(ids) < enough and count - len(ids) < size)
    assert {*ids} == {fact.id for fact in POOL[: len(ids)]}, "the same facts with every seed"


def test_seeds_change_the_order():
    assert len({groups_of(20, POOL, 40, seed) for seed in range(4)}) == 4


def test_one_fact_is_alone_and_more_are_trained_in_every_order(order):
    plan = plan_study(order())
    assert len(plan.trainings) == 5 * len(Budget) + 3 * len(Budget)
    assert plan.trainings == [t for c in plan.conditions for t in c.trainings], "small ones first"
    for condition in plan.conditions:
        assert (condition.order is Order.ALONE) is (condition.size == 1)
        for training in condition.trainings:
            spec = training.spec
            assert spec.until_learned is (condition.budget is Budget.LEARNED)
            assert spec.cell.epochs == (30 if spec.until_learned else 3)
            assert spec.depth_first is (condition.order is Order.DEPTH)
            assert spec.cell.batch_size == (3 if condition.order is Order.BATCHES else 1)
            assert (spec.cell.schedule, spec.cell.warmup) == ("constant", 0.0)


def test_batches_of_one_are_no_batches(order):
    orders = {condition.order for condition in plan_study(order(batch_size=1)).conditions}
    assert orders == {Order.ALONE, Order.DEPTH, Order.BREADTH}


def test_identity_changes_with_what_matters(order):
    def digests(**changes):
        return {training.spec.digest for training in plan_study(order(**changes)).trainings}

    plain = digests()
    for changes in ({"lr": 1e-3}, {"seeds": "1"}, {"methods": "lora[r=8]"}):
        assert digests(**changes).isdisjoint(plain), changes
    assert len(digests(optimizer="kept") - plain) == 2, "one after another, in both budgets"
    assert len(digests(batch_size=2) - plain) == 2, "batches"
    assert len(digests(most=9) & plain) == len(plain) / 2, "equal exposures"
    assert digests(sizes="6") < plain
    assert len(digests(methods="lora[r=4],full", seeds="0,1")) == 4 * len(plain)


def test_what_cannot_be_studied_is_refused_before_a_model_loads(order, monkeypatch):
    monkeypatch.setattr("bench.studies.trainings.CellContext", None)
    with pytest.raises(UsageError, match="has 10 facts to train; give sizes up to 10"):
        run_order(order(sizes="1,11"), Silent())
    with pytest.raises(UsageError, match=r"--methods 'lora\+filter'.*; write lora$"):
        order(methods="lora+filter").named()
    assert order(methods="dora,lora+last[n=1]").named() == ("dora", "lora+last[n=1]")
    with pytest.raises(ValidationError):
        order(optimizer="new")
