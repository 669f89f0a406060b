"""Ranks by layer, from what each direction of a layer would cost, within a number of parameters."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import cast

from methods.calibrated import CalibrationNotes
from methods.decomposition import Factors
from methods.lora_family import Start, start_notes
from methods.notes import Notes
from methods.subspaces import End, end_slice


@dataclass(frozen=True)
class Piece(Factors):
    """Factors of the largest rank that a layer may get, and what each direction costs.

    Attributes:
        costs: For each direction in the order in which a rank grows; lower ones go first.
    """

    costs: tuple[float, ...] = ()

    def cut(self, rank: int, end: End) -> Piece:
        """Return the piece with the `rank` directions that stand at one end."""
        chosen, values = end_slice(len(self.A), rank, end), self.singular_values
        return replace(
            self,
            B=self.B[:, chosen].contiguous(),
            A=self.A[chosen].contiguous(),
            singular_values=None if values is None else values[chosen],
        )


@dataclass(frozen=True)
class RankNotes(Notes):
    """Which rank each layer got.

    Attributes:
        allocated_ranks: Rank by target.
    """

    allocated_ranks: Mapping[str, int]


def allocated_ranks(pieces: Mapping[str, Piece], rank: int, least: int) -> dict[str, int]:
    """Return a rank for every layer, all together with no more parameters than `rank` everywhere.

    All begin with `least`. Then the rank grows by one where the next direction costs least, again
    and again, until no layer's next direction fits into the parameters that are left.

    Args:
        pieces: The layers; the length of `costs` is the largest rank of a layer.
        rank: The rank that all layers would have had, or their smaller side.
        least: The smallest rank.
    """
    sizes = {name: len(piece.B) + piece.A.shape[1] for name, piece in pieces.items()}
    sides = {name: min(len(piece.B), piece.A.shape[1]) for name, piece in pieces.items()}
    ranks = {name: min(least, len(piece.costs)) for name, piece in pieces.items()}
    left = sum(sizes[n] * (min(rank, sides[n]) - ranks[n]) for n in pieces)
    waiting = [(p.costs[ranks[n]], n) for n, p in pieces.items() if ranks[n] < len(p.costs)]
    heapq.heapify(waiting)
    while waiting:
        _, name = heapq.heappop(waiting)
        if sizes[name] > left:
            continue
        left -= sizes[name]
        ranks[name] += 1
        if ranks[name] < len(pieces[name].costs):
            heapq.heappush(waiting, (pieces[name].costs[ranks[name]], name))
    return ranks


def cut_pieces(start: Start, rank: int, spread: float, end: End) -> Start:
    """Return a start whose pieces have the rank that each layer got, with notes on it.

    Args:
        start: The start with the largest rank of each layer; its factors are pieces.
        rank: The rank that all layers would have had.
        spread: The largest rank over this one, and this one over the smallest.
        end: Where the directions stand that a rank begins with.
    """
    pieces = {name: cast("Piece", piece) for name, piece in start.factors.items()}
    ranks = allocated_ranks(pieces, rank, ceil(rank / spread))
    cut: dict[str, Factors] = {name: piece.cut(ranks[name], end) for name, piece in pieces.items()}
    told = [one for one in start.notes if isinstance(one, CalibrationNotes)]
    return Start(cut, (*start_notes(cut), *told, RankNotes(allocated_ranks=ranks)))
