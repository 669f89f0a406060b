"""How many rows a model is asked at once: a fixed number on a CPU, by free memory on a GPU.

On a CPU larger batches save nothing, and the last digits of committed numbers rest on their shape.
On a GPU a batch of a few short rows leaves the device idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from bench.models.capabilities import members_of
from bench.models.unwrap import unwrap

ROWS_ON_CPU = 32
"""Rows of a batch on a CPU."""

MOST_ROWS = 2048
"""Most rows of a batch on a GPU, of all members together: more are no faster."""

RESERVE = 2**30
"""Bytes of a GPU that are left alone: workspaces of its libraries, and fragments."""

LOGITS_ON_CPU = 2**27
"""Bounds [rows, kept, vocabulary] of several members on a CPU: 512 MB in float32."""

COPIES = 4
"""How often logits exist at once: as they are, their log-softmax, and what is computed of it."""

_PARTS: ContextVar[int] = ContextVar("parts_of_a_batch", default=1)


@contextmanager
def halved() -> Iterator[None]:
    """Ask in batches of half the size within a block, as after running out of memory."""
    token = _PARTS.set(2 * _PARTS.get())
    try:
        yield
    finally:
        _PARTS.reset(token)


def rows_at_once(
    model: nn.Module, *, on_cpu: int = ROWS_ON_CPU, width: int = 512, kept: int = 1
) -> int:
    """Return how many rows of each member to run in one forward pass, at least 1.

    Args:
        model: A base, an adapted model or several stacked ones.
        on_cpu: The number of rows on a CPU.
        width: Tokens of a row, with those whose states are kept.
        kept: Positions of a row whose logits are needed.
    """
    members, device = members_of(model), next(model.parameters()).device
    if device.type == "cuda":
        fitting = _free_bytes(device) // _bytes_per_row(model, width, kept)
        rows = min(MOST_ROWS, fitting) // members
    elif members > 1:
        rows = min(on_cpu, LOGITS_ON_CPU // (members * kept * _size(model, "vocab_size")))
    else:
        rows = on_cpu
    return max(1, rows // _PARTS.get())


def _free_bytes(device: torch.device) -> int:
    """Return what can still be allocated on a GPU, with what torch holds without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(0, free + held - RESERVE)


def _bytes_per_row(model: nn.Module, width: int, kept: int) -> int:
    """Return what one row takes: its states of one layer, keys and values, mask and logits."""
    hidden, layers = _size(model, "hidden_size"), _size(model, "num_hidden_layers")
    heads = _size(model, "num_attention_heads")
    head_dim = _size(model, "head_dim") or hidden // max(1, heads)
    cached = 2 * layers * (_size(model, "num_key_value_heads") or heads) * head_dim
    # In and out of a layer's products; the inner width of the MLP twice, for a gated one.
    of_layer = 8 * hidden + 3 * (_size(model, "intermediate_size") or 4 * hidden)
    itemsize = next(model.parameters()).element_size()
    # Keys and values grow by copying, those of one layer at a time.
    states = (of_layer + cached + cached // max(1, layers)) * width * itemsize
    mask = width * width * itemsize
    logits = COPIES * kept * _size(model, "vocab_size") * 4
    return max(1, states + mask + logits)


def _size(model: nn.Module, name: str) -> int:
    """Return a size from the configuration of a model's text part, 0 if it has none."""
    config: Any = unwrap(model).config
    return int(getattr(config.get_text_config(), name, 0) or 0)
