"""What a recipe decides before training: which facts, how strongly each, in which layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.evaluation.signals import BaseSignals
from methods.recipe import Recipe
from tasks.errors import UsageError


@dataclass(frozen=True)
class Decisions:
    """The choices of a recipe's placement and strategies for one cell.

    Attributes:
        kept: The facts to train, bool `[facts]`.
        weights: Weight of each fact in the loss, float64 `[facts]`, of mean 1 over the kept.
        layers: Decoder layers to train, from 0; None for all.
        notes: What the parts recorded about their choices, plain JSON; lines for people
            under `warnings`.
        reweigh: What `TrainingPlan.reweigh` is to be.
    """

    kept: Tensor
    weights: Tensor
    layers: tuple[int, ...] | None
    notes: dict[str, Any]
    reweigh: Callable[[nn.Module, int], Tensor | None] | None

    @property
    def chosen(self) -> list[int]:
        """Indices of the kept facts."""
        return self.kept.nonzero().flatten().tolist()


def decide(recipe: Recipe, signals: BaseSignals, layer_count: int, seed: int) -> Decisions:
    """Let the parts of a recipe choose, on what the pristine base knows.

    Raises:
        UsageError: A filter keeps nothing, a placement names layers that the model lacks.
    """
    kept = _kept(recipe, signals, seed)
    weights = _weights(recipe, signals, kept, seed)
    layers = _layers(recipe, signals, layer_count, seed)
    trained = {"layers": layers and list(layers), "layer_count": layer_count}
    notes: list[dict[str, Any]] = [{"kept": int(kept.sum()), **trained}]
    if recipe.placement is not None and layers is not None:
        notes.append(recipe.placement.notes(signals, layers))
    if recipe.filter is not None:
        kept_ids = [fact.id for fact, keep in zip(signals.facts, kept, strict=True) if keep]
        notes += [{"kept_facts": kept_ids}, recipe.filter.notes(signals, kept)]
    if recipe.weights is not None:
        notes.append(recipe.weights.notes(signals, weights))
    reweigh = _reweigh(recipe, signals, kept, seed)
    return Decisions(kept, weights, layers, merged_notes(*notes), reweigh)


def merged_notes(*notes: dict[str, Any]) -> dict[str, Any]:
    """Put the notes of several parts into one, their warnings behind each other."""
    merged = {key: value for part in notes for key, value in part.items()}
    merged["warnings"] = [str(line) for part in notes for line in part.get("warnings", [])]
    return merged


def _kept(recipe: Recipe, signals: BaseSignals, seed: int) -> Tensor:
    if recipe.filter is None:
        return torch.ones(len(signals.facts), dtype=torch.bool)
    kept = recipe.filter.keep(signals, seed)
    if not kept.any():
        raise UsageError(f"the filter of {recipe.name} keeps none of {len(kept)} facts")
    return kept


def _weights(recipe: Recipe, signals: BaseSignals, kept: Tensor, seed: int) -> Tensor:
    if recipe.weights is None:
        return kept.double()
    return recipe.weights.weights(signals, kept, seed)


def _layers(recipe: Recipe, signals: BaseSignals, count: int, seed: int) -> tuple[int, ...] | None:
    return recipe.placement.layers(signals, count, seed) if recipe.placement else None


def _reweigh(
    recipe: Recipe, signals: BaseSignals, kept: Tensor, seed: int
) -> Callable[[nn.Module, int], Tensor | None] | None:
    part = recipe.weights
    if part is None:
        return None

    def reweigh(model: nn.Module, epoch: int) -> Tensor | None:
        if not part.refreshed(epoch):
            return None
        return part.weights(signals.now(model, kept), kept, seed)[kept]

    return reweigh
