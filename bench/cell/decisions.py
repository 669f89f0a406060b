"""What a recipe decides before training: which facts, how strongly each, in which layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.evaluation.signals import BaseSignals
from bench.failures import shortened
from methods.notes import KeptFactsNotes, Notes, TrainedNotes
from methods.parts import Part, Weights
from methods.recipe import Recipe, part_name
from methods.signals import Signals
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
    count = len(signals.facts)
    kept = torch.ones(count, dtype=torch.bool)
    if recipe.filter is not None:
        kept = recipe.filter.keep(signals, seed)
        mask = isinstance(kept, Tensor) and kept.dtype == torch.bool and kept.shape == (count,)
        contract = f"keep returns a bool tensor [{count}] with at least one fact to train"
        refuse_unless(recipe.filter, kept, mask and bool(kept.any()), contract)
    own = _own_weights(signals, kept)
    weights, part = own.clone(), recipe.weights
    if part is not None:
        weights = _joined(own, _weights(part, signals, kept, seed), kept)
    layers = None
    if recipe.placement is not None:
        layers = recipe.placement.layers(signals, layer_count, seed)
        whole = isinstance(layers, tuple) and all(type(layer) is int for layer in layers)
        distinct = whole and 0 < len({*layers} & {*range(layer_count)}) == len(layers)
        contract = f"layers returns a tuple of distinct integers from 0 to {layer_count - 1}"
        refuse_unless(recipe.placement, layers, distinct, f"{contract}, at least one")

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
        found = _weights(part, signals.now(model, kept), kept, seed)
        return _joined(own, found, kept)[kept]

    return Decisions(kept, weights, layers, tuple(notes), reweigh if part else None)


def _own_weights(signals: BaseSignals, kept: Tensor) -> Tensor:
    """Return the weights that the task gives to facts, of mean 1 over the kept, `[facts]`."""
    given = [fact.weight for fact in signals.facts]
    if {*given} == {1.0}:
        return kept.double()
    weights = torch.tensor(given, dtype=torch.float64) * kept
    return weights / weights[kept].mean()


def _joined(own: Tensor, found: Tensor, kept: Tensor) -> Tensor:
    """Return a strategy's weights times the task's own, of mean 1 over the kept, `[facts]`."""
    if bool((own[kept] == 1).all()):
        return found
    weights = own * found.double()
    return weights / weights[kept].mean()


def _weights(part: Weights, signals: Signals, kept: Tensor, seed: int) -> Tensor:
    weights = part.weights(signals, kept, seed)
    fit = isinstance(weights, Tensor) and weights.is_floating_point()
    fit = fit and weights.shape == kept.shape and bool((weights.isfinite() & (weights >= 0)).all())
    fit = fit and abs(float(weights[kept].double().mean()) - 1) <= MEAN_TOLERANCE
    contract = f"weights returns a float tensor [{len(kept)}], finite and not negative"
    refuse_unless(part, weights, fit, f"{contract}, of mean 1 over the facts that are trained")
    return weights


def refuse_unless(part: Part, returned: object, right: bool, contract: str) -> None:
    """Raise `UsageError` unless a part returned what its contract allows.

    Args:
        part: The part.
        returned: What it returned.
        right: Whether that is allowed.
        contract: The contract in words.
    """
    if not right:
        raise UsageError(f"'{part_name(part)}' returned {shortened(returned)}: {contract}")
