"""What the pristine base knows about the facts: the parts' window on a running model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tasks.errors import UsageError, unknown_name
from tasks.fact import Fact
from tasks.prompt import Prompt

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from methods.covariance import Covariances
    from methods.encoder import Encoder
    from methods.layer_deviation import LayerDeviations, Norm

Computes = TypeVar("Computes", bound=Callable[..., Any])


class Signals(Protocol):
    """Lazy and cached: only what a part asks for is computed, once per (model, task, prompt).

    Everything is measured on the pristine base. Per-fact tensors are `[facts]`, on the CPU, in
    the order of `facts`.
    """

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All selected training facts of the cell, before any filter."""
        ...

    @property
    def prompt(self) -> Prompt:
        """Demonstrations of the task."""
        ...

    @property
    def model(self) -> PreTrainedModel:
        """The pristine base itself: a signal measures it, and must leave it as it is."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's."""
        ...

    @property
    def distance(self) -> Tensor:
        """Semantic distance of the base's own answer to the target, float64 in [0, 2]."""
        ...

    @property
    def known(self) -> Tensor:
        """Whether the base already answers the fact (greedy), bool."""
        ...

    def distance_in(self, encoder: Encoder) -> Tensor:
        """Return `distance` measured in another space, float64 in [0, 2].

        Raises:
            UsageError: The model has no such layer.
        """
        ...

    def layer_deviation(self, norm: Norm) -> LayerDeviations:
        """Return the deviation of each of the L + 1 latent spaces on the plain training prompt."""
        ...

    def covariance(self, facts: Sequence[Fact], samples: int) -> Covariances:
        """Return the input covariances of the base's linear layers over calibration facts.

        Args:
            facts: Calibration facts; question and answer are run as one text each.
            samples: At most so many facts, chosen by a fixed hash.
        """
        ...

    def get(self, name: str, **parameters: Hashable) -> Any:
        """Return a signal that a part registered with `signal`; it must not be changed in place.

        Raises:
            UsageError: There is no such signal.
        """
        ...


_REGISTERED: dict[str, Callable[..., Any]] = {}


def signal(name: str) -> Callable[[Computes], Computes]:
    """Return the decorator that adds a signal which parts ask for by `signals.get(name)`.

    The function is called with the `Signals` of the pristine base and what `get` was given by
    keyword. It is computed when it is first asked for, once for each set of these values, and a
    later cell that finds it is charged what it cost, as for every other signal. A part that asks
    for the signal of another file imports that file, so that an edit there runs its cells again.
    """

    def add(compute: Computes) -> Computes:
        present = _REGISTERED.setdefault(name, compute)
        if _place(present) != _place(compute):
            raise UsageError(
                f"signal '{name}' is registered twice: {_place(present)} and {_place(compute)}; "
                "rename one"
            )
        _REGISTERED[name] = compute
        return compute

    return add


def registered_signal(name: str) -> Callable[..., Any]:
    """Return the function behind a registered signal; an unknown name is a `UsageError`."""
    if name not in _REGISTERED:
        raise unknown_name("signal", name, _REGISTERED)
    return _REGISTERED[name]


def _place(compute: Callable[..., Any]) -> str:
    return f"{compute.__module__}.{compute.__qualname__}"
