"""The semantic space: distances between answers, as pure functions on tensors.

Source: Semantic are Beacons (arXiv 2405.18292). The full text of the paper was not available, so
the distance here is **rebuilt** from its abstract and reviews.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EMPTY = 1.0
"""The distance of an empty answer to any target, by definition."""


def mean_embedding(table: Tensor, tokens: Sequence[int]) -> Tensor:
    """Return E(t), the mean embedding of the tokens of a text, float64 `[dim]`.

    Args:
        table: The base model's input embeddings, `[vocabulary, dim]`.
        tokens: Token ids without special tokens, at least one.
    """
    return table[list(tokens)].double().mean(0)


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - cos along the last dimension, in [0, 2], exactly 0 for equal vectors.

    It is computed as half the squared distance of the unit vectors, which avoids cancellation.
    """
    import torch.nn.functional as functional

    gap = functional.normalize(first, dim=-1) - functional.normalize(second, dim=-1)
    return (gap.square().sum(-1) / 2).clamp(0.0, 2.0)


def nearest_distance(answer: Tensor | None, targets: Sequence[Tensor]) -> float:
    """Return the distance of an encoded answer to the nearest encoded target.

    Args:
        answer: E(answer) `[dim]`; None for an empty answer, whose distance is `EMPTY`.
        targets: E of each accepted answer, at least one.
    """
    import torch

    if answer is None:
        return EMPTY
    return float(cosine_distance(answer, torch.stack(list(targets))).min())


def answer_distance(
    table: Tensor, answer: Sequence[int], targets: Sequence[Sequence[int]]
) -> float:
    """Return the distance of an answer to the nearest target, in the raw input embeddings.

    Args:
        table: The base model's input embeddings, `[vocabulary, dim]`.
        answer: Token ids of the answer; if there are none, the distance is `EMPTY`.
        targets: Token ids of each accepted answer, none empty.
    """
    accepted = [mean_embedding(table, target) for target in targets]
    return nearest_distance(mean_embedding(table, answer) if answer else None, accepted)
