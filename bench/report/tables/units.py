"""The units that columns are drawn and exported in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """What the numbers of a column are shown in.

    Attributes:
        scale: What a number is multiplied by, as 100 for a share in percent.
        name: The unit, where the header does not say it.
    """

    scale: float = 1.0
    name: str = ""


PLAIN = Unit()
PERCENT = Unit(100.0)
MILLIONS = Unit(1e-6, "M")
TFLOP = Unit(1e-12, "TFLOP")
SECONDS = Unit(1.0, "s")
GIB = Unit(2.0**-30, "GiB")
