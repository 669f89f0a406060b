"""How much the answers rely on each layer: what they lose when its feed-forward part is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from methods.calibration import calibration_facts
from methods.signals import Signals, signal
from methods.targets import decoder_layers, feed_forward
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


NAME = "occlusion"


@signal(NAME)
def occlusion(signals: Signals, *, samples: int) -> Tensor:
    """Return how much the loss of the targets rises without each layer, float64 `[layers]`.

    The loss is the mean cross-entropy over the tokens of a target, in nats, and over facts. Skipped
    is the feed-forward part of one layer, whose output is replaced by its input: the normed state,
    where a layer norms what it feeds forward. **exact** for one token; both means are ours.

    Args:
        signals: The untouched base, and the facts.
        samples: At most so many of the facts, chosen by a fixed hash.

    Raises:
        UsageError: A decoder layer has no feed-forward part that is a module.
    """
    import torch

    facts = calibration_facts(signals.facts, samples)
    parts = [feed_forward(layer) for layer in decoder_layers(signals.model)[1]]
    if None in parts:
        raise UsageError(
            f"occlusion: layer {parts.index(None) + 1} of {type(signals.model).__name__} has no "
            "feed-forward module to skip; use freeze or window"
        )
    present = signals.target_losses(facts).mean()
    found = []
    for part in parts:
        with _skipped(part):
            found.append(signals.target_losses(facts).mean())
    return torch.stack(found) - present


@contextmanager
def _skipped(part: Any) -> Iterator[None]:
    """Let a module return what it is given."""

    def given(_: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:
        if len(inputs) > 1:  # as of Bloom, which adds the residual inside
            raise UsageError(
                f"occlusion: {type(part).__name__} is not given the states alone, so that skipping "
                "it is not leaving it out; use freeze or window"
            )
        # Experts return what their router chose beside the states.
        return (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]

    handle = part.register_forward_hook(given)
    try:
        yield
    finally:
        handle.remove()
