"""Ways to get the same numbers sooner, each of which can be switched off to check that it does.

Some need what libraries do not promise to keep. This is all of it, in the whole program; look here
first when a new version of a library breaks something.

| private name | of | last tried with | where it is missing |
| --- | --- | --- | --- |
| `_lazy_clone` | torch | 2.13.0 | a borrowed base is a plain copy |
| `_C`, `_is_cow_tensor` | torch | 2.13.0 | values are compared instead |
| `_cdata` | torch, of a storage | 2.13.0 | the head is not packed |
| `_reorder_linear_weight` | torch, of oneDNN | 2.13.0 | the head is not packed |
| `_linear_pointwise` | torch, of oneDNN | 2.13.0 | the head is not packed |
| `_hf_hook` | accelerate, of a module | 1.15.0 | logits of a divided model are rounded |
| `_version` | torch, of a tensor | 2.13.0 | prompts are run whole |
| `_attn_implementation` | transformers, of a configuration | 5.23.0 | trees are tried anyway |
| `GGUFReader`, replaced | gguf | 0.19.0, transformers 5.23.0 | an error on first use of a model |
| `get_tensor_name_map`, replaced | gguf | 0.19.0, transformers 5.23.0 | the same |
| `np`, replaced in its reader | gguf | 0.19.0 | the same |
| `__init__` of `tqdm`, replaced | tqdm | 4.70.1 | progress bars are shown |
| `_yaml_loader` | lm_eval | 0.4.13 | the loader of older versions |
| `_filters` | lm_eval, of a task | 0.4.13 | an error in forgetting tasks |
| `_get_kasa_loss` | peft | 0.21.2 | the term is left out |
| `_get_monteclora_loss` | peft | 0.21.2 | the term is left out |
| `_temp_dir`, an option | ray | 2.60.0 | an error when a cluster starts |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from weakref import WeakKeyDictionary


class Optimization(StrEnum):
    """What is done in another way than the plain one, with the same numbers."""

    FUSED_PROJECTIONS = "fused_projections"
    """Low-rank projections of the same input run as one autograd step."""
    FROZEN_PREFIX = "frozen_prefix"
    """Layers below all that is trained run once for each fact, not once an epoch."""
    TOKEN_TREE = "token_tree"
    """Tokens that several facts of a training batch begin with run once for all of them."""
    SHARED_PROMPT = "shared_prompt"
    """Tokens that all prompts begin with run once, and a question once for all its choices."""
    KEPT_POSITIONS = "kept_positions"
    """The head runs where its logits are used, not on every token."""
    PACKED_HEAD = "packed_head"
    """The frozen head's weights are laid out once, not at every product."""
    BASE_STATES = "base_states"
    """The base's last hidden states on the texts of drift are kept for all cells of a model."""
    KEPT_BASE = "kept_base"
    """The base's answers and scores are measured by one process and kept for the others."""
    ONE_UPDATE = "one_update"
    """The optimizer updates all tensors in one call, not in a dozen calls each."""


_DECLINED: WeakKeyDictionary[object, set[Optimization]] = WeakKeyDictionary()


def decline(model: object, optimization: Optimization) -> None:
    """Note that an optimisation does not give a model's logits, so that it runs without it."""
    _DECLINED.setdefault(model, set()).add(optimization)


def declined(model: object) -> list[Optimization]:
    """Return the optimisations that a model runs without, though they could be meant for it."""
    return sorted(_DECLINED.get(model, ()), key=list(Optimization).index)


_OFF: ContextVar[frozenset[Optimization]] = ContextVar("optimizations_off", default=frozenset())


def enabled(optimization: Optimization) -> bool:
    """Return whether an optimisation may be used."""
    return optimization not in _OFF.get()


@contextmanager
def without(*optimizations: Optimization) -> Iterator[None]:
    """Switch some optimisations off within a block, or all of them where none is named."""
    token = _OFF.set(_OFF.get() | frozenset(optimizations or Optimization))
    try:
        yield
    finally:
        _OFF.reset(token)
