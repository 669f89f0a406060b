"""Find which layers of a model share an input, by watching one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.capabilities import takes

PROBE = 8
"""Tokens of the pass that is watched."""


@torch.no_grad()
def sharing_inputs(model: nn.Module, names: Sequence[str]) -> list[list[str]]:
    """Return the names of layers in groups that ran exactly once, on the same tensor.

    A layer that runs more than once, or not at all, is a group by itself.

    Args:
        model: The base, in evaluation mode.
        names: The names of the layers.
    """
    inputs: dict[str, list[Tensor]] = {name: [] for name in names}
    with ExitStack() as hooks:
        for name in names:

            def watch(_: nn.Module, given: Any, name: str = name) -> None:
                inputs[name].append(given[0])

            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(watch))
        device = next(model.parameters()).device
        tokens = torch.arange(1, PROBE + 1, device=device)[None]
        cached = {"use_cache": False} if takes(model, "use_cache") else {}
        model(input_ids=tokens, **cached)
    groups: dict[object, list[str]] = {}
    for name, given in inputs.items():
        groups.setdefault(id(given[0]) if len(given) == 1 else name, []).append(name)
    return list(groups.values())
