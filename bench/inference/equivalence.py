"""Checks that an optimization gives the logits of plain code before it is relied on.

Two ways of computing the same thing differ by rounding. In float32 that is some 1e-6 of the logits,
so that anything else stands out. In bfloat16 it may be 6 % of SmolLM2's logits at some position,
and a whole layer that ignores its attention mask may make less than that in a small model. So
models in half precision are compared twice: as they are, within what rounding explains or what the
plain path itself differs by when the same input is padded otherwise; and run in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.inference.float32_pass import HALF, in_float32, runs_in_float32, working_precision
from bench.models.unwrap import unwrap

FLOAT32_LIMIT = 3e-4
"""Largest relative difference in float32: measured ones are 1e-7 to 3e-6, and that of a linear
attention which ignores the mask of a tree is 2e-3 or more."""

ROUNDINGS = 8
"""Relative difference that rounding explains in half precision, in steps of the dtype."""

ROUNDINGS_ALONE = 0.25
"""The same where a model cannot be run in float32 to tell rounding from errors."""

SPREADS = 3
"""A shortcut may differ by this many times what the plain path differs by at another padding."""

Run = Callable[[], Tensor]
"""Runs a model on a few examples and returns logits, `[..., vocabulary]`."""


@torch.no_grad()
def shortcut_agrees(
    model: nn.Module,
    shortcut: Run,
    plain: Run,
    *,
    again: Run | None = None,
    renew: Callable[[], None] | None = None,
) -> bool:
    """Return whether a shortcut gives the logits of the plain path, in any dtype.

    Args:
        model: The model that all functions run.
        shortcut: The optimization.
        plain: Plain code for the same input.
        again: Plain code for the same input at another padding or batch shape, which is run only
            if the shortcut differs by more than rounding usually does.
        renew: Computes anew, now in float32, what `shortcut` and `plain` take from earlier passes;
            None if that is nothing.
    """
    found = shortcut()
    expected, autocast = _watched(model, plain)
    precision = autocast or working_precision(model)
    decides = precision in HALF and not autocast and runs_in_float32(model)
    roundings = ROUNDINGS if decides else ROUNDINGS_ALONE
    if not logits_agree(found, expected, precision, again=again, roundings=roundings):
        return False
    if not decides:
        return True
    with in_float32(model):
        if renew is not None:
            renew()
        return logits_agree(shortcut(), plain(), torch.float32)


def logits_agree(
    found: Tensor,
    expected: Tensor,
    precision: torch.dtype | None = None,
    *,
    again: Run | None = None,
    roundings: float = ROUNDINGS,
) -> bool:
    """Return whether logits differ no more than a different order of summation explains.

    Args:
        found: Logits of the optimization, `[..., vocabulary]`.
        expected: Logits of plain code, with the same shape.
        precision: The dtype to which states inside the model are rounded; None: that of
            `expected`. Logits are float32 also where states are not.
        again: See `shortcut_agrees`; used in half precision.
        roundings: Steps of the dtype that may lie between them in half precision.
    """
    precision = precision or expected.dtype
    error = relative_difference(found, expected)
    if precision not in HALF:
        return error < FLOAT32_LIMIT
    if error <= roundings * torch.finfo(precision).eps:
        return True
    return again is not None and error <= SPREADS * relative_difference(again(), expected)


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Return how far logits are from others, as a share of their size; NaN if one of them is NaN.

    It is the larger of two shares: the root mean square of the difference at the worst position
    of that of all logits, and the largest difference of the largest logit. A constant added to the
    logits of a position does not count to their size, because it changes no probability.
    """
    found, expected = found.detach().float(), expected.detach().float()
    gap, size = found - expected, expected - expected.mean(-1, keepdim=True)
    worst = gap.square().mean(-1).max().sqrt()
    shares = torch.stack([worst / size.square().mean().sqrt(), gap.abs().max() / size.abs().max()])
    return 0.0 if torch.equal(found, expected) else float(shares.max())


def _watched(model: nn.Module, plain: Run) -> tuple[Tensor, torch.dtype | None]:
    """Run plain code; return also the dtype of autocast inside the model, None if it is off."""
    seen: list[torch.dtype] = []

    def watch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        kind = given[0].device.type
        if torch.is_autocast_enabled(kind):
            seen.append(torch.get_autocast_dtype(kind))

    find = getattr(unwrap(model), "get_output_embeddings", None)
    head = find() if find else None
    if head is None:
        return plain(), None
    with head.register_forward_pre_hook(watch):
        logits = plain()
    return logits, seen[0] if seen else None
