"""Which decoder layers a placement trains: layers 1..L in words, 0..L-1 as indices."""

from __future__ import annotations

from tasks.errors import UsageError


def check_at_least_one(name: str, value: int | None) -> None:
    """Raise `UsageError` for a number of layers, or the number of a layer, below 1."""
    if value is not None and value < 1:
        raise UsageError(f"{name}={value}: layers are counted from 1")


def layers_between(first: int, last: int, count: int) -> tuple[int, ...]:
    """Return the indices of layers `first` to `last`, both from 1 and inclusive.

    Raises:
        UsageError: The model of `count` layers lacks some of them.
    """
    if last > count or first < 1:
        wanted = f"layers {first} to {last}" if first >= 1 else f"{last - first + 1} layers"
        raise UsageError(f"{wanted} are asked for: the model has {count}, numbered from 1")
    return tuple(range(first - 1, last))


def layers_above(cut: int, count: int, budget: int | None) -> tuple[int, ...]:
    """Return the indices of layers `cut` + 1 to `count`, at most the last `budget` of them."""
    trained = count - cut if budget is None else min(budget, count - cut)
    return layers_between(count - trained + 1, count, count)


def check_cuttable(count: int) -> None:
    """Raise `UsageError` for a model without a layer to freeze and one to train."""
    if count < 2:
        raise UsageError(f"a cut needs a model of at least 2 decoder layers: this one has {count}")
