"""What a recipe decides before training: which facts, how strongly each, in which layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.evaluation.signals import BaseSignals
from methods.notes import KeptFactsNotes, Notes, TrainedNotes
from methods.parts import Filter, Placement, Weights
from methods.recipe import Recipe, part_name
from tasks.errors import UsageError

MEAN_TOLERANCE = 1e-6
"""How far the mean of the weights may be from 1."""


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
        UsageError: A part returns what its contract does not allow, or a placement names layers
            that the model lacks.
    """
    kept = torch.ones(len(signals.facts), dtype=torch.bool)
    if recipe.filter is not None:
        kept = recipe.filter.keep(signals, seed)
        _check_kept(recipe.filter, kept, len(signals.facts))
    weights, part = kept.double(), recipe.weights
    if part is not None:
        weights = part.weights(signals, kept, seed)
        _check_weights(part, weights, kept)
    layers = None
    if recipe.placement is not None:
        layers = recipe.placement.layers(signals, layer_count, seed)
        _check_layers(recipe.placement, layers, layer_count)

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
        renewed = part.weights(signals.now(model, kept), kept, seed)
        _check_weights(part, renewed, kept)
        return renewed[kept]

    return Decisions(kept, weights, layers, tuple(notes), reweigh if part else None)


def _check_kept(part: Filter, kept: object, facts: int) -> None:
    if not isinstance(kept, Tensor) or kept.dtype != torch.bool or kept.shape != (facts,):
        raise UsageError(
            f"filter '{part_name(part)}' returned {_described(kept)}: keep must return a bool "
            f"tensor [{facts}], one value per fact"
        )
    if not kept.any():
        raise UsageError(
            f"filter '{part_name(part)}' keeps none of the {facts} facts: it must keep at least one"
        )


def _check_weights(part: Weights, weights: object, kept: Tensor) -> None:
    floating = isinstance(weights, Tensor) and weights.is_floating_point()
    if not isinstance(weights, Tensor) or not floating or weights.shape != kept.shape:
        wrong = _described(weights)
    elif not weights.isfinite().all() or (weights < 0).any():
        wrong = "weights that are negative, NaN or infinite"
    elif abs((mean := float(weights[kept].double().mean())) - 1) > MEAN_TOLERANCE:
        wrong = f"weights of mean {mean:.6g}"
    else:
        return
    raise UsageError(
        f"weights '{part_name(part)}' returned {wrong}: they must be a float tensor "
        f"[{len(kept)}], finite and not negative, of mean 1 over the facts that are trained"
    )


def _check_layers(part: Placement, layers: object, count: int) -> None:
    right = isinstance(layers, tuple) and all(type(layer) is int for layer in layers)
    if not isinstance(layers, tuple) or not right:
        wrong = _described(layers)
    elif not layers or len({*layers}) < len(layers) or not {*layers} <= {*range(count)}:
        wrong = str(layers)
    else:
        return
    raise UsageError(
        f"placement '{part_name(part)}' returned {wrong}: layers must return a tuple of integers, "
        f"at least one index from 0 to {count - 1}, each once"
    )


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor {[*value.shape]}"
