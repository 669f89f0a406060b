"""Ways to get the same numbers sooner, each of which can be switched off to check that it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum


class Optimization(StrEnum):
    """What is done in another way than the plain one."""

    FUSED_PROJECTIONS = "fused_projections"
    """Low-rank projections of one input are one autograd step."""
    FROZEN_PREFIX = "frozen_prefix"
    """Layers below all that is trained run once for each fact, not once an epoch."""
    TOKEN_TREE = "token_tree"
    """What the facts of a training batch begin with alike runs once for all of them."""
    SHARED_PROMPT = "shared_prompt"
    """What prompts begin with runs once for all of them, a question once for all its choices."""
    KEPT_POSITIONS = "kept_positions"
    """The head runs where its logits are used, not on every token."""
    PACKED_HEAD = "packed_head"
    """The frozen head's weights are laid out once, not at every product."""
    BASE_STATES = "base_states"
    """What the base's head is given on the texts of drift is kept over the cells of a model."""
    KEPT_BASE = "kept_base"
    """What the base answers and scores is measured by one process and kept for the others."""
    ONE_UPDATE = "one_update"
    """The optimizer updates all tensors in one call, not in a dozen calls each."""


_OFF: ContextVar[frozenset[Optimization]] = ContextVar("shortcuts_off", default=frozenset())


def enabled(shortcut: Optimization) -> bool:
    """Return whether a shortcut may be taken."""
    return shortcut not in _OFF.get()


@contextmanager
def without(*shortcuts: Optimization) -> Iterator[None]:
    """Take the plain way instead of these shortcuts, of all when none is named."""
    token = _OFF.set(_OFF.get() | frozenset(shortcuts or Optimization))
    try:
        yield
    finally:
        _OFF.reset(token)
