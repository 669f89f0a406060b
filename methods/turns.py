"""What comes when: shuffles that a seed and a turn decide, whatever was drawn before."""

from __future__ import annotations

from tasks.fact import hash_fraction


def in_turn(pool: int, count: int, turn: int, seed: int) -> list[int]:
    """Return `count` of `pool` things, so that over the turns each comes as often as the others.

    The pool is shuffled, used up, shuffled anew, and so on; a turn takes the next `count` of that
    sequence. It is a function of its arguments, whatever was asked for before.

    Args:
        pool: How many things there are, at least one.
        count: How many a turn takes.
        turn: Which turn, counted from 0.
        seed: Of the shuffles.
    """
    places = range(turn * count, (turn + 1) * count)
    shuffles = {place // pool: shuffled(pool, seed, place // pool) for place in places}
    return [shuffles[place // pool][place % pool] for place in places]


def shuffled(count: int, seed: int, turn: int) -> list[int]:
    """Return 0 to count - 1 in an order that is drawn anew for each seed and turn."""
    import torch

    drawn = int(hash_fraction("in turn", str(seed), str(turn)) * 2**31)
    return torch.randperm(count, generator=torch.Generator().manual_seed(drawn)).tolist()
