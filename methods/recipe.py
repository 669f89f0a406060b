"""Recipes: `lora`, `corda[mode=ipm,r=32]`, `pissa+filter[rho=0.2]+reweight[tau=0.5]`.

A recipe is an adapter and at most one part of each other kind, joined by `+` in any order: one
placement, filter, weighting, order, replay and penalty. Without an adapter it means `lora`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from methods.identity import code_digest
from methods.parts import (
    ADAPTERS,
    PLACEMENTS,
    STRATEGIES,
    Adapter,
    Filter,
    Part,
    Placement,
    Weights,
)
from methods.training_parts import Order, Penalty, Replay
from tasks.errors import UsageError, nearest
from tasks.notation import (
    build_part,
    canonical,
    change_part,
    parse_part,
    split_outside_brackets,
)

DEFAULT_ADAPTER = "lora"


@dataclass(frozen=True)
class Recipe:
    """A method: how weights change, where, what is learned, how strongly, and beside what.

    Attributes:
        adapter: How weights are changed.
        placement: Which layers are changed; None changes all.
        filter: Which facts are trained; None trains all.
        weights: How strongly each fact is learned; None weights all equally.
        order: In which order facts are trained; None shuffles them.
        replay: What is trained beside the facts; None for nothing.
        penalty: What is added to the loss; None for nothing.
    """

    adapter: Adapter
    placement: Placement | None = None
    filter: Filter | None = None
    weights: Weights | None = None
    order: Order | None = None
    replay: Replay | None = None
    penalty: Penalty | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order they are written, that of the attributes."""
        present = (getattr(self, field.name) for field in fields(self))
        return tuple(part for part in present if part is not None)

    @cached_property
    def name(self) -> str:
        """The recipe as people write it: only parameters that differ from their defaults."""
        return "+".join(canonical(part, part_name(part), defaults=False) for part in self.parts)

    @cached_property
    def full_name(self) -> str:
        """The recipe with every parameter, for the cell's identity."""
        return "+".join(canonical(part, part_name(part), defaults=True) for part in self.parts)

    @cached_property
    def source_digest(self) -> str:
        """Digest of the code behind the parts and of the files that parameters name."""
        digest = hashlib.sha256(code_digest(self.parts).encode())
        for path in self.adapter.files():
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def with_parameters(self, written: Mapping[str, str]) -> Recipe:
        """Return the recipe with other parameter values, set in every part that has them.

        Raises:
            UsageError: A value has the wrong type or can never work.
        """
        changed = {
            field.name: change_part(part, part_name(part), written)
            for field in fields(self)
            if (part := getattr(self, field.name)) is not None
        }
        recipe = replace(self, **changed)
        _check(recipe)
        return recipe


def parse_recipes(texts: Sequence[str]) -> tuple[Recipe, ...]:
    """Read comma-separated lists of recipes; a recipe that is repeated counts once.

    Raises:
        UsageError: A part or parameter is unknown, two parts are of the same kind, or the parts do
            not work together.
    """
    written = [piece for text in texts for piece in split_outside_brackets(text, ",")]
    if not any(written):
        raise UsageError("no method is given: write, for example, --methods lora,corda")
    recipes = [parse_recipe(piece) for piece in written if piece]
    return tuple({recipe.full_name: recipe for recipe in recipes}.values())


def parse_recipe(text: str) -> Recipe:
    """Read one recipe, such as `corda[r=8]+freeze`."""
    chosen: dict[str, Part] = {}
    for written in split_outside_brackets(text, "+"):
        name, parameters = parse_part(written)
        part = build_part(_class_of(name), name, parameters)
        kind = _kind_of(part)
        if kind in chosen:
            both = f"{part_name(chosen[kind])} and {name}"
            raise UsageError(f"'{text}' has two parts of the same kind ({kind}): {both}; keep one")
        chosen[kind] = part
    if "adapter" not in chosen:
        chosen["adapter"] = ADAPTERS[DEFAULT_ADAPTER]()
    recipe = Recipe(**chosen)  # type: ignore[arg-type]
    _check(recipe)
    return recipe


def part_name(part: Part) -> str:
    """Return the name under which a part is registered."""
    if isinstance(part, Adapter):
        return ADAPTERS.name_of(type(part))
    if isinstance(part, Placement):
        return PLACEMENTS.name_of(type(part))
    return STRATEGIES.name_of(type(part))


def _class_of(name: str) -> type[Part]:
    for registry in (ADAPTERS, PLACEMENTS, STRATEGIES):
        if name in registry:
            return registry[name]
    known = [*ADAPTERS.names(), *PLACEMENTS.names(), *STRATEGIES.names()]
    close = nearest(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"unknown method part '{name}': {hint}")


_KINDS: dict[str, type[Part]] = {
    "adapter": Adapter,
    "placement": Placement,
    "filter": Filter,
    "weights": Weights,
    "order": Order,
    "replay": Replay,
    "penalty": Penalty,
}
"""The kinds of parts by the name of their place in a recipe."""


def _kind_of(part: Part) -> str:
    return next(name for name, kind in _KINDS.items() if isinstance(part, kind))


def _check(recipe: Recipe) -> None:
    if recipe.placement is not None and not recipe.adapter.per_layer:
        raise UsageError(
            f"'{recipe.name}' cannot work: {part_name(recipe.adapter)} has no modules in the "
            "decoder layers for a placement to choose from"
        )
    for part in recipe.parts:
        part.check()
