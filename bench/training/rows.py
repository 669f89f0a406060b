"""Which rows an epoch trains, in which batches: all facts, and what is replayed beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.inference.encoding import Example, batches_by_length


@dataclass(frozen=True)
class Replayed:
    """What is trained beside the facts.

    Attributes:
        examples: What may be replayed.
        draw: Returns which of them an epoch trains, given the epoch, counted from 1; one may come
            twice.
        count: How many each epoch trains.
    """

    examples: Sequence[Example]
    draw: Callable[[int], Sequence[int]]
    count: int


def epoch_batches(
    order: Sequence[int] | None,
    replayed: Sequence[int],
    lengths: Sequence[int],
    batch_size: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Return the batches of an epoch, as numbers of rows.

    Args:
        order: The facts in the order in which they are trained, with what is replayed spread evenly
            among them; None: batches of similar length, shuffled.
        replayed: The numbers of the rows that are replayed.
        lengths: The number of tokens of each row, those of the facts first.
        batch_size: Rows per batch, fewer in the last.
        generator: Shuffles where there is no order.
    """
    if order is not None:
        rows = interleaved(order, replayed)
        return [list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    batches = batches_by_length(lengths, batch_size, generator)
    if not replayed:
        return batches
    places = [*range(len(lengths) - len(replayed)), *replayed]
    return [[places[index] for index in batch] for batch in batches]


def interleaved(order: Sequence[int], others: Sequence[int]) -> list[int]:
    """Return `order` with `others` spread evenly: every run of it has its share of them, or nearly.

    Both keep their own order.
    """
    count, every = len(order), len(order) + len(others)
    placed: list[int] = []
    for place in range(every):
        done = (place + 1) * count // every
        mine = done > place * count // every
        placed.append(order[done - 1] if mine else others[place - done])
    return placed
