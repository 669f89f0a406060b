"""Weight-decomposed LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("dora")
@dataclass(frozen=True)
class Dora(LoraFamily):
    """W' = m (W + s B A) / ||W + s B A||, m `[d_out]`. **exact**, 2402.09353.

    The norm is taken row by row and detached in the backward pass.
    """

    paper = "2402.09353"
    learning_rate = 1e-3
    options = MappingProxyType({"use_dora": True})
