"""Sums with worked steps: a skill that can be taught in minutes, at any size and difficulty."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tasks.base import task
from tasks.fact import Fact, hash_fraction
from tasks.generated_skill import GeneratedSkill
from tasks.shuffled import Shuffled

MOST_PROBLEMS = 1_000_000
MOST_LEVELS = 9


@task("arithmetic")
@dataclass(frozen=True)
class Arithmetic(GeneratedSkill):
    """Sums of two numbers, added digit by digit; what is asked is never trained.

    A pair of numbers, in either order, is in one part only. The level of a problem is the number
    of digits of both. There are 45 problems of level 1, so that larger tasks have more of others.

    Attributes:
        n: Number of problems; a smaller task is the beginning of a larger one.
        levels: How many levels take turns.
        seed: Each seed gives other problems.
    """

    limit: ClassVar[int] = 600
    asked_limit: ClassVar[int] = 120

    n: int = 700
    levels: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= MOST_LEVELS:
            raise ValueError(f"levels={self.levels} must be between 1 and {MOST_LEVELS}")
        most = min(MOST_PROBLEMS, sum(len(pairs) for pairs in self._pairs()))
        if not 1 <= self.n <= most:
            raise ValueError(f"n={self.n} must be between 1 and {most} for levels={self.levels}")

    def problems(self) -> Iterator[Fact]:
        """Yield the problems; levels take turns until one has no more."""
        levels, made, turn = self._pairs(), 0, 0
        while True:
            for pairs in levels:
                if made == self.n:
                    return
                if turn < len(pairs):
                    made += 1
                    yield problem(*pairs[turn])
            turn += 1

    def _pairs(self) -> list[Pairs]:
        return [Pairs(digits, self.seed) for digits in range(1, self.levels + 1)]


class Pairs:
    """All pairs of numbers with so many digits, without regard to their order, each once.

    Args:
        digits: The number of digits.
        seed: Decides the order of the pairs, and which of its two numbers comes first.
    """

    def __init__(self, digits: int, seed: int) -> None:
        self._least = 10 ** (digits - 1)
        numbers = 9 * self._least
        self._order = Shuffled(numbers * (numbers + 1) // 2, "sums", str(seed), str(digits))
        self._key = ("first", str(seed), str(digits))

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self._order)

    def __getitem__(self, k: int) -> tuple[int, int]:
        """Return the k-th pair: its place in the triangle of all (high, low), low <= high."""
        place = self._order[k]
        high = (math.isqrt(8 * place + 1) - 1) // 2
        pair = (self._least + high, self._least + place - high * (high + 1) // 2)
        return pair if hash_fraction(*self._key, str(k)) < 0.5 else pair[::-1]


def problem(a: int, b: int) -> Fact:
    """Return a sum of two numbers of as many digits as a problem to train or to ask."""
    digits = len(str(a))
    return Fact(
        id=f"{a}+{b}",
        question=f"{a} + {b}",
        answers=(worked(a, b),),
        relation=f"{digits} digit{'s' if digits > 1 else ''}",
        subject=f"{min(a, b)} {max(a, b)}",
        extract="result",
    )


def worked(a: int, b: int) -> str:
    """Return the steps of a sum, the only form that is trained: `7+5=12,4+8+1=13,sum=132`.

    Digits are added from the right, with what is carried over; then the sum is read off.
    """
    steps, carry = [], 0
    for one, other in zip(reversed(str(a)), reversed(str(b)), strict=True):
        total = int(one) + int(other) + carry
        steps.append(f"{one}+{other}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return f"{','.join(steps)},sum={a + b}"
