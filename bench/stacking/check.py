"""Check that a stack gives each member's own logits before it is relied on.

Adapters mostly start as an identity, so the check runs with random ones: a stack that gave the rows
of one member to another would show only then. A model whose modules see tokens of several rows
mixed, as experts do, is found so by measuring, not by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.failures import first_line, raise_device_errors
from bench.models.capabilities import takes
from bench.stacking.layers import low_rank_layers
from bench.stacking.layout import Parts
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.stacking.model import StackedModel

ROWS, TOKENS = 2, 12
"""The size of the batch of each member."""

STRENGTH = 0.1
"""How much the random adapters add to the output of a layer, relative to its input."""

TOLERANCE = 1e-4
"""Largest difference of logits, relative to their size, of what is computed in another order."""

SPREADS = 3.0
"""How many times the logits may differ by what they differ by at another batch shape."""

SHARE = 0.2
"""In a short dtype, the largest difference relative to what the adapters change: the rows of
another member would differ by about as much as that."""


@torch.no_grad()
def check_stack(stacked: StackedModel, base_model: nn.Module) -> None:
    """Compare a stack with each member's own model.

    Args:
        stacked: The stack.
        base_model: Its base.

    Raises:
        UsageError: The logits of a member differ by more than batch shapes explain, or the stack
            does not run.
    """
    try:
        _compare(stacked, base_model)
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise_device_errors(error)
        raise UsageError(f"these models cannot be stacked: {first_line(error)}") from error


def _compare(stacked: StackedModel, base_model: nn.Module) -> None:
    """Raise `UsageError` for the first member whose logits differ by more than is explained."""
    vocabulary = stacked.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    device = next(stacked.parameters()).device
    generator = torch.Generator().manual_seed(0)
    size = (stacked.members, ROWS, TOKENS)
    tokens = torch.randint(1, vocabulary, size, generator=generator).to(device)
    with _random_adapters(stacked):
        found = _logits(stacked, tokens.flatten(0, 1)).view(*size, -1)
        for number, (alone, rows) in enumerate(zip(stacked.alone, tokens, strict=True)):
            own = _logits(alone, rows)
            apart = torch.cat([_logits(alone, row[None]) for row in rows])
            allowed = max(TOLERANCE, SPREADS * _distance(apart, own))
            if stacked.stack.dtype != torch.float32:
                allowed = max(allowed, SHARE * _distance(_logits(base_model, rows), own))
            if not (off := _distance(found[number], own)) <= allowed:  # so that NaN is refused too
                raise UsageError(
                    f"model {number} of {stacked.members} cannot be stacked: its logits would be "
                    f"off by {off:.1e} of their size, and rounding explains {allowed:.1e}"
                )


def _logits(model: Any, tokens: Tensor) -> Tensor:
    cached = {"use_cache": False} if takes(model, "use_cache") else {}
    logits: Tensor = model(input_ids=tokens, **cached).logits
    return logits.float()


def _distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@contextmanager
def _random_adapters(stacked: StackedModel) -> Iterator[None]:
    """Change all trained numbers so that it shows in the logits, and set them back."""
    stack = stacked.stack
    kept = stack.theta.data.clone()
    generator = torch.Generator(kept.device).manual_seed(1)
    noise = torch.empty_like(kept).normal_(generator=generator)
    drawn = Parts(stack.layout, noise)
    for number, model in enumerate(stacked.alone):
        for name, layer in low_rank_layers(model).items():
            A, B, m = drawn.of(number, name)
            size, width = _size(layer.A), (layer.rank * layer.A.shape[1]) ** 0.5
            layer.A.data += STRENGTH * size * A[: layer.rank]
            # So that s B (A x) is about a tenth of x, however unevenly a start divides the two.
            layer.B.data += STRENGTH / (layer.scale * width * size) * B[:, : layer.rank]
            if layer.magnitude is not None:
                layer.magnitude.data *= 1 + STRENGTH * m
    try:
        stack.refresh()
        yield
    finally:
        stack.theta.data.copy_(kept)
        stack.refresh()


def _size(factor: Tensor) -> Tensor:
    """Return the root mean square of a factor, 1 / sqrt(d_in) for zeros."""
    size = factor.data.square().mean().sqrt()
    return torch.where(size > 0, size, factor.shape[1] ** -0.5)
