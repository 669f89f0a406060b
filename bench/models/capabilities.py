"""What a model can do, found by inspecting it, not by the name of its architecture."""

from __future__ import annotations

import inspect

from torch import nn

from bench.models.unwrap import unwrap

_DROPOUTS = ("attention_dropout", "attn_pdrop", "hidden_dropout", "resid_pdrop", "dropout")
"""The names of dropouts in configurations of transformers."""


def takes(model: nn.Module, option: str) -> bool:
    """Return whether a model's own forward pass, below any adapter, has a parameter `option`."""
    return option in inspect.signature(unwrap(model).forward).parameters


def takes_masks(model: nn.Module) -> bool:
    """Return whether attention can follow a mask of one's own, `[rows, heads, queries, keys]`.

    FlashAttention cannot: it would read the numbers as lengths, past the end of its memory.
    """
    # Private, tried with transformers 5.23.0; without it a comparison of logits decides alone.
    kind = getattr(getattr(unwrap(model), "config", None), "_attn_implementation", None)
    return "flash" not in str(kind)


def members_of(model: nn.Module) -> int:
    """Return how many adapted models run in one: 1, unless it is a stack of several."""
    return len(own_models(model))


def own_models(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the model of each member of a stack; for any other, the model itself."""
    alone: tuple[nn.Module, ...] = getattr(model, "alone", ())
    return alone or (model,)


def has_virtual_tokens(model: nn.Module) -> bool:
    """Return whether an adapter puts virtual tokens in front of every prompt."""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def drops_out(model: nn.Module) -> bool:
    """Return whether any dropout is active in training, of modules or inside attention."""
    modules = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    config = getattr(model, "config", None)
    return modules or any((getattr(config, name, 0) or 0) > 0 for name in _DROPOUTS)
