"""Many decompositions on the CPU, one per core, because one alone cannot keep several busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def side_by_side(function: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """Return `function` of every item, in order, computed on as many threads as PyTorch uses.

    Inside `function` PyTorch computes on one thread and without gradients.
    """
    import torch

    threads = torch.get_num_threads()
    if min(threads, len(items)) < 2:
        with torch.no_grad():
            return [function(item) for item in items]

    def alone(item: Item) -> Found:
        torch.set_num_threads(1)
        with torch.no_grad():
            return function(item)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(threads)
