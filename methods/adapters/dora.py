"""DoRA: weight-decomposed LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("dora")
@dataclass(frozen=True)
class Dora(LoraFamily):
    """LoRA that trains magnitude and direction of weight rows separately.

    W' = m (W + s B A) / ||W + s B A|| with m `[d_out]`. The norm is taken row by row and counts
    as a constant in the backward pass. **exact**, arXiv 2402.09353.
    """

    paper = "2402.09353"
    learning_rate = 1e-3
    options = MappingProxyType({"use_dora": True})
    trains = "A, B and m"
