"""Signals that parts register: computed once, charged like every other, the base's own."""

from __future__ import annotations

import time

import pytest
import torch

from bench.evaluation import signals as module
from bench.evaluation.signals import BaseSignals
from bench.models.copy_on_write import borrow
from bench.store.cost_cache import CostCache
from methods import signals as registry
from methods.calibration import ENOUGH, calibration_facts
from methods.signals import signal
from methods.targets import linear_layers
from tasks.base import TASKS, DataAccess
from tasks.context import TrainPrompt
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt, fact_text

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


def windows_of(tokenizer, facts, length):
    """Token ids of the texts, joined by newlines and cut into windows."""
    ids = tokenizer("\n".join(map(fact_text, facts)))["input_ids"]
    return [ids[start : start + length] for start in range(0, len(ids), length)]


@torch.no_grad()
def written_plainly(model, windows):
    """The reference's arithmetic: X / |max X|, then X^T X, and its mean over the windows."""
    sums = {}

    def hook_of(name):
        def hook(_, inputs, __):
            X = inputs[0].squeeze(0).float()
            X = X / torch.max(X).abs()
            sums[name] = sums.get(name, 0) + X.t() @ X / len(windows)

        return hook

    layers = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    handles = [layer.register_forward_hook(hook_of(name)) for name, layer in layers.items()]
    for window in windows:
        model(torch.tensor([window]))
    for handle in handles:
        handle.remove()
    return {name: found for name, found in sums.items() if name != "lm_head"}


def assert_as_written_plainly(signals, facts, samples, pack, length):
    windows = windows_of(signals.tokenizer, calibration_facts(facts, samples), length)
    found = signals.covariance(facts, samples, pack)
    expected = written_plainly(signals.model, windows)
    assert found.samples == len(windows) > 1
    assert set(found.tokens.values()) == {sum(map(len, windows))}
    assert set(found.shared) == set(expected)
    for name, C in expected.items():
        assert (found[name] - C).norm() / C.norm() < 1e-5, name


MANY = tuple(Fact(f"f{i}", f"Who is number {i} of {i * 7}?", (f"name {i}",)) for i in range(60))


@pytest.mark.parametrize(("pack", "length"), [(64, 64), (333, 333), (1024, 1024), (2048, 1024)])
def test_covariances_of_windows_are_the_references(signals, pack, length):
    """The model's context is 1024 tokens; the last window is shorter than the others."""
    assert_as_written_plainly(signals, MANY, 55, pack, length)


@pytest.mark.integration
def test_covariances_of_windows_are_the_references_on_the_embedded_model(embedded_base):
    facts = TASKS["elements"]().load(DataAccess())
    signals = BaseSignals(embedded_base, FACTS, Prompt(BUILT_IN), CostCache())
    assert_as_written_plainly(signals, facts, 80, 1024, 1024)


def test_one_text_a_sample_differs_from_windows_in_scale_and_direction(signals):
    texts, windows = signals.covariance(MANY), signals.covariance(MANY, pack=1024)
    assert (texts.samples, windows.samples) == (60, -(-max(windows.tokens.values()) // 1024))
    for name in texts.shared:
        single, packed = texts[name], windows[name]
        assert packed.trace() > 5 * single.trace()
        cosine = (single * packed).sum() / (single.norm() * packed.norm())
        assert cosine < 0.9999, name


def test_without_a_number_calibration_asks_for_enough_tokens_and_no_more(signals):
    many = tuple(Fact(f"f{i}", f"What is the colour of {i}?", ("blue",)) for i in range(900))
    found = signals.covariance(many, pack=1024)
    tokens = set(found.tokens.values())
    longest = max(len(fact_text(fact)) for fact in many) + 1
    assert len(tokens) == 1
    assert ENOUGH <= tokens.pop() < ENOUGH + longest
    assert found.samples == 17
    few = signals.covariance(MANY, pack=1024)
    assert sum(map(len, windows_of(signals.tokenizer, MANY, 1024))) in few.tokens.values()


def test_plain_covariances_are_not_taken_for_scaled_ones(signals):
    scaled, plain = signals.covariance(MANY, 8), signals.covariance(MANY, 8, scaled=False)
    again = signals.covariance(MANY, 8, scaled=False)
    for name, C in plain.matrices.items():
        assert not torch.allclose(C, scaled.matrices[name], rtol=1e-2), name
        assert C is again.matrices[name]


@pytest.mark.parametrize(("on_host", "measured"), [(True, 1), (False, 2)])
def test_covariances_stay_where_they_do_not_fill_a_card(on_host, measured, signals, monkeypatch):
    calls = []
    plain = module.input_covariances
    monkeypatch.setattr(
        module, "input_covariances", lambda *a, **how: calls.append(1) or plain(*a, **how)
    )
    monkeypatch.setattr(BaseSignals, "_keeps_covariances", on_host)
    found = [signals.covariance(MANY, 8).matrices for _ in range(2)]
    assert len(calls) == measured
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def trained_plainly(base, contexts, facts):
    """One fact after another with all weights trained, in every context that training sees."""
    model = borrow(base).model.requires_grad_(True)
    examples = [e for context in contexts.trained for e in contexts.examples(context, facts)]
    for example in examples:
        logits = model(input_ids=torch.tensor([example.tokens])).logits[0]
        target = torch.tensor(example.tokens[example.start :])
        loss = torch.nn.functional.cross_entropy(logits[example.start - 1 : -1], target)
        (loss / len(examples)).backward()
    return {name: layer.weight.grad for name, layer in linear_layers(model)}


@pytest.mark.parametrize("train_prompt", [TrainPrompt.PLAIN, TrainPrompt.FEW_SHOT])
def test_gradients_are_those_of_the_loss_that_training_has(train_prompt, tiny_base):
    signals = BaseSignals(tiny_base, MANY, Prompt(BUILT_IN), CostCache(), train_prompt)
    found = signals.gradient(MANY, 7)
    assert found.samples == 7
    expected = trained_plainly(tiny_base, signals.contexts, calibration_facts(MANY, 7))
    for name, G in expected.items():
        assert torch.allclose(found.matrices[name], G, atol=1e-6), name
    assert set(found.matrices) == set(expected)


@pytest.mark.parametrize(("on_host", "measured"), [(True, 2), (False, 3)])
def test_gradients_are_kept_like_covariances(on_host, measured, signals, monkeypatch):
    calls = []
    plain = module.mean_gradients
    monkeypatch.setattr(module, "mean_gradients", lambda *a: calls.append(1) or plain(*a))
    monkeypatch.setattr(BaseSignals, "_keeps_covariances", on_host)
    first, second = signals.gradient(MANY, 4), signals.gradient(MANY, 4)
    other = signals.gradient(MANY, 5)
    assert len(calls) == measured
    assert all(torch.equal(first.matrices[n], second.matrices[n]) for n in first.matrices)
    assert not any(torch.equal(first.matrices[n], other.matrices[n]) for n in first.matrices)
