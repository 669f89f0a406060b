"""A model that runs the adapters of N members on one base at once.

It is a copy of the base's module tree that shares all weights, so everything that takes a base
takes it: `generate`, caches, hidden states, logits at chosen positions. Its rows belong to members
in order, equally many to each: rows n R to (n + 1) R - 1 are those of member n.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from torch import nn

from bench.stacking.check import check_stack
from bench.stacking.layers import is_dense, low_rank_layers, why_not_stacked
from bench.stacking.layout import Target, layout_of
from bench.stacking.parameters import StackedParameters, stacked_parameters
from bench.stacking.projection import SharedInput, StackedLinear
from bench.stacking.sharing import sharing_inputs
from methods.targets import weight_of
from tasks.errors import UsageError


class StackedModel(nn.Module):
    """What a stacked model has beyond the class of its base.

    Attributes:
        members: How many members it runs.
        alone: Each member's own model, whose A, B and m are views of the stack.
        stack: The trained numbers of all members.
    """

    members: int
    alone: tuple[nn.Module, ...]
    stack: StackedParameters
    _made_from: tuple[nn.Module]

    def subset(self, indices: Sequence[int]) -> StackedModel:
        """Return a stacked model of some members, in this order, with a copy of their numbers.

        It is for asking: training it would not train the members' own models.
        """
        some = tuple(self.alone[index] for index in indices)
        return _assemble(self._made_from[0], self.stack.subset(indices), some)


def stack_models(base_model: nn.Module, models: Sequence[nn.Module]) -> StackedModel:
    """Return a model that runs several adapted models at once.

    Their trained weights become views of the stack, and stay trained by it; each model goes on
    giving its own answers.

    Args:
        base_model: The base that all of them have borrowed, in evaluation mode.
        models: Models of `why_alone(...) == ""`, at least one, in evaluation mode.

    Raises:
        UsageError: A model cannot be stacked, or the stack would not give its logits.
    """
    if not models:
        raise UsageError("nothing to stack: give at least one model")
    for number, model in enumerate(models):
        if reason := why_not_stacked(model):
            raise UsageError(f"model {number} of {len(models)} cannot be stacked: {reason}")
    members = [low_rank_layers(model) for model in models]
    names = list(dict.fromkeys(name for layers in members for name in layers))
    sizes = {n: (len(x.B), x.A.shape[1]) for layers in members for n, x in layers.items()}
    groups = [
        [Target(name, *sizes[name]) for name in group]
        for group in sharing_inputs(base_model, names)
    ]
    every = [layer for layers in members for layer in layers.values()]
    has_m = any(layer.magnitude is not None for layer in every)
    layout = layout_of(groups, max(layer.rank for layer in every), has_m)
    first = next(base_model.parameters())
    weights = {
        name: weight_of(layer)
        for name in names
        if is_dense(layer := base_model.get_submodule(name))
    }
    parameters = stacked_parameters(layout, members, weights, first.dtype, first.device)
    stacked = _assemble(base_model, parameters, tuple(models))
    check_stack(stacked, base_model)
    return stacked


def _assemble(
    base_model: nn.Module, parameters: StackedParameters, alone: tuple[nn.Module, ...]
) -> StackedModel:
    """Return a copy of the base whose adapted layers are those of the parameters."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in base_model.parameters()}
    model: Any = copy.deepcopy(base_model, memo)
    for targets in parameters.layout.groups:
        bases = [model.get_submodule(target.name) for target in targets]
        group = SharedInput(targets, bases, parameters)
        for number, (target, base) in enumerate(zip(targets, bases, strict=True)):
            model.set_submodule(target.name, StackedLinear(base, group, number))
    kind: type[nn.Module] = type(model)
    model.__class__ = _stacked_class(kind)  # type: ignore[arg-type]
    model.stack = parameters  # last, so that the model's first parameter is still the base's
    model.members, model.alone = parameters.members, alone
    model._made_from = (base_model,)  # in a tuple: not a part of this model
    return cast("StackedModel", model.eval())


@cache
def _stacked_class(base: type[nn.Module]) -> type[nn.Module]:
    """Return a class with the name of the base's, by which transformers keeps tables."""
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base.__name__, (StackedModel, base), names)
