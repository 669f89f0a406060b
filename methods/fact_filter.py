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
    """A filter that uses semantic distances.

    Attributes:
        rho: Share of the facts to drop, in [0, 1).
    """

    rho: float = 0.2

    def check(self) -> None:
        """Refuse an unknown encoder and rho outside [0, 1)."""
        super().check()
        check_share(self.rho)

    def notes(self, signals: Signals, kept: Tensor) -> Sequence[Notes]:
        """Return the interval of removed distances and its overlap with dropping one side."""
        return (removal_notes(self.distances(signals), kept),)


def check_share(rho: float) -> None:
    """Raise `UsageError` unless 0 <= rho < 1, which leaves some facts."""
    if not 0 <= rho < 1:
        raise UsageError(f"rho={rho:g}: the share of dropped facts must be at least 0 and below 1")


def check_lam(lam: float) -> None:
    """Raise `UsageError` unless `lam` is finite and at least 0, so that J is concave."""
    if not 0 <= lam < math.inf:
        raise UsageError(f"lam={lam:g}: the weight of the variance must be at least 0")


def kept_count(facts: int, rho: float) -> int:
    """Return k = round((1 - rho) n), at least 1: the number of facts every filter keeps."""
    return max(1, round((1 - rho) * facts))


def standardised(distances: Tensor, scale: Scale) -> Tensor:
    """Return z: the distances (`raw`), or (d - mean) / sd (`std`; 0 where all are equal)."""
    if scale == "raw":
        return distances
    centred = distances - distances.mean()
    spread = distances.std(correction=0)
    return centred / spread if spread > 0 else centred


def best_facts(distances: Tensor, rho: float, lam: float, scale: Scale) -> Tensor:
    """Return the `kept_count` facts that minimise J over z, bool `[facts]`.

    Args:
        distances: d, float64 `[facts]`.
        rho: Share of the facts to drop.
        lam: Weight of the variance, at least 0.
        scale: How z is computed from d, see `standardised`.
    """
    z = standardised(distances, scale)
    return best_block(z, kept_count(len(z), rho), lam)


def best_block(values: Tensor, keep: int, lam: float) -> Tensor:
    """Return which `keep` values z minimise J = mean(z) - lam var(z), bool `[facts]`.

    For lam >= 0, J is concave in each kept value, so the best set to remove is a contiguous block
    of the sorted values. Prefix sums score all k + 1 such blocks, in O(n log n). Among equal blocks
    the lowest is removed, among equal values the first.

    Args:
        values: z, float64 `[facts]`.
        keep: k, the number of facts to keep.
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
    """Return the `keep` facts left after dropping the `side` of the distances, bool `[facts]`."""
    import torch

    order = torch.argsort(distances, stable=True, descending=side == "near")
    kept = torch.zeros(len(distances), dtype=torch.bool)
    kept[order[:keep]] = True
    return kept


@dataclass(frozen=True)
class RemovalNotes(Notes):
    """What a filter removed; every field is None if it removed nothing.

    Attributes:
        removed_interval: Lowest and highest distance of the removed facts.
        overlap_far: Share of the removed facts that are also among as many farthest facts.
        overlap_near: Share of the removed facts that are also among as many nearest facts.
    """

    removed_interval: tuple[float, float] | None = note()
    overlap_far: float | None = note()
    overlap_near: float | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield how many facts were removed and at which distances."""
        if self.removed_interval is None or kept is None:
            return
        low, high = self.removed_interval
        removed = facts - kept
        overlaps = [
            f"{100 * share:.0f}% of them among the {removed} {side}"
            for side, share in (("farthest", self.overlap_far), ("nearest", self.overlap_near))
            if share is not None
        ]
        text = ", ".join([f"{removed} facts at distances {low:.2f} to {high:.2f}", *overlaps])
        yield Told("removed facts", text)


def removal_notes(distances: Tensor, kept: Tensor) -> RemovalNotes:
    """Return the interval of distances a filter removed, and its overlap with `drop`.

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
    """Return the sum of the values outside each block of `removed`, `[n - removed + 1]`."""
    import torch

    prefix = torch.cat([z.new_zeros(1), z.cumsum(0)])
    return prefix[-1] - (prefix[removed:] - prefix[: len(prefix) - removed])
