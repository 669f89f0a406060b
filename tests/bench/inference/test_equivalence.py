"""When a shortcut's logits count as the plain path's."""

from __future__ import annotations

import pytest
import torch

from bench.inference.equivalence import logits_agree, relative_difference, shortcut_agrees
from tests.conftest import tiny_llama

TOKENS = torch.arange(1, 25).reshape(2, 12)


@pytest.fixture(scope="module")
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, 300)


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize(
    ("dtype", "share", "agree"),
    [
        (torch.float32, 2e-4, True),
        (torch.float32, 1e-3, False),
        (torch.bfloat16, 0.05, True),
        (torch.bfloat16, 0.08, False),
        (torch.float16, 6e-3, True),
        (torch.float16, 1e-2, False),
    ],
)
def test_logits_agree_up_to_a_share_of_their_size(logits, dtype, share, agree, scale):
    found = logits + share * logits.roll(1, -1) / relative_difference(2 * logits, logits)
    found = logits + (found - logits) * share / relative_difference(found, logits)
    assert logits_agree(scale * found, scale * logits, dtype) == agree


def test_one_wrong_position_or_one_wrong_logit_is_enough(logits):
    position, single = logits.clone(), logits.clone()
    position[2, 3] *= 1.001
    single[2, 3, 5] += 2e-3 * logits.abs().max()
    assert not logits_agree(position, logits)
    assert not logits_agree(single, logits)
    assert logits_agree(logits, logits)


def test_a_constant_does_not_count_to_the_size(logits):
    found = logits * 1.001
    assert not logits_agree(found + 1000, logits + 1000)


def test_in_half_precision_the_plain_path_says_what_rounding_explains(logits):
    found = logits * 1.1
    assert not logits_agree(found, logits, torch.bfloat16)
    assert not logits_agree(found, logits, torch.bfloat16, again=lambda: logits * 1.02)
    assert logits_agree(found, logits, torch.bfloat16, again=lambda: logits * 1.05)
    assert not logits_agree(found, logits, torch.float32, again=lambda: logits * 1.05)


def test_the_plain_path_runs_again_only_where_rounding_does_not_explain_it(logits):
    asked = []
    run = lambda: asked.append(1) or logits  # noqa: E731
    assert logits_agree(logits * 1.01, logits, torch.bfloat16, again=run)
    assert not asked
    assert not logits_agree(logits * 1.5, logits, torch.bfloat16, again=run)
    assert len(asked) == 1


def test_what_is_not_a_number_never_agrees():
    expected = torch.tensor([0.0, 1.0])
    assert not logits_agree(torch.tensor([0.0, float("nan")]), expected)
    assert not logits_agree(expected, torch.tensor([0.0, float("nan")]))
    assert logits_agree(torch.zeros(3), torch.zeros(3))
    assert not logits_agree(torch.ones(3), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_error_smaller_than_rounding_is_found_in_half_precision_too(dtype):
    model = tiny_llama().to(dtype)

    def run(scale):
        hook = model.model.layers[1].mlp.register_forward_hook(lambda _, __, out: out * scale)
        with hook:
            return model(TOKENS).logits

    half = dtype is torch.bfloat16
    slip = run(0.99)
    assert relative_difference(slip, run(1.0)) < 8 * torch.finfo(torch.bfloat16).eps
    assert not shortcut_agrees(model, lambda: run(0.9), lambda: run(1.0))
    assert shortcut_agrees(model, lambda: run(1.0), lambda: model(TOKENS).logits)
    assert all(p.dtype is dtype for p in model.parameters()), half


def test_under_autocast_only_what_rounding_surely_explains_is_accepted():
    model = tiny_llama()
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    logits = model(TOKENS).logits.float()
    run = lambda scale: lambda: scale * model(TOKENS).logits.float()  # noqa: E731
    assert logits.dtype is torch.float32
    assert shortcut_agrees(model, run(1.001), run(1.0))
    assert not shortcut_agrees(model, run(1.01), run(1.0))
