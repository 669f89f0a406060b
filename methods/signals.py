"""What the untouched base knows about the facts, as parts may ask for it."""

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
    from methods.gradient import Gradients
    from methods.layer_deviation import LayerDeviations, Norm

Computes = TypeVar("Computes", bound=Callable[..., Any])


class Signals(Protocol):
    """What the untouched base knows about the facts of a cell.

    Signals are computed only when a part asks for them, and once per model, task and prompt.
    Per-fact tensors are `[facts]`, on the CPU, in the order of `facts`.
    """

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All training facts selected for the cell, before any filter."""
        ...

    @property
    def prompt(self) -> Prompt:
        """The task's demonstrations."""
        ...

    @property
    def model(self) -> PreTrainedModel:
        """The untouched base itself; a signal may measure it but must not change it."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        ...

    @property
    def distance(self) -> Tensor:
        """Semantic distance of the base's own answer to the target, float64 `[facts]` in [0, 2]."""
        ...

    @property
    def known(self) -> Tensor:
        """Whether the base already answers the fact correctly, greedily, bool `[facts]`."""
        ...

    def distance_in(self, encoder: Encoder) -> Tensor:
        """Return `distance` measured in another space, float64 `[facts]` in [0, 2].

        Raises:
            UsageError: The model does not have the encoder's layer.
        """
        ...

    def layer_deviation(self, norm: Norm) -> LayerDeviations:
        """Return the deviations of the L + 1 latent spaces on the trained prompt.

        Args:
            norm: Whether the model's final norm is applied to every latent space or to none.
        """
        ...

    def covariance(
        self,
        facts: Sequence[Fact],
        samples: int | None = None,
        pack: int = 0,
        *,
        scaled: bool = True,
    ) -> Covariances:
        """Return the input covariances of the base's linear layers over calibration facts.

        Args:
            facts: Calibration facts; question and answer of each are one text.
            samples: The largest number of facts, chosen by a fixed hash; None takes as many as
                have 16,384 tokens, or all.
            pack: Tokens per window, at most the model's context: the texts are joined by newlines
                and cut into consecutive windows, each of which is a sample. With 0 each text is.
            scaled: Whether to divide each sample by |max(X)| first, as CorDA does.
        """
        ...

    def target_losses(self, facts: Sequence[Fact]) -> Tensor:
        """Return the mean cross-entropy of each fact's target on the trained prompt, in nats.

        It is measured each time, on the base with whatever hooks it has. float64 `[facts]`; texts
        are packed into windows, of which there are others in number.
        """
        ...

    def gradient(self, facts: Sequence[Fact], samples: int | None = None) -> Gradients:
        """Return the mean gradient of the base's linear layers, of the loss that training has.

        Args:
            facts: Facts to learn, in the contexts that training sees; every fact counts the same.
            samples: The largest number of facts, chosen by a fixed hash; None takes all.
        """
        ...

    def get(self, name: str, **parameters: Hashable) -> Any:
        """Return a signal that was registered with `signal`; do not change it in place.

        Args:
            name: The registered name.
            parameters: Passed to the function that computes the signal.

        Raises:
            UsageError: There is no such signal.
        """
        ...


_REGISTERED: dict[str, Callable[..., Any]] = {}


def signal(name: str) -> Callable[[Computes], Computes]:
    """Return a decorator that registers a signal, which parts get by `signals.get(name)`.

    The decorated function is called with the `Signals` of the untouched base and the keyword
    arguments given to `get`. Its result is computed on first use and cached for each set of
    arguments; cells that reuse it are charged what it cost, as for every signal. A part that uses a
    signal from another file must import that file, so that editing it runs the part's cells again.
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
    """Return the function behind a registered signal; raise `UsageError` for an unknown name."""
    if name not in _REGISTERED:
        raise unknown_name("signal", name, _REGISTERED)
    return _REGISTERED[name]


def _place(compute: Callable[..., Any]) -> str:
    return f"{compute.__module__}.{compute.__qualname__}"
