"""A fixed order of the numbers 0 to n - 1 that needs no memory, for problems that are generated."""

from __future__ import annotations

import math

from tasks.fact import hash_fraction


class Shuffled:
    """The permutation k -> (a k + b) mod size with gcd(a, size) = 1.

    Args:
        size: How many numbers there are.
        *key: All that the order depends on; a and b are its hashes.
    """

    def __init__(self, size: int, *key: str) -> None:
        self._size = size
        self._factor = max(1, int(size * (0.2 + 0.6 * hash_fraction("factor", *key))))
        while math.gcd(self._factor, size) != 1:
            self._factor += 1
        self._shift = int(size * hash_fraction("shift", *key))

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return self._size

    def __getitem__(self, k: int) -> int:
        """Return the k-th number; those of 0 <= k < size are all different."""
        return (self._factor * k + self._shift) % self._size
