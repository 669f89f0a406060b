"""OPLoRA: orthogonal projection LoRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.lora_family import LoraFamily
from methods.notes import Notes
from methods.parts import Setting, adapter
from methods.projections import (
    Outside,
    keep_outside,
    main_directions,
    nothing_left,
    project_again,
)
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


@adapter("oplora")
@dataclass(frozen=True)
class OpLora(LoraFamily):
    """LoRA that keeps outside the largest singular directions of each weight.

    With the k largest of W = U S V^T it trains W' = W + s (I - U_k U_k^T) B A (I - V_k V_k^T), so
    that the k largest singular triples of W are triples of W' too, though no longer its largest
    where s B A is larger. B and A are projected at the start and after each optimizer step.
    **exact** in its form, arXiv 2510.13003; where the paper projects was not read.

    Attributes:
        k: How many singular directions are kept. The paper's default is **open**: it could not be
            read; others use 16 to 128.
    """

    k: int = 16

    paper = "2510.13003"
    learning_rate = 1e-3
    reads_weights = True
    seed_free = True

    def check(self) -> None:
        """Refuse to keep less than one direction."""
        super().check()
        if self.k < 1:
            raise UsageError(f"k={self.k}: at least one direction must be kept")

    def prepare(self, setting: Setting) -> dict[str, Outside]:
        """Find the directions to keep in the weight of every target."""
        return self.each_target(setting, lambda _, W: main_directions(W, self.k))

    def attach(self, setting: Setting, prepared: Mapping[str, Outside]) -> nn.Module:
        """Add B = 0 and A, projected, to every target."""
        return keep_outside(super().attach(setting, prepared), prepared)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Project what the optimizer has made of A and B."""
        project_again(model)

    def keeps_state(self, model: nn.Module) -> bool:
        """Return False: what is projected out is found again."""
        return False

    def notes(self, model: nn.Module, prepared: Mapping[str, Outside]) -> Sequence[Notes]:
        """Return a warning about targets in which no direction is left to train."""
        return (*super().notes(model, prepared), *nothing_left(prepared))
