"""The states of the tokens that all prompts begin with, computed only once.

These tokens are the demonstrations, which make up most of every prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import DynamicCache

from bench.inference.equivalence import logits_agree
from bench.inference.lm_head import last_logits
from bench.models.capabilities import has_virtual_tokens
from bench.optimizations import Optimization, decline, enabled

SHORTEST_PREFIX = 16
"""Fewest shared tokens for which keeping their states pays off."""


_FOUND: WeakKeyDictionary[nn.Module, tuple[int, bool]] = WeakKeyDictionary()
"""Whether cached states gave a model's logits, and the version of its trained weights then."""


class Prefix(NamedTuple):
    """Shared tokens and the model's states after them.

    Attributes:
        tokens: Number of shared tokens; 0 if nothing is shared.
        cache: Keys and values of one row; copied before use, because a forward pass extends it.
    """

    tokens: int
    cache: DynamicCache

    def expanded(self, rows: int) -> DynamicCache:
        """Return a copy of the states for a batch of `rows`."""
        cache = copy.deepcopy(self.cache)
        if self.tokens:
            cache.batch_repeat_interleave(rows)
        return cache


def shared_length(contexts: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all contexts have in common."""
    columns = zip(*contexts, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def usable_prefix(model: nn.Module, contexts: Sequence[Sequence[int]]) -> Prefix | None:
    """Return the states of the tokens that all contexts begin with.

    Args:
        model: A base or any adapted model, in evaluation mode.
        contexts: Token ids of every prompt.

    Returns:
        None if continuing from cached states does not give the model's logits, as with adapters
        that have virtual tokens or change attention, or if the optimization is off.
    """
    if has_virtual_tokens(model) or not enabled(Optimization.SHARED_PROMPT):
        return None
    try:
        prefix = run_prefix(model, contexts)
        same = _agrees(model, max(contexts, key=len), prefix)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        same = False
    if not same:
        decline(model, Optimization.SHARED_PROMPT)
        return None
    return prefix


def _agrees(model: nn.Module, context: Sequence[int], prefix: Prefix) -> bool:
    """Return the result of `states_agree`, computed again when a trained weight has changed."""
    # Private, tried with torch 2.13.0: counts in-place writes to a tensor, such as an optimizer's.
    version = sum(p._version for p in model.parameters() if p.requires_grad)
    known = _FOUND.get(model)
    if known is None or known[0] != version:
        known = _FOUND[model] = version, states_agree(model, context, prefix)
    return known[1]


@torch.no_grad()
def run_prefix(model: nn.Module, contexts: Sequence[Sequence[int]]) -> Prefix:
    """Return the states of the tokens that all contexts begin with, except their last token."""
    length = min(shared_length(contexts), *(len(context) - 1 for context in contexts))
    if length < SHORTEST_PREFIX:
        return Prefix(0, DynamicCache())
    tokens = torch.tensor([contexts[0][:length]], device=next(model.parameters()).device)
    cache = DynamicCache()
    last_logits(model, input_ids=tokens, past_key_values=cache, use_cache=True)
    return Prefix(length, cache)


@torch.no_grad()
def states_agree(model: nn.Module, context: Sequence[int], prefix: Prefix) -> bool:
    """Return whether continuing from cached states gives the logits of a whole forward pass.

    Adapters that change attention may ignore the states, which is found by measuring, not by name.

    Args:
        model: A base or any adapted model.
        context: Token ids of the prompt on which to check.
        prefix: What all prompts share; if that is nothing, half of the context is cached instead.
    """
    tokens = torch.tensor([list(context)], device=next(model.parameters()).device)
    cached = prefix.tokens or len(context) // 2
    cache = prefix.expanded(1)
    if not prefix.tokens:
        model(input_ids=tokens[:, :cached], past_key_values=cache, use_cache=True)
    found = last_logits(model, input_ids=tokens[:, cached:], past_key_values=cache)
    expected = last_logits(model, input_ids=tokens)
    return logits_agree(found, expected)
