"""A batch run as a tree of tokens gives the logits, losses and gradients of its rows."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import nn

from bench.inference.encoding import IGNORED, Example, collate
from bench.inference.float32_head import install_head
from bench.inference.likelihood import fact_losses, target_logits
from bench.optimizations import Optimization, without
from bench.training import token_tree as module
from bench.training.forward import passes
from bench.training.loop import TrainingPlan, train
from bench.training.token_tree import takes_trees, token_tree
from methods.parts import ADAPTERS
from tests.bench.architectures import MAKERS, random_model
from tests.bench.device_errors import ERRORS, failing
from tests.bench.encoded import encode
from tests.conftest import byte_tokenizer, tiny_llama

LAYERS = 3


@pytest.fixture(scope="module")
def examples():
    said = [("capital", "Oslo"), ("capital", "Lima"), ("capital of new", "Bern"), ("flag", "red")]
    pairs = [(f"Question: what is the {what} {n}?\nAnswer:", a) for n, (what, a) in enumerate(said)]
    pairs += [pairs[0], ("Who?", "Oslo"), ("Why?", "So")]
    return [encode(byte_tokenizer(), *pair) for pair in pairs]


def adapted(first=0, **options):
    names = [f"layers.{i}.mlp.up_proj" for i in range(first, LAYERS)]
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules=names, init_lora_weights=False, **options
    )
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(layers=LAYERS, seed=2), config).eval()


def training(model, examples, epochs=3):
    plan = TrainingPlan(
        contexts=[examples],
        weights=torch.linspace(0.5, 1.5, len(examples), dtype=torch.float64),
        epochs=epochs,
        batch_size=4,
        learning_rate=1e-2,
        order_seed=1,
        pad=0,
    )
    return train(model, ADAPTERS["lora"](), plan, lambda *_: None)


def test_nodes_are_the_distinct_beginnings_each_at_its_depth(examples):
    batch = collate(examples, range(len(examples)), 0)
    tree = token_tree(batch)
    beginnings = {e.tokens[:n] for e in examples for n in range(1, len(e.tokens) + 1)}
    assert tree.size == len(beginnings)
    for row, example in enumerate(examples):
        way = tree.nodes[row, : len(example.tokens)]
        assert tuple(tree.tokens[way].tolist()) == example.tokens
        assert tree.positions[way].tolist() == list(range(len(example.tokens)))


def test_states_of_nodes_are_those_of_where_they_occur(examples):
    batch = collate(examples, range(len(examples)), 0)
    tree = token_tree(batch)
    columns = torch.arange(batch.tokens.shape[1]).expand_as(batch.tokens)
    states = torch.stack([batch.tokens, columns])
    found = tree.of_nodes(states.permute(1, 2, 0))
    assert torch.equal(found[0], torch.stack([tree.tokens, tree.positions], dim=1))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_losses_and_gradients_are_those_of_the_rows(examples, attention):
    batch = collate(examples, [4, 0, 2, 1, 5, 3], 0)
    found = []
    for run in (token_tree(batch).logits, lambda model: target_logits(model, batch)):
        model = adapted()
        model.set_attn_implementation(attention)
        losses, hits = fact_losses(run(model), batch.labels)
        (losses * torch.arange(1, 7)).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        found.append([losses.detach(), hits, *gradients])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)
    assert float(found[0][2].abs().max()) > 1e-3


@pytest.mark.parametrize("first", [0, 1])
def test_training_is_that_of_the_rows_and_costs_less(examples, first):
    with without(Optimization.TOKEN_TREE):
        plain = training(adapted(first), examples)
    ours = training(adapted(first), examples)
    assert ours.losses == pytest.approx(plain.losses, abs=1e-5)
    assert ours.losses[-1] < ours.losses[0]
    assert ours.accuracies == plain.accuracies
    assert ours.flops < 0.9 * plain.flops


def test_a_batch_that_shares_too_little_is_run_by_rows(examples, monkeypatch):
    ways = passes(adapted(), examples, 0)
    assert ways.trees
    assert ways.of(collate(examples, [0, 1, 2], 0)).tree is not None
    assert ways.of(collate(examples, [0], 0)).tree is None
    apart = [Example((1, 2, 3, 4), 2), Example((5, 6, 7, 8), 2)]
    assert ways.of(collate(apart, [0, 1], 0)).tree is None
    monkeypatch.setattr(module, "MOST_NODES", 10)
    assert ways.of(collate(examples, [0, 1, 2], 0)).tree is None


def test_no_trees_where_rows_differ_or_share_nothing(examples):
    assert takes_trees(adapted(), examples, 0)
    assert not takes_trees(adapted(lora_dropout=0.1), examples, 0)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    assert not takes_trees(get_peft_model(tiny_llama(layers=LAYERS), config), examples, 0)
    apart = [Example((n, n + 1), 1) for n in range(1, 9, 2)]
    assert not takes_trees(adapted(), apart, 0)
    with without(Optimization.TOKEN_TREE):
        assert not takes_trees(adapted(), examples, 0)


def test_a_model_that_mixes_neighbours_is_found_by_measuring(examples):
    model = adapted()
    layers = model.get_base_model().model.layers

    class Mixes(nn.Module):
        """Adds up all tokens before, whichever those are: as a recurrent layer does."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x) + x.cumsum(dim=1)

    layers[1].mlp = Mixes(layers[1].mlp)
    assert not takes_trees(model, examples, 0)


def test_where_nothing_is_predicted_no_logits_are_computed(examples):
    batch = collate(examples, range(len(examples)), 0)
    predicted = int((batch.labels != IGNORED).sum())
    model, heads = adapted(), []
    head = model.get_base_model().lm_head
    head.register_forward_hook(lambda _, given, output: heads.append(output.shape[1]))
    token_tree(batch).logits(model)
    assert heads[0] <= predicted < batch.labels.numel()


@pytest.mark.parametrize("std", [0.02, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MAKERS)
def test_only_attention_that_uses_the_mask_takes_trees(examples, name, dtype, std):
    """Linear attention ignores it, which changes logits less than bfloat16 rounds them."""
    for seed in range(3):
        model = random_model(name, std=std, seed=seed).to(dtype)
        install_head(model)
        assert takes_trees(model, examples, 0) == (name != "qwen3_next")


@pytest.mark.parametrize(("error", "raised"), ERRORS)
def test_errors_of_memory_and_device_are_not_taken_for_a_refusal(examples, error, raised):
    model = adapted()
    model.get_base_model().model.layers[1].register_forward_pre_hook(failing(error))
    if not raised:
        assert not takes_trees(model, examples, 0)
        return
    with pytest.raises(type(error)):
        takes_trees(model, examples, 0)
