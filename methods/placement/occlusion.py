"""The layers that the answers rely on most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from methods import occlusion
from methods.layer_choice import check_at_least_one
from methods.notes import Notes, Told, note
from methods.parts import Placement, placement
from methods.signals import Signals
from tasks.errors import UsageError

SHOWN = 5
"""How many of the largest rises are shown."""


@dataclass(frozen=True)
class OcclusionNotes(Notes):
    """How much the loss of the targets rises without each layer, in nats per token."""

    occlusion_rise: tuple[float, ...] | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the largest rises."""
        ranked = sorted(enumerate(self.occlusion_rise or (), 1), key=lambda pair: -pair[1])
        if ranked:
            text = ", ".join(f"layer {layer} {rise:+.2f}" for layer, rise in ranked[:SHOWN])
            yield Told("loss when skipped", f"{text} nats per token")


@placement("occlusion")
@dataclass(frozen=True)
class Occlusion(Placement):
    """Train the layers whose feed-forward part the answers rely on most.

    One layer's feed-forward part is skipped, its output replaced by its input; layers are ranked by
    the cross-entropy of the targets, and max(1, round(share L)) of L are trained, wherever they
    lie. **exact** for one token, as in the code of STAR (jianguda/astra, by the author of
    arXiv 2406.11753), which looks at the first token that an answer gets wrong; the means over the
    tokens of a target and over facts are ours.

    Attributes:
        share: Share of the layers to train, above 0 and at most 1.
        samples: At most so many facts are looked at, chosen by a fixed hash.
    """

    share: float = 0.25
    samples: int = 64

    def check(self) -> None:
        """Refuse a share outside (0, 1], and no facts."""
        check_at_least_one("samples", self.samples)
        if not 0 < self.share <= 1:
            raise UsageError(f"share={self.share:g}: it must be above 0 and at most 1")

    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return the layers with the largest rise; the lower one of equals."""
        rise = signals.get(occlusion.NAME, samples=self.samples).tolist()
        ranked = sorted(range(count), key=lambda layer: -rise[layer])
        return tuple(sorted(ranked[: max(1, round(self.share * count))]))

    def notes(self, signals: Signals, layers: tuple[int, ...]) -> Sequence[Notes]:
        """Return the rise for each layer."""
        rise = signals.get(occlusion.NAME, samples=self.samples).tolist()
        return (OcclusionNotes(tuple(rise)),)
