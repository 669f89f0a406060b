"""What a recipe decides before training: which facts, how strongly each, in which layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.evaluation.signals import BaseSignals
from methods.notes import KeptFactsNotes, Notes, TrainedNotes
from methods.recipe import Recipe
from tasks.errors import UsageError


@dataclass(frozen=True)
class Decisions:
    """The choices of a recipe's placement and strategies for one cell.

    Attributes:
        kept: The facts to train, bool `[facts]`.
        weights: Weight of each fact in the loss, float64 `[facts]`, of mean 1 over the kept.
        layers: Decoder layers to train, from 0; None for all.
        notes: What the parts recorded about their choices.
        reweigh: The value of `TrainingPlan.reweigh`.
    """

    kept: Tensor
    weights: Tensor
    layers: tuple[int, ...] | None
    notes: tuple[Notes, ...]
    reweigh: Callable[[nn.Module, int], Tensor | None] | None

    @property
    def chosen(self) -> list[int]:
        """Indices of the kept facts."""
        return self.kept.nonzero().flatten().tolist()


def decide(recipe: Recipe, signals: BaseSignals, layer_count: int, seed: int) -> Decisions:
    """Let the parts of a recipe decide, based on what the pristine base knows.

    Args:
        recipe: The method.
        signals: What the base knows of the facts.
        layer_count: How many decoder layers the model has.
        seed: The cell's seed, for parts that draw.

    Raises:
        UsageError: A filter keeps no facts, or a placement names layers that the model lacks.
    """
    kept = torch.ones(len(signals.facts), dtype=torch.bool)
    if recipe.filter is not None:
        kept = recipe.filter.keep(signals, seed)
        if not kept.any():
            raise UsageError(f"the filter of {recipe.name} keeps none of the {len(kept)} facts")
    weights, part = kept.double(), recipe.weights
    if part is not None:
        weights = part.weights(signals, kept, seed)
    layers = recipe.placement.layers(signals, layer_count, seed) if recipe.placement else None

    notes: list[Notes] = [TrainedNotes(int(kept.sum()), layers, layer_count)]
    if recipe.placement is not None and layers is not None:
        notes += recipe.placement.notes(signals, layers)
    if recipe.filter is not None:
        kept_ids = [fact.id for fact, keep in zip(signals.facts, kept, strict=True) if keep]
        notes += [KeptFactsNotes(tuple(kept_ids)), *recipe.filter.notes(signals, kept)]
    if part is not None:
        notes += part.notes(signals, weights)

    def reweigh(model: nn.Module, epoch: int) -> Tensor | None:
        if part is None or not part.refreshed(epoch):
            return None
        return part.weights(signals.now(model, kept), kept, seed)[kept]

    return Decisions(kept, weights, layers, tuple(notes), reweigh if part else None)
