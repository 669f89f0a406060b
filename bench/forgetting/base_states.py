"""What the base's head is given on fixed texts, kept over the cells of a model.

The head runs again for each cell, the layers below it do not. Of SmolLM2-135M that is a fifth of
a pass, and 4.7 MB for the texts of `drift`; their logits would be 403 MB, and log-probabilities
in half precision would not give the same divergence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench.device_map import is_divided
from bench.shortcuts import Shortcut, enabled


class BaseStates:
    """States `[batch, seq, dim]` of each batch of texts, where the head alone gives its logits."""

    def __init__(self) -> None:
        self._states: dict[int, Tensor] = {}

    def logits(self, number: int, model: Any, run: Callable[[], Tensor]) -> Tensor:
        """Return a pristine base's logits on a batch of texts, bit for bit those of `run`.

        Args:
            number: Of the batch.
            model: The base, always the same one.
            run: Runs it on the batch.
        """
        head = model.get_output_embeddings()
        if head is None or is_divided(model) or not enabled(Shortcut.BASE_STATES):
            return run()
        if number in self._states:
            return self.again(head, self._states[number])
        logits, states = _watched(head, run)
        # Caps and scales behind the head, as in Gemma 2, are found by measuring, not by name.
        if states is not None and torch.equal(self.again(head, states), logits):
            self._states[number] = states.clone()
        return logits

    def again(self, head: nn.Module, states: Tensor) -> Tensor:
        """Run the head alone."""
        logits: Tensor = head(states)
        return logits


def _watched(head: nn.Module, run: Callable[[], Tensor]) -> tuple[Tensor, Tensor | None]:
    """Run a model once; return its logits and what its head was given, if it was called once."""
    given: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        logits = run()
    finally:
        handle.remove()
    return logits, given[0] if len(given) == 1 else None
