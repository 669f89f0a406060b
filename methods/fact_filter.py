"""Which facts to keep: the exact minimiser of mean - lam var over subsets of one size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.encoder import Encoded
from methods.notes import Notes, Told, note
from methods.parts import Filter
from methods.signals import Signals
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Scale = Literal["std", "raw"]
Side = Literal["far", "near"]
SIDES: tuple[Side, Side] = ("far", "near")

_TIE = 1e-12
"""Objectives closer than this are equal: rounding must not choose between them."""


@dataclass(frozen=True)
class DistanceFilter(Encoded, Filter):
    """What filters on semantic distance share.

    Attributes:
        rho: Share of the facts to drop.
    """

    rho: float = 0.2

    def check(self) -> None:
        """Refuse an unknown encoder and what is no share."""
        super().check()
        check_share(self.rho)

    def notes(self, signals: Signals, kept: Tensor) -> Sequence[Notes]:
        """Tell the removed interval of distances and its overlap with dropping a side."""
        return (removal_notes(self.distances(signals), kept),)


def check_share(rho: float) -> None:
    """Raise `UsageError` unless `rho` is a share that leaves some facts."""
    if not 0 <= rho < 1:
        raise UsageError(f"rho={rho:g}: the share of dropped facts must be at least 0 and below 1")


def check_lam(lam: float) -> None:
    """Raise `UsageError` unless `lam` makes J concave, so that a block is optimal."""
    if not 0 <= lam < math.inf:
        raise UsageError(f"lam={lam:g}: the weight of the variance must be at least 0")


def kept_count(facts: int, rho: float) -> int:
    """Return k = round((1 - rho) n), at least 1: how many facts every filter of `rho` keeps."""
    return max(1, round((1 - rho) * facts))


def standardised(distances: Tensor, scale: Scale) -> Tensor:
    """Return z: `raw` the distances, `std` (d - mean) / sd, 0 where all are equal."""
    if scale == "raw":
        return distances
    centred = distances - distances.mean()
    spread = distances.std(correction=0)
    return centred / spread if spread > 0 else centred


def best_facts(distances: Tensor, rho: float, lam: float, scale: Scale) -> Tensor:
    """Return the `kept_count` facts that minimise J over z, bool `[facts]`."""
    z = standardised(distances, scale)
    return best_block(z, kept_count(len(z), rho), lam)


def best_block(values: Tensor, keep: int, lam: float) -> Tensor:
    """Return which `keep` values z minimise J = mean(z) - lam var(z), bool `[facts]`; O(n log n).

    J is concave in each kept value for lam >= 0, so some optimal removed set is one block of the
    sorted values: all k + 1 of them are scored by prefix sums. Among equal blocks the lowest is
    removed, among equal values the first.

    Args:
        values: z, float64 `[facts]`.
        keep: k.
        lam: Weight of the variance, at least 0.
    """
    import torch

    order = torch.argsort(values, stable=True)
    z = values[order] - values.mean()  # moves every J alike, and keeps the prefix sums accurate
    removed = len(z) - keep
    first, second = (_outside_blocks(power, removed) / keep for power in (z, z.square()))
    scores = first - lam * (second - first.square())
    start = int((scores <= scores.min() + _TIE).nonzero()[0])
    kept = torch.ones(len(z), dtype=torch.bool)
    kept[order[start : start + removed]] = False
    return kept


def without_side(distances: Tensor, keep: int, side: Side) -> Tensor:
    """Return the `keep` facts nearest to their targets (drop far) or farthest, bool `[facts]`."""
    import torch

    order = torch.argsort(distances, stable=True, descending=side == "near")
    kept = torch.zeros(len(distances), dtype=torch.bool)
    kept[order[:keep]] = True
    return kept


@dataclass(frozen=True)
class RemovalNotes(Notes):
    """What a filter removed; all None where that is nothing.

    Attributes:
        removed_interval: Lowest and highest distance of the removed facts.
        overlap_far, overlap_near: Shares of them that dropping as many farthest or nearest facts
            removes too.
    """

    removed_interval: tuple[float, float] | None = note()
    overlap_far: float | None = note()
    overlap_near: float | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield how many facts were removed, at which distances."""
        if self.removed_interval is None or kept is None:
            return
        low, high = self.removed_interval
        removed = facts - kept
        overlaps = [
            f"{100 * share:.0f} % of them among the {removed} {side}"
            for side, share in (("farthest", self.overlap_far), ("nearest", self.overlap_near))
            if share is not None
        ]
        text = ", ".join([f"{removed} facts at distances {low:.2f} to {high:.2f}", *overlaps])
        yield Told("removed facts", text)


def removal_notes(distances: Tensor, kept: Tensor) -> RemovalNotes:
    """Return what a filter removed: the interval of distances, and the overlap with `drop`.

    Args:
        distances: Float64 `[facts]`.
        kept: Bool `[facts]`.
    """
    removed, keep = ~kept, int(kept.sum())
    if not removed.any():
        return RemovalNotes()
    far, near = (~without_side(distances, keep, side) for side in SIDES)
    low, high = distances[removed].aminmax()
    return RemovalNotes(
        removed_interval=(float(low), float(high)),
        overlap_far=float(far[removed].double().mean()),
        overlap_near=float(near[removed].double().mean()),
    )


def _outside_blocks(z: Tensor, removed: int) -> Tensor:
    """Return the sum of all values but those of each block of `removed`, `[n - removed + 1]`."""
    import torch

    prefix = torch.cat([z.new_zeros(1), z.cumsum(0)])
    return prefix[-1] - (prefix[removed:] - prefix[: len(prefix) - removed])
