"""How a second step starts from what the first one trained."""

from __future__ import annotations

from enum import StrEnum

VERSION = 1
"""Raise it when cells that follow a first step get other numbers from the same adapters."""


class StepMode(StrEnum):
    """What becomes of the first step's weights in the second one.

    `frozen`: its adapter stays in the model and is not trained. `trainable`: both adapters are
    trained. `merged`: it becomes part of the weights that the second step calls its base.
    """

    FROZEN = "frozen"
    TRAINABLE = "trainable"
    MERGED = "merged"
