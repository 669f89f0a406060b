"""Signals that parts register: computed once, charged like every other, the base's own."""

from __future__ import annotations

import time

import pytest
import torch

from bench.evaluation.signals import BaseSignals
from bench.store.cost_cache import CostCache
from methods import signals as registry
from methods.signals import signal
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt

FACTS = (Fact("a", "Who?", ("me",)), Fact("b", "Where is it?", ("here",)))


@pytest.fixture
def signals(tiny_base, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    return BaseSignals(tiny_base, FACTS, Prompt(BUILT_IN), CostCache())


def test_a_part_asks_for_its_own_signal_by_name(signals):
    @signal("question tokens")
    def question_tokens(signals, *, times=1):
        found = signals.tokenizer([fact.question for fact in signals.facts])["input_ids"]
        return torch.tensor([times * len(tokens) for tokens in found])

    assert signals.get("question tokens").tolist() == [4, 12]
    assert signals.get("question tokens", times=2).tolist() == [8, 24]


def test_it_is_computed_once_and_its_cost_is_charged_to_later_cells(signals):
    calls = []

    @signal("slow")
    def slow(signals):
        calls.append(signals.model)
        time.sleep(0.05)
        return len(calls)

    cache = signals._cache
    cache.start_cell()
    assert (signals.get("slow"), signals.get("slow"), cache.saved) == (1, 1, 0.0)
    cache.start_cell()
    assert signals.get("slow") == 1
    assert cache.saved >= 0.05
    assert calls == [signals.model]


def test_a_model_in_training_has_the_signals_of_the_base(signals, tiny_base):
    @signal("seen by")
    def seen_by(signals):
        return signals

    now = signals.now(tiny_base.model, torch.tensor([True, False]))
    assert now.get("seen by") is signals
    assert (now.model, now.tokenizer, now.prompt) == (
        signals.model,
        signals.tokenizer,
        signals.prompt,
    )


def test_unknown_and_double_names_are_one_line(signals):
    @signal("lengths")
    def lengths(signals):
        return 1

    with pytest.raises(UsageError, match="did you mean lengths"):
        signals.get("length")
    with pytest.raises(UsageError, match="registered twice"):

        @signal("lengths")
        def other(signals):
            return 2
