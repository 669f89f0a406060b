"""LoRA: low-rank adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from methods.lora_family import LoraFamily
from methods.parts import adapter


@adapter("lora")
@dataclass(frozen=True)
class Lora(LoraFamily):
    """Low-rank adaptation: a trained product B A is added to each weight.

    W' = W + s B A with s = alpha / r; B `[d_out, r]` starts at 0, A `[r, d_in]` at random.
    **exact**, arXiv 2106.09685.
    """

    paper = "2106.09685"
    learning_rate = 1e-3
