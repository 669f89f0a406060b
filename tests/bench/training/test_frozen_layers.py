"""Training on kept states gives the numbers of training through the frozen layers."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import nn

from bench.inference.encoding import collate
from bench.inference.float32_head import install_head
from bench.inference.likelihood import target_logits
from bench.optimizations import Optimization, without
from bench.training import frozen_layers as module
from bench.training.frozen_layers import frozen_prefix
from bench.training.loop import TrainingPlan, train
from methods.parts import ADAPTERS
from methods.targets import decoder_layers
from tests.bench.architectures import random_model
from tests.bench.device_errors import ERRORS, failing
from tests.bench.encoded import encode
from tests.conftest import byte_tokenizer, tiny_llama

LAYERS = 4


@pytest.fixture(scope="module")
def examples():
    tokenizer = byte_tokenizer()
    pairs = [(f"Question: what is {'so ' * n}{n}?\nAnswer:", str(n * n)) for n in range(1, 10)]
    return [encode(tokenizer, question, answer) for question, answer in pairs]


def adapted(first=2, **options):
    """A model whose layers from `first` on have LoRA."""
    names = [
        f"layers.{i}.mlp.{name}" for i in range(first, LAYERS) for name in ("up_proj", "down_proj")
    ]
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=names, **options)
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(layers=LAYERS, seed=2), config).eval()


def training(model, examples, epochs=3):
    plan = TrainingPlan(
        contexts=[examples],
        weights=torch.ones(len(examples), dtype=torch.float64),
        epochs=epochs,
        batch_size=4,
        learning_rate=1e-2,
        order_seed=1,
        pad=0,
    )
    return train(model, ADAPTERS["lora"](), plan, lambda *_: None)


def test_losses_are_those_of_the_plain_path_and_cost_less(examples):
    with without(Optimization.TOKEN_TREE):
        ours = training(adapted(), examples)
        with without(Optimization.FROZEN_PREFIX):
            plain = training(adapted(), examples)
    assert ours.losses == pytest.approx(plain.losses, abs=1e-5)
    assert ours.losses[-1] < ours.losses[0]
    assert ours.accuracies == plain.accuracies
    assert ours.flops < 0.8 * plain.flops


def test_frozen_layers_do_not_run_again(examples):
    model = adapted()
    calls = dict.fromkeys(range(LAYERS), 0)
    for index, layer in enumerate(model.get_base_model().model.layers):
        layer.mlp.register_forward_hook(lambda *_, i=index: calls.__setitem__(i, calls[i] + 1))
    prefix = frozen_prefix(model, examples, 0)
    before = dict(calls)
    batch = collate(examples, [5, 0, 3], 0)
    with prefix.replayed(prefix.states(batch)):
        target_logits(model, batch)
    assert [calls[i] - before[i] for i in range(LAYERS)] == [0, 0, 1, 1]
    target_logits(model, batch)
    assert [calls[i] - before[i] for i in range(LAYERS)] == [1, 1, 2, 2]


@pytest.mark.parametrize(("first", "depth"), [(1, 1), (3, 3)])
def test_the_depth_is_that_of_the_lowest_trained_layer(examples, first, depth):
    assert len(frozen_prefix(adapted(first), examples, 0)._frozen) == depth


def test_nothing_is_kept_where_every_pass_may_differ(examples):
    assert frozen_prefix(adapted(0), examples, 0) is None
    head = adapted()
    head.get_base_model().lm_head.weight.requires_grad = True  # tied to the embeddings
    assert frozen_prefix(head, examples, 0) is None
    assert frozen_prefix(adapted(lora_dropout=0.1), examples, 0) is None
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    assert frozen_prefix(get_peft_model(tiny_llama(layers=LAYERS), config), examples, 0) is None
    with without(Optimization.FROZEN_PREFIX):
        assert frozen_prefix(adapted(), examples, 0) is None
    assert frozen_prefix(adapted(), examples, 0) is not None


def test_a_model_that_looks_below_its_layers_again_is_found_by_measuring(examples):
    model = adapted()
    layers = model.get_base_model().model.layers
    seen = []
    layers[0].mlp.register_forward_hook(lambda _, given, output: seen.append(output))

    class Skips(nn.Module):
        """Adds to a late layer what an early one last said."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x) + seen.pop()

    layers[3].mlp = Skips(layers[3].mlp)
    assert frozen_prefix(model, examples, 0) is None


def test_more_than_the_budget_lies_in_a_file(examples, monkeypatch):
    expected = frozen_prefix(adapted(), examples, 0)._states
    monkeypatch.setattr(module, "MEMORY_BUDGET", 100)
    model = adapted()
    mapped = frozen_prefix(model, examples, 0)
    assert torch.equal(mapped._states, expected)
    assert mapped._states.untyped_storage().filename is not None
    assert expected.untyped_storage().filename is None


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt_neox"])
def test_states_are_kept_in_half_precision_too(examples, name):
    model = random_model(name, std=0.1).bfloat16()
    install_head(model)
    for parameter in decoder_layers(model)[1][1].parameters():
        parameter.requires_grad_(True)
    assert frozen_prefix(model, examples, 0) is not None


@pytest.mark.parametrize(("error", "raised"), ERRORS)
def test_errors_of_memory_and_device_are_not_taken_for_a_refusal(examples, error, raised):
    model = adapted()
    model.get_base_model().model.layers[1].register_forward_pre_hook(failing(error))
    if not raised:
        assert frozen_prefix(model, examples, 0) is None
        return
    with pytest.raises(type(error)):
        frozen_prefix(model, examples, 0)
