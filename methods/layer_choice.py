"""Which decoder layers a placement trains; people count them from 1, indices start at 0."""

from __future__ import annotations

from tasks.errors import UsageError


def check_at_least_one(name: str, value: int | None) -> None:
    """Raise `UsageError` if a number of layers, or the number of a layer, is below 1."""
    if value is not None and value < 1:
        raise UsageError(f"{name}={value}: it must be at least 1")


def layers_between(first: int, last: int, count: int) -> tuple[int, ...]:
    """Return the indices of layers `first` to `last`.

    Args:
        first: The lowest layer, counted from 1.
        last: The highest layer, counted from 1 and included.
        count: How many decoder layers the model has.

    Raises:
        UsageError: The model does not have some of these layers.
    """
    if last > count or first < 1:
        wanted = f"layers {first} to {last}" if first >= 1 else f"{last - first + 1} layers"
        raise UsageError(f"cannot train {wanted}: the model has {count}, numbered from 1")
    return tuple(range(first - 1, last))


def layers_above(cut: int, count: int, budget: int | None) -> tuple[int, ...]:
    """Return the indices of the layers above a cut.

    Args:
        cut: The last frozen layer, counted from 1.
        count: How many decoder layers the model has.
        budget: Return at most this many, the last ones; None sets no limit.
    """
    trained = count - cut if budget is None else min(budget, count - cut)
    return layers_between(count - trained + 1, count, count)


def check_cuttable(count: int) -> None:
    """Raise `UsageError` if the model has too few layers to freeze one and train another."""
    if count < 2:
        raise UsageError(f"a cut needs at least 2 decoder layers: this model has {count}")
