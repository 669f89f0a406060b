"""The rows of the placement study, and which layers each of them trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.report.leaderboard.board import Row, Section
from methods.parts import Placement
from methods.placement.freeze import Freeze
from methods.placement.random_cut import RandomCut
from methods.placement.window import Window
from methods.recipe import parse_recipe


class Kind(StrEnum):
    """The kinds of rows, in the order of the table."""

    CUT = "cut"
    WINDOW = "window"
    FREEZE = "freeze"
    RANDOM = "random cut"


@dataclass(frozen=True)
class Placed:
    """A row with the layers that it trained.

    Attributes:
        row: The row of the leaderboard.
        kind: Its kind of placement.
        ranges: The first and last trained layer, from 1, of each finished cell; without repeats.
        gain: The gain that `freeze` uses; empty for other kinds.
        stability: The share of bootstrap draws that agree with the cut of `freeze`.
    """

    row: Row
    kind: Kind
    ranges: tuple[tuple[int, int], ...]
    gain: str
    stability: float | None

    @property
    def trained(self) -> int | None:
        """How many layers were trained; None if cells differ or none is finished."""
        return self.ranges[0][1] - self.ranges[0][0] + 1 if len(self.ranges) == 1 else None

    @property
    def cut(self) -> int | None:
        """Frozen layers below the trained ones; None for windows, or if cells differ."""
        if self.kind is Kind.WINDOW or len(self.ranges) != 1:
            return None
        return self.ranges[0][0] - 1


def placed_rows(section: Section) -> list[Placed]:
    """Return the rows in the order of the table: by kind, then by layers."""
    order = list(Kind)
    placed = [_placed(row) for row in section.rows]
    return sorted(placed, key=lambda p: (order.index(p.kind), p.ranges, p.row.spec.method))


def _placed(row: Row) -> Placed:
    placement = parse_recipe(row.spec.method).placement
    notes = [cell.record.notes for cell in row.cells]
    return Placed(
        row=row,
        kind=_kind(placement),
        ranges=tuple(sorted({_range(note["layers"], note["layer_count"]) for note in notes})),
        gain=placement.gain if isinstance(placement, Freeze) else "",
        stability=notes[0].get("cut_stability") if notes else None,
    )


def _kind(placement: Placement | None) -> Kind:
    kinds = {Window: Kind.WINDOW, Freeze: Kind.FREEZE, RandomCut: Kind.RANDOM}
    return next((kind for part, kind in kinds.items() if isinstance(placement, part)), Kind.CUT)


def _range(layers: list[int] | None, count: int) -> tuple[int, int]:
    return (layers[0] + 1, layers[-1] + 1) if layers else (1, count)
