"""Where texts are compared: the encoders E(t) between which a strategy can choose. **rebuilt**."""

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
    """E(t), the mean over the tokens of t of their vectors in one space of the base.

    Attributes:
        name: `input_embedding`, `last_hidden` (after the final norm), or `layerK`: the output of
            decoder layer K, K = 0 being what enters the first.
        centred: Subtract what vectors of the space have in common (raw ones are anisotropic): the
            mean row of the vocabulary, for hidden states the mean over the accepted answers.
    """

    name: str = INPUT_EMBEDDING
    centred: bool = False

    def check(self) -> None:
        """Raise `UsageError` for a name that is no encoder's."""
        known = (INPUT_EMBEDDING, LAST_HIDDEN)
        if self.name not in known and not _LAYER.fullmatch(self.name):
            close = nearest(self.name, (*known, "layer1"))
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            right = f"{', '.join(known)} or layerK, as in layer12"
            raise UsageError(f"encoder={self.name}: it must be {right}{hint}")

    def space(self, layers: int) -> int | None:
        """Return which of the `layers` + 1 latent spaces it is; None for the input embeddings.

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
    """What strategies on semantic distance share: where distances are measured."""

    encoder: str = INPUT_EMBEDDING
    centred: bool = False

    def check(self) -> None:
        """Refuse an unknown encoder."""
        Encoder(self.encoder, self.centred).check()

    def distances(self, signals: Signals) -> Tensor:
        """Return the target distances in the chosen space, float64 `[facts]`."""
        return signals.distance_in(Encoder(self.encoder, self.centred))
