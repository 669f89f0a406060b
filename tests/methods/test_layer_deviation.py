"""Semantic bases are the pseudo-inverse's rows; gains, cut and stability on curves made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from methods.layer_deviation import (
    LayerDeviations,
    cut_layer,
    cut_notes,
    cut_stability,
    gains,
    semantic_bases,
)
from methods.notes import stored
from tasks.errors import UsageError


def curve(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("tied", [True, False])
def test_bases_are_rows_of_the_pseudo_inverse(make_tiny, tied):
    model = make_tiny(tied=tied)
    head = model.get_output_embeddings().weight
    tokens = torch.tensor([3, 200, 3, 0])
    assert (head is model.get_input_embeddings().weight) == tied
    expected = torch.linalg.pinv(head.detach().double().T)[tokens]
    found = semantic_bases(head, tokens)
    assert found.dtype == torch.float64
    assert (found - expected).abs().max() < 1e-8


def test_the_logits_of_a_square_heads_bases_are_one_hot():
    head = torch.randn(24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = semantic_bases(head, torch.arange(24)) @ head.T
    assert (logits - torch.eye(24)).abs().max() < 1e-8


def test_a_head_of_low_rank_has_bases_too():
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (40, 16))
    head = left @ right.T
    expected = torch.linalg.pinv(head.T, rtol=1e-12)
    found = semantic_bases(head, torch.arange(40))
    assert (found - expected).abs().max() < 1e-8 * expected.abs().max()


def test_each_gain_is_its_formula():
    values = curve(1.0, 0.8, 0.2, 0.1)
    assert torch.allclose(gains(values, "drop"), curve(0.2, 0.6, 0.1))
    ratio = curve(math.log(1 / 0.8), math.log(4), math.log(2))
    assert torch.allclose(gains(values, "ratio"), ratio)
    steps = curve(math.log(2), math.log(1.5), math.log(4 / 3))
    assert torch.allclose(gains(values, "power"), ratio / steps)
    assert gains(curve(1.0, 0.0), "ratio").isfinite().all()


def test_the_cut_is_the_largest_gain_below_the_last_layer():
    assert cut_layer(curve(1.0, 0.9, 0.5, 0.4), "drop") == 2
    assert cut_layer(curve(1.0, 0.9, 0.8, 0.0), "drop") == 1, "the last layer is never frozen"
    with pytest.raises(UsageError, match="at least 2 decoder layers"):
        cut_layer(curve(1.0, 0.5), "drop")


def test_facts_that_agree_make_a_stable_cut_and_others_do_not():
    steady = curve(1.0, 0.9, 0.4, 0.3, 0.2).expand(20, 5)
    assert cut_stability(steady, "drop") == 1.0
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(20, 9, generator=generator, dtype=torch.float64)
    share = cut_stability(noise, "drop")
    assert 0 < share < 0.9
    assert share == cut_stability(noise, "drop"), "the same draws every time"


def test_an_unstable_cut_and_a_biased_head_are_warned_of():
    even = torch.stack([curve(1, 0.5, 0.5, 0.5, 0.5), curve(1, 1, 0.49, 0.49, 0.49),
                        curve(1, 1, 1, 0.48, 0.4)])  # fmt: skip
    notes = cut_notes(LayerDeviations(even, head_bias=True), "drop")
    assert notes.cut == 3
    assert notes.cut_stability < 0.5
    unstable, biased = notes.warnings
    assert "layer 3" in unstable
    assert "bias" in biased
    steady = LayerDeviations(even[:1], head_bias=False)
    assert cut_notes(steady, "drop").warnings == ()
    assert len(cut_notes(steady, "drop").gain) == 4


def test_what_a_cut_rests_on_lies_within_its_interval():
    generator = torch.Generator().manual_seed(2)
    per_fact = torch.rand(40, 5, generator=generator, dtype=torch.float64)
    notes = stored([cut_notes(LayerDeviations(per_fact, head_bias=False), "drop")])
    for name in ("layer_deviation", "gain"):
        ends = zip(notes[f"{name}_low"], notes[name], notes[f"{name}_high"], strict=True)
        assert all(low < value < high for low, value, high in ends)
    spread = per_fact[:, 0].std() / 40**0.5
    width = notes["layer_deviation_high"][0] - notes["layer_deviation_low"][0]
    assert width == pytest.approx(2 * 1.96 * float(spread), rel=0.15)
