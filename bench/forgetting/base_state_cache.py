"""The input of the base's head on fixed texts, stored for all cells and workers of a model.

The head runs again for each cell, the layers below it do not. For SmolLM2-135M the head is a fifth
of a pass, and its input takes 4.7 MB for the texts of `drift`; the logits would take 403 MB, and
log-probabilities in half precision would not give the same divergence.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import safetensors.torch
import torch
from torch import Tensor, nn

from bench.models.loading import Base
from bench.optimizations import Optimization, enabled


class BaseStates:
    """States `[batch, seq, dim]` of each batch of texts from which the head gives the logits."""

    def __init__(self, states: Mapping[int, Tensor] | None = None) -> None:
        self._states = dict(states or {})

    @classmethod
    def unpacked(cls, packed: str, device: torch.device) -> BaseStates:
        """Return the states that another process has packed."""
        if not packed:
            return cls()
        tensors = safetensors.torch.load(base64.b64decode(packed))
        return cls({int(number): states.to(device) for number, states in tensors.items()})

    def packed(self) -> str:
        """Return all states as text; empty if there are none."""
        tensors = {str(number): states.cpu() for number, states in self._states.items()}
        return base64.b64encode(safetensors.torch.save(tensors)).decode() if tensors else ""

    def prepare(self, number: int, base: Base, run: Callable[[], Tensor]) -> None:
        """Run a pristine base if that saves running it later."""
        if _applies(base):
            self.logits(number, base, run)

    def logits(self, number: int, base: Base, run: Callable[[], Tensor]) -> Tensor:
        """Return a pristine base's logits on a batch of texts, bit for bit those of `run`.

        Args:
            number: The number of the batch, under which its states are stored.
            base: The base, always the same one.
            run: Runs the base on the batch.
        """
        if not _applies(base):
            return run()
        head = base.model.get_output_embeddings()
        if number in self._states:
            return self.again(head, self._states[number])
        given: list[Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            logits = run()
        finally:
            handle.remove()
        # Caps and scales behind the head, as in Gemma 2, are found by measuring, not by name.
        if len(given) == 1 and torch.equal(self.again(head, given[0]), logits):
            self._states[number] = given[0].clone()
        return logits

    def again(self, head: nn.Module, states: Tensor) -> Tensor:
        """Run the head alone."""
        logits: Tensor = head(states)
        return logits


def _applies(base: Base) -> bool:
    whole = base.model.get_output_embeddings() is not None and not base.is_divided
    return whole and enabled(Optimization.BASE_STATES)
