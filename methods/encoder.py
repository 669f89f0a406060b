"""The spaces in which a strategy can compare texts: encoders E(t). **rebuilt**."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from methods.signals import Signals

INPUT_EMBEDDING = "input_embedding"
LAST_HIDDEN = "last_hidden"
_LAYER = re.compile(r"layer(\d+)")


@dataclass(frozen=True)
class Encoder:
    """E(t): the mean vector of the tokens of text t, in one space of the base.

    Attributes:
        name: `input_embedding`, `last_hidden` (after the final norm) or `layerK`, the output of
            decoder layer K; `layer0` is the input of the first layer.
        centred: Whether to subtract what all vectors of the space have in common, since they point
            in similar directions: the mean row of the embedding table, or the mean hidden state of
            the accepted answers.
    """

    name: str = INPUT_EMBEDDING
    centred: bool = False

    def check(self) -> None:
        """Raise `UsageError` if there is no encoder of this name."""
        known = (INPUT_EMBEDDING, LAST_HIDDEN)
        if self.name not in known and not _LAYER.fullmatch(self.name):
            close = nearest(self.name, (*known, "layer1"))
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            right = f"{', '.join(known)} or layerK, for example layer12"
            raise UsageError(f"encoder={self.name}: it must be {right}{hint}")

    def space(self, layers: int) -> int | None:
        """Return its index among the `layers` + 1 latent spaces; None for the input embeddings.

        Raises:
            UsageError: The model has no such layer.
        """
        if self.name == INPUT_EMBEDDING:
            return None
        if self.name == LAST_HIDDEN:
            return layers
        chosen = int(self.name.removeprefix("layer"))
        if chosen > layers:
            raise UsageError(f"encoder={self.name}: the model has layer0 to layer{layers}")
        return chosen


@dataclass(frozen=True)
class Encoded:
    """A strategy that uses semantic distances.

    Attributes:
        encoder: The space in which distances are measured, see `Encoder.name`.
        centred: Whether to centre its vectors, see `Encoder.centred`.
    """

    encoder: str = INPUT_EMBEDDING
    centred: bool = False

    def check(self) -> None:
        """Refuse an unknown encoder."""
        Encoder(self.encoder, self.centred).check()

    def distances(self, signals: Signals) -> Tensor:
        """Return the distances to the targets in the chosen space, float64 `[facts]`."""
        return signals.distance_in(Encoder(self.encoder, self.centred))
