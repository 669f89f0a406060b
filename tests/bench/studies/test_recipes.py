"""What a study refuses that says itself what is trained when."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest

from bench.studies.interference.study import InterferenceOptions
from bench.studies.order.study import OrderOptions
from bench.studies.recipes import refuse_held_out, refuse_strategies
from bench.studies.sequence.study import SequenceOptions
from methods.recipe import parse_recipe
from tasks.errors import UsageError


def test_parts_that_choose_or_weigh_facts_are_refused():
    refuse_strategies(parse_recipe("dora+freeze"), "order")
    for written, plain in (("lora+filter+freeze", "lora+freeze"), ("full+reweight", "full")):
        with pytest.raises(UsageError, match=f"study order .*; write {plain.replace('+', '.')}$"):
            refuse_strategies(parse_recipe(written), "order")


def test_tasks_that_ask_other_facts_than_they_train_are_refused():
    refuse_held_out(SimpleNamespace(held_out=False), "countries", "order")
    with pytest.raises(UsageError, match="--task 'arithmetic': study order asks the facts that"):
        refuse_held_out(SimpleNamespace(held_out=True), "arithmetic", "order")


@pytest.mark.parametrize("options", [InterferenceOptions, OrderOptions, SequenceOptions])
def test_studies_of_facts_check_their_task(options, tmp_path, monkeypatch):
    """Before anything is planned of its facts."""
    plan = import_module(f"bench.studies.{options.name}.plan")
    held_out = SimpleNamespace(data=SimpleNamespace(held_out=True, facts=()))
    monkeypatch.setattr(plan, "plan_grid", lambda *_: [held_out])
    with pytest.raises(UsageError, match=f"study {options.name} asks the facts that it trains"):
        plan.plan_study(options(out=tmp_path))
