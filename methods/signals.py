"""What the pristine base knows about the facts: the parts' window on a running model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tasks.fact import Fact

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances
    from methods.encoder import Encoder
    from methods.layer_deviation import LayerDeviations, Norm


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
