"""The rows of the placement study, and which layers each of them trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.report.leaderboard.board import Row, Section
from methods.notes import layer_ranges
from methods.placement.depth import Depth
from methods.placement.freeze import Freeze
from methods.placement.occlusion import Occlusion
from methods.placement.random_cut import RandomCut
from methods.placement.window import Window
from methods.recipe import Recipe, parse_recipe
from methods.targets import Modules


class Kind(StrEnum):
    """The kinds of rows, in the order of the table."""

    CUT = "cut"
    WINDOW = "window"
    DEPTH = "depth"
    FREEZE = "freeze"
    RANDOM = "random cut"
    OCCLUSION = "occlusion"
    MODULES = "modules"


@dataclass(frozen=True)
class Placed:
    """A row with the layers that it trained.

    Attributes:
        row: The row of the leaderboard.
        kind: Its kind of placement.
        chosen: The trained layers, from 1, of each finished cell; without repeats.
        gain: The gain that `freeze` uses; empty for other kinds.
        stability: The share of bootstrap draws that agree with the cut of `freeze`.
    """

    row: Row
    kind: Kind
    chosen: tuple[tuple[int, ...], ...]
    gain: str
    stability: float | None

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The first and last trained layer of each finished cell; without repeats."""
        return tuple(sorted({(layers[0], layers[-1]) for layers in self.chosen}))

    @property
    def layers(self) -> str | None:
        """The trained layers in words; None if no cell is finished."""
        written = [
            f"{layers[0]}-{layers[-1]}"
            if len(layers) == layers[-1] - layers[0] + 1
            else layer_ranges(layer - 1 for layer in layers)
            for layers in self.chosen
        ]
        return ", ".join(written) or None

    @property
    def trained(self) -> int | None:
        """How many layers were trained; None if cells differ or none is finished."""
        return len(self.chosen[0]) if len(self.chosen) == 1 else None

    @property
    def cut(self) -> int | None:
        """Frozen layers below the trained ones; None for other kinds, or if cells differ."""
        if self.kind not in (Kind.CUT, Kind.FREEZE, Kind.RANDOM) or len(self.chosen) != 1:
            return None
        return self.chosen[0][0] - 1


def placed_rows(section: Section) -> list[Placed]:
    """Return the rows in the order of the table: by kind, then by layers."""
    order = list(Kind)
    placed = [_placed(row) for row in section.rows]
    return sorted(placed, key=lambda p: (order.index(p.kind), p.ranges, p.row.spec.method))


def _placed(row: Row) -> Placed:
    recipe = parse_recipe(row.spec.method)
    placement = recipe.placement
    notes = [cell.record.notes for cell in row.cells]
    return Placed(
        row=row,
        kind=_kind(recipe),
        chosen=tuple(sorted({_layers(note["layers"], note["layer_count"]) for note in notes})),
        gain=placement.gain if isinstance(placement, Freeze) else "",
        stability=notes[0].get("cut_stability") if notes else None,
    )


def _kind(recipe: Recipe) -> Kind:
    kinds = {
        Window: Kind.WINDOW,
        Depth: Kind.DEPTH,
        Freeze: Kind.FREEZE,
        RandomCut: Kind.RANDOM,
        Occlusion: Kind.OCCLUSION,
    }
    if recipe.placement is None and getattr(recipe.adapter, "modules", Modules.ALL) != Modules.ALL:
        return Kind.MODULES
    found = (kind for part, kind in kinds.items() if isinstance(recipe.placement, part))
    return next(found, Kind.CUT)


def _layers(layers: list[int] | None, count: int) -> tuple[int, ...]:
    return tuple(layer + 1 for layer in (range(count) if layers is None else layers))
