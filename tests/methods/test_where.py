"""Placements that look at the base, kinds of modules with all of them, and ranks that make up."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.signals import BaseSignals
from bench.inference.contexts import Contexts
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from methods.adapters.lora import Lora
from methods.parts import ADAPTERS, PLACEMENTS
from methods.placement.depth import Depth
from methods.placement.occlusion import Occlusion, OcclusionNotes
from methods.rank_budget import rank_of_size, size_of_rank
from methods.recipe import parse_recipe
from methods.targets import Modules
from tasks.context import Context
from tasks.errors import UsageError
from tasks.prompt import BUILT_IN, Prompt

LAYERS = 4
PLACED = {
    "first": {"n": 2},
    "last": {"n": 2},
    "window": {"first": 2, "last": 3},
    "freeze": {},
    "random_cut": {},
    "depth": {"at": 0.5},
    "occlusion": {"share": 0.5},
}
WORDS = {
    Modules.ATTN: {"q_proj", "k_proj", "v_proj", "o_proj"},
    Modules.UP: {"gate_proj", "up_proj"},
    Modules.DOWN: {"down_proj"},
}
WORDS[Modules.MLP] = WORDS[Modules.UP] | WORDS[Modules.DOWN]
WORDS[Modules.ALL] = WORDS[Modules.MLP] | WORDS[Modules.ATTN]
SIDES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6)


@pytest.fixture
def deep(make_tiny, tiny_parts):
    """A resident base of four layers."""
    return Base("deep", "random-0", make_tiny(layers=LAYERS), tiny_parts[1])


@pytest.fixture
def signals(deep, cases):
    """What it knows of six facts."""
    return BaseSignals(deep, cases.facts[:6], Prompt(BUILT_IN), CostCache())


def losses_by_hand(base, facts):
    """The mean cross-entropy of each target, one fact at a time."""
    contexts = Contexts(base.tokenizer, Prompt(BUILT_IN))
    found = []
    for example in contexts.examples(Context.PLAIN, facts):
        logits = base.model(input_ids=torch.tensor([example.tokens])).logits[0]
        predicted, wanted = logits[example.start - 1 : -1], example.tokens[example.start :]
        found.append(torch.nn.functional.cross_entropy(predicted, torch.tensor(wanted)))
    return torch.stack(found).double()


class Through(torch.nn.Module):
    """Stands for a feed-forward part that is skipped."""

    def forward(self, states):
        return states


def test_occlusion_is_what_the_targets_lose_without_a_layers_feed_forward_part(
    deep, signals, cases
):
    rise = signals.get("occlusion", samples=64)
    before = losses_by_hand(deep, cases.facts[:6])
    for layer, found in zip(deep.model.model.layers, rise.tolist(), strict=True):
        own, layer.mlp = layer.mlp, Through()
        expected = (losses_by_hand(deep, cases.facts[:6]) - before).mean()
        layer.mlp = own
        assert found == pytest.approx(float(expected), abs=1e-5)
    assert torch.equal(losses_by_hand(deep, cases.facts[:6]), before), "no hook is left"


@given(rise=st.lists(st.floats(-9, 9), min_size=1, max_size=40), share=st.floats(0.01, 1))
def test_occlusion_trains_the_share_of_the_layers_that_rise_most(rise, share):
    class Known:
        def get(self, name, samples):
            return torch.tensor(rise, dtype=torch.float64)

    found = Occlusion(share=share).layers(Known(), len(rise), 0)
    assert len(found) == max(1, round(share * len(rise)))
    assert list(found) == sorted(set(found))
    left_out = set(range(len(rise))) - set(found)
    assert all(rise[kept] >= rise[other] for kept in found for other in left_out)


def test_the_largest_rises_are_told():
    [told] = OcclusionNotes((0.1, 2.0, -0.3)).told(6, 6)
    assert told.text == "layer 2 +2.00, layer 1 +0.10, layer 3 -0.30 nats per token"
    assert not list(OcclusionNotes().told(6, 6))


def test_a_quarter_of_the_layers_is_the_default():
    assert Occlusion().share == 0.25


def test_occlusion_refuses_layers_without_a_feed_forward_module(signals):
    for layer in signals.model.model.layers:
        del layer.mlp
    with pytest.raises(UsageError, match="layer 1 of LlamaForCausalLM has no feed-forward"):
        signals.get("occlusion", samples=3)


def test_depth_is_the_layer_of_the_papers_code():
    assert Depth().layers(None, 32, 0) == (22,), "Llama-3-8B"
    assert Depth(at=0.25).layers(None, 28, 0) == (6,), "Qwen2.5-7B"
    assert Depth(at=0.75).layers(None, 32, 0) == (23,), "Mistral-7B"
    assert Depth(at=1.0, n=3).layers(None, 8, 0) == (5, 6, 7)
    assert Depth(at=0.01).layers(None, 8, 0) == (0,)


@pytest.mark.parametrize(
    ("written", "piece"),
    [
        ("depth[at=0]", "above 0 and at most 1"),
        ("depth[n=0]", "n=0"),
        ("occlusion[share=1.5]", "share=1.5"),
        ("occlusion[samples=0]", "samples=0"),
    ],
)
def test_what_cannot_work_is_one_line(written, piece):
    with pytest.raises(UsageError) as caught:
        parse_recipe(written)
    assert piece in str(caught.value)


def test_every_placement_is_tried_here():
    assert set(PLACED) == set(PLACEMENTS.names())


@pytest.mark.parametrize("modules", Modules)
@pytest.mark.parametrize("name", PLACED)
def test_every_kind_of_modules_goes_with_every_placement(deep, signals, cases, name, modules):
    layers = PLACEMENTS[name](**PLACED[name]).layers(signals, LAYERS, 0)
    model = cases.attach(deep, Lora(r=2, modules=modules), layers).model
    trained = {n.split(".lora_")[0] for n, p in model.named_parameters() if p.requires_grad}
    pieces = {(int(n.split("layers.")[1].split(".")[0]), n.rpartition(".")[2]) for n in trained}
    assert pieces == {(layer, word) for layer in layers for word in WORDS[modules]}


@given(sides=SIDES, size=st.integers(1, 9000))
def test_the_rank_of_a_size_is_the_nearest(sides, size):
    def off(rank):
        return abs(size_of_rank(sides, rank) - size)

    found = rank_of_size(sides, size)
    assert off(found) == min(map(off, range(1, 42)))


@pytest.mark.parametrize("modules", [Modules.ALL, Modules.ATTN, Modules.MLP])
@pytest.mark.parametrize("layers", [None, (0, 1, 2), (1, 3), (2,)])
def test_a_spread_rank_trains_as_many_numbers_wherever_it_is(deep, cases, layers, modules):
    def count(adapter):
        model = cases.attach(deep, adapter, layers).model
        return sum(p.numel() for p in model.parameters() if p.requires_grad)

    whole = sum(
        p.numel() for p in cases.attach(deep, Lora(r=1)).model.parameters() if p.requires_grad
    )
    adapter = Lora(r=1, modules=modules, spread=True).fitted(deep.model, layers)
    one_more = count(Lora(r=1, modules=modules))
    assert abs(count(adapter) - whole) <= one_more / 2
    assert adapter.scale == 1.0
    assert Lora(r=1, alpha=3.0, spread=True).fitted(deep.model, layers).scale == 3.0


def test_a_rank_that_is_not_spread_is_what_it_was(deep):
    assert Lora(r=3).fitted(deep.model, (0,)) == Lora(r=3)
    assert "spread" not in parse_recipe("lora").full_name
    for name in ADAPTERS.names():
        if name != "peft":
            assert ADAPTERS[name]().fitted(deep.model, (0,)) == ADAPTERS[name]()
