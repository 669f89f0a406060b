"""How many of a model's weights adapters on its linear layers reach, told where they are few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.notes import Notes, note
from methods.targets import decoder_layers, linear_layers, size_of, unreachable

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

FEW = 0.75
"""Below this share of the weights of the decoder layers a cell is told what adapters miss."""

EXPERTS = "experts are not linear layers"


@dataclass(frozen=True)
class ReachNotes(Notes):
    """What adapters on linear layers can change.

    Attributes:
        reached: The share of the decoder layers' weights that lie in linear layers.
    """

    reached: float | None = note()


def reach_notes(
    model: PreTrainedModel, layers: Sequence[int] | None, adapted: nn.Module
) -> tuple[ReachNotes, ...]:
    """Return how much of the decoder layers an adapter reaches; nothing where that is most of it.

    Args:
        model: The base.
        layers: Indices of the trained decoder layers, from 0; None for all.
        adapted: The base with its adapter; other than PEFT's adapters on linear layers reach all.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not any(isinstance(module, BaseTunerLayer) for module in adapted.modules()):
        return ()
    share, missed = reached_share(model, layers)
    if share >= FEW:
        return ()
    line = f"adapters reach {share:.0%} of the weights of the decoder layers: {missed}"
    return (ReachNotes(reached=share, warnings=(line,)),)


def reached_share(model: PreTrainedModel, layers: Sequence[int] | None = None) -> tuple[float, str]:
    """Return which share of the decoder layers' weights adapters reach, and what they mostly miss.

    Vectors (norms, biases) do not count.

    Args:
        model: The base.
        layers: Indices of the decoder layers, from 0; None for all.
    """
    name, modules = decoder_layers(model)
    chosen = range(len(modules)) if layers is None else layers
    inside = tuple(f"{name}.{layer}." for layer in chosen)
    reached = {f"{target}.weight" for target, _ in linear_layers(model, layers)}
    out_of_reach, count, missed = unreachable(model), 0, Counter[str]()
    for key, weight in model.named_parameters():
        if weight.dim() < 2 or not key.startswith(inside):
            continue
        count += size_of(weight)
        if key not in reached:
            why = "they are not in linear layers" if weight.dim() == 2 else EXPERTS
            missed[out_of_reach.get(key.removesuffix(".weight"), why)] += size_of(weight)
    most = missed.most_common(1)
    return 1 - missed.total() / count, most[0][0] if most else ""
