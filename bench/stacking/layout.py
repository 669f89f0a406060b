"""Where the trained numbers of N members lie in one buffer `[members, numbers]`.

A row holds one member: the A of every target, then the B of every target, then DoRA's m. All are
padded to the highest rank of the stack. Targets are sorted by d_in, so that the A of all targets
with one d_in are one block, and those of targets that share an input lie side by side: one product
serves q, k and v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby

from torch import Tensor

ALIGNED = 64
"""A row takes a multiple of this many numbers: kernels are faster where rows begin aligned."""


@dataclass(frozen=True)
class Target:
    """A layer that some member adapts.

    Attributes:
        name: Its name in the base.
        rows, columns: Its d_out and d_in.
    """

    name: str
    rows: int
    columns: int


@dataclass(frozen=True)
class Layout:
    """The order and the sizes of all parts.

    Attributes:
        groups: The targets in groups that share an input, sorted by d_in.
        rank: The highest rank of all members and targets.
        magnitudes: Whether there is room for DoRA's m.
    """

    groups: tuple[tuple[Target, ...], ...]
    rank: int
    magnitudes: bool

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """All targets in order."""
        return tuple(target for group in self.groups for target in group)

    @cached_property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """For each distinct d_in the number of its targets, and d_in."""
        by_input = groupby(self.targets, key=lambda target: target.columns)
        return tuple((len(list(some)), columns) for columns, some in by_input)

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """For each target's name its block, and its place in there."""
        names = (target.name for target in self.targets)
        counts = enumerate(count for count, _ in self.blocks)
        pairs = ((block, place) for block, count in counts for place in range(count))
        return dict(zip(names, pairs, strict=True))

    @cached_property
    def spans(self) -> dict[str, slice]:
        """For each target's name its rows, among those of all targets."""
        ends = accumulate(target.rows for target in self.targets)
        return {t.name: slice(end - t.rows, end) for t, end in zip(self.targets, ends, strict=True)}

    @property
    def rows(self) -> int:
        """The d_out of all targets together."""
        return sum(target.rows for target in self.targets)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of a row: of each block of A, of B, of m, and of nothing, up to a full line."""
        A = [self.rank * count * columns for count, columns in self.blocks]
        used = [*A, self.rank * self.rows, self.rows * self.magnitudes]
        return (*used, -sum(used) % ALIGNED)

    @property
    def numbers(self) -> int:
        """The length of a row of the buffer."""
        return sum(self.sizes)


def layout_of(groups: Sequence[Sequence[Target]], rank: int, magnitudes: bool) -> Layout:
    """Return the layout of targets in groups that share an input, in any order.

    Args:
        groups: The targets; those of a group have the same d_in.
        rank: The highest rank.
        magnitudes: Whether some member has DoRA's m.
    """
    ordered = sorted((tuple(group) for group in groups), key=lambda group: group[0].columns)
    return Layout(tuple(ordered), rank, magnitudes)


class Parts:
    """Views of a buffer `[members, numbers]`.

    Args:
        layout: What lies where.
        flat: The buffer.

    Attributes:
        A: For each distinct d_in the A of its targets, `[members, targets, r, d_in]`.
        B: The B of all targets, `[members, rows, r]`.
        m: The m of all targets, `[members, rows]`, without rows if no member has any.
    """

    def __init__(self, layout: Layout, flat: Tensor) -> None:
        self.layout, self.flat = layout, flat
        *A, B, self.m, _ = flat.split(layout.sizes, dim=1)
        self.A = [
            part.view(len(flat), count, layout.rank, columns)
            for part, (count, columns) in zip(A, layout.blocks, strict=True)
        ]
        self.B = B.view(len(flat), layout.rows, layout.rank)

    def of(self, member: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return a member's A `[r, d_in]`, B `[d_out, r]` and m `[d_out]` of a target."""
        block, place = self.layout.places[name]
        rows = self.layout.spans[name]
        return self.A[block][member, place], self.B[member, rows], self.m[member, rows]
