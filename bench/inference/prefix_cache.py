"""The states of the tokens that all prompts begin with, computed only once.

These tokens are the demonstrations, which make up most of every prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from bench import failures
from bench.inference.encoding import PADDING
from bench.inference.equivalence import shortcut_agrees
from bench.inference.lm_head import last_logits
from bench.models.capabilities import has_virtual_tokens, members_of, own_models
from bench.optimizations import Optimization, decline, enabled

SHORTEST_PREFIX = 16
"""Fewest shared tokens for which keeping their states pays off."""


_FOUND: WeakKeyDictionary[nn.Module, tuple[int, bool]] = WeakKeyDictionary()
"""Whether cached states gave a model's logits, and the version of its trained weights then."""


class Prefix(NamedTuple):
    """Shared tokens and the model's states after them.

    Attributes:
        tokens: Number of shared tokens; 0 if nothing is shared.
        cache: Keys and values of one row for each member; copied before use, because a forward
            pass extends it.
        ids: The shared tokens themselves.
    """

    tokens: int
    cache: DynamicCache
    ids: tuple[int, ...] = ()

    def expanded(self, rows: int) -> DynamicCache:
        """Return a copy of the states for a batch with `rows` of each member."""
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
    # A stack holds its weights in another form; what holds for one member holds for all.
    judged = own_models(model)[0]
    try:
        prefix = run_prefix(judged, contexts)
        same = _agrees(judged, max(contexts, key=len), prefix)
        if same and judged is not model:
            prefix = run_tokens(model, prefix.ids)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        failures.raise_device_errors(error)
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
    return run_tokens(model, contexts[0][: length if length >= SHORTEST_PREFIX else 0])


@torch.no_grad()
def run_tokens(model: nn.Module, ids: Sequence[int]) -> Prefix:
    """Return the states of a model, or of each member, after some tokens, which may be none."""
    cache = DynamicCache()
    if ids:
        device = next(model.parameters()).device
        tokens = torch.tensor([list(ids)] * members_of(model), device=device)
        last_logits(model, input_ids=tokens, past_key_values=cache, use_cache=True)
    return Prefix(len(ids), cache, tuple(ids))


@torch.no_grad()
def states_agree(model: nn.Module, context: Sequence[int], prefix: Prefix) -> bool:
    """Return whether continuing from cached states gives the logits of a whole forward pass.

    Adapters that change attention may ignore the states, which is found by measuring, not by name.

    Args:
        model: A base or any adapted model.
        context: Token ids of the prompt on which to check.
        prefix: What all prompts share; if that is nothing, half of the context is cached instead.
    """
    states = prefix if prefix.tokens else run_tokens(model, context[: len(context) // 2])
    tokens = torch.tensor([list(context)], device=next(model.parameters()).device)

    def continued() -> Tensor:
        rest = tokens[:, states.tokens :]
        return last_logits(model, input_ids=rest, past_key_values=states.expanded(1))

    def again() -> Tensor:
        rows = functional.pad(tokens.repeat(2, 1), (PADDING, 0))
        mask = functional.pad(torch.ones_like(tokens), (PADDING, 0)).repeat(2, 1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return last_logits(model, input_ids=rows, attention_mask=mask, position_ids=positions)[:1]

    def renew() -> None:
        nonlocal states
        states = run_tokens(model, states.ids)

    whole = partial(last_logits, model, input_ids=tokens)
    return shortcut_agrees(model, continued, whole, again=again, renew=renew)
