import copy

import pytest
import torch
from pydantic import TypeAdapter

from bench.forgetting import drift
from bench.forgetting.drift import Drift, sample_texts
from bench.forgetting.suite import ForgettingTasks
from bench.optimizations import Optimization, without
from bench.store.cost_cache import CostCache
from tasks.base import DataAccess
from tasks.forgetting.names import parse_forgetting

TEXTS = 6


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(drift, "TOKENS", 12)


def tuned_lora(base, scale):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.5)
    model = get_peft_model(copy.deepcopy(base.model), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=scale)
    return model.train()


def test_an_identity_drifts_by_exactly_nothing(tiny_base):
    scores = Drift(TEXTS).score(tiny_base, tuned_lora(tiny_base, 0.0))
    assert scores.items == (0.0,) * 6
    assert scores == Drift(TEXTS).score(tiny_base, tiny_base.model)
    assert (scores.metric, scores.floor) == ("kl", None)


def test_it_is_the_mean_divergence_of_the_sampled_tokens(tiny_base):
    model = tuned_lora(tiny_base, 0.3)
    scores = Drift(TEXTS).score(tiny_base, model)
    assert model.training, "the mode is put back, and dropout did not count"
    model.eval()
    texts = sample_texts(tiny_base, TEXTS)
    for text, found in zip(texts, scores.items, strict=True):
        p = tiny_base.model(text[None]).logits[0, -13:-1].double().log_softmax(-1)
        q = model(text[None]).logits[0, -13:-1].double().log_softmax(-1)
        assert found == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=1e-4)
    assert min(scores.items) > 1e-3


def test_batches_do_not_change_it(tiny_base, monkeypatch):
    model = tuned_lora(tiny_base, 0.3)
    together = Drift(TEXTS).score(tiny_base, model)
    monkeypatch.setattr(drift, "LOGITS_AT_ONCE", 1)
    alone = Drift(TEXTS).score(tiny_base, model)
    assert alone.digest == together.digest
    assert alone.items == pytest.approx(together.items, rel=1e-4)


def test_virtual_tokens_do_not_shift_the_positions(tiny_base):
    from peft import PromptTuningConfig, get_peft_model

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    model = get_peft_model(copy.deepcopy(tiny_base.model), config)
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight.zero_()
    scores = Drift(TEXTS).score(tiny_base, model)
    text = sample_texts(tiny_base, TEXTS)[0]
    p = tiny_base.model(text[None]).logits[0, -13:-1].log_softmax(-1)
    q = model(text[None]).logits[0, -13:-1].log_softmax(-1)
    assert scores.items[0] == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=1e-3)


def test_texts_are_the_same_whatever_the_seed_and_leave_it_alone(tiny_base, quiet, capfd):
    torch.manual_seed(5)
    first = sample_texts(tiny_base, TEXTS)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    torch.manual_seed(6)
    assert torch.equal(sample_texts(tiny_base, TEXTS), first)
    assert first.shape == (6, 13)
    assert len({tuple(row) for row in first.tolist()}) == 6
    assert capfd.readouterr().err == ""


def test_texts_are_sampled_once_for_each_base(tiny_base, monkeypatch):
    calls = []
    monkeypatch.setattr(
        drift, "sample_texts", lambda *given: calls.append(given) or sample_texts(*given)
    )
    task = Drift(TEXTS)
    task.score(tiny_base, tiny_base.model)
    task.score(tiny_base, tuned_lora(tiny_base, 0.1))
    assert len(calls) == 1


@pytest.mark.parametrize("batched", [2**25, 1])
def test_what_another_process_kept_gives_the_same_scores(tiny_base, monkeypatch, batched):
    monkeypatch.setattr(drift, "LOGITS_AT_ONCE", batched)
    expected = Drift(TEXTS).score(tiny_base, model := tuned_lora(tiny_base, 0.1))
    kept = through_a_file(Drift(TEXTS).shared(tiny_base))
    monkeypatch.setattr(drift, "sample_texts", lambda *_: pytest.fail("sampled again"))
    task, passes = holding(kept, tiny_base), counted_passes(tiny_base.model)
    assert task.score(tiny_base, model) == expected
    assert not passes, "the base was not run again"


def test_without_kept_states_the_base_is_run_for_each_cell(tiny_base):
    model, passes = tuned_lora(tiny_base, 0.1), counted_passes(tiny_base.model)
    with without(Optimization.BASE_STATES):
        kept = through_a_file(Drift(TEXTS).shared(tiny_base))
        task = holding(kept, tiny_base)
        passes.clear()
        scores = task.score(tiny_base, model)
    assert len(passes) == 1
    assert scores == Drift(TEXTS).score(tiny_base, model)


def through_a_file(shared):
    stored = TypeAdapter(shared.kind)
    return stored.validate_json(stored.dump_json(shared.compute()))


def holding(kept, base):
    """The task, of which another process has asked the base."""
    task = Drift(TEXTS, CostCache())
    task.cache.get(task.shared(base).key, lambda: kept)
    return task


def counted_passes(model):
    """The forward passes of a model's layers, noted as they happen."""
    passes = []
    model.model.register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


def test_what_the_base_says_is_kept_over_cells_and_gives_the_same_numbers(tiny_base):
    model, other = tuned_lora(tiny_base, 0.3), tuned_lora(tiny_base, 0.1)
    with without(Optimization.BASE_STATES):
        plain = [Drift(TEXTS).score(tiny_base, tuned).items for tuned in (model, other)]
    task = Drift(TEXTS)
    task.score(tiny_base, tiny_base.model)  # samples the texts and runs the base on them
    passes = counted_passes(tiny_base.model)
    kept = [task.score(tiny_base, tuned).items for tuned in (model, other, model)]
    assert kept == [*plain, plain[0]], "bit for bit"
    assert not passes
    with without(Optimization.BASE_STATES):
        assert task.score(tiny_base, model).items == plain[0]
    assert len(passes) == 1


def test_a_model_that_caps_its_logits_is_run_every_time(tiny_base, monkeypatch):
    plain = tiny_base.model.forward

    def capped(*arguments, **options):
        output = plain(*arguments, **options)
        output.logits = torch.tanh(output.logits)
        return output

    model = tuned_lora(tiny_base, 0.3)
    monkeypatch.setattr(tiny_base.model, "forward", capped)
    task = Drift(TEXTS)
    first = task.score(tiny_base, model)
    passes = counted_passes(tiny_base.model)
    assert task.score(tiny_base, model) == first
    assert len(passes) == 1
    with without(Optimization.BASE_STATES):
        assert Drift(TEXTS).score(tiny_base, model) == first


@pytest.mark.parametrize(("limit", "texts"), [(3, 3), (200, drift.SEQUENCES)])
def test_it_has_no_more_texts_than_items_are_asked_of_each_task(tiny_base, limit, texts):
    builder = ForgettingTasks(DataAccess(), limit)
    tasks = builder.build(parse_forgetting("drift"))
    [found] = builder.on(tiny_base, tasks).measure(tuned_lora(tiny_base, 0.1))
    assert len(found.tuned_items) == texts


def test_tasks_of_one_cache_share_what_the_base_wrote(tiny_base, monkeypatch):
    cache = CostCache()
    Drift(TEXTS, cache).score(tiny_base, tiny_base.model)
    monkeypatch.setattr(drift, "sample_texts", lambda *_: pytest.fail("sampled again"))
    Drift(TEXTS, cache).score(tiny_base, tuned_lora(tiny_base, 0.1))
