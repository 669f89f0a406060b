"""MQuAKE-Remastered: edits whose consequences are asked over several hops (ICLR 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.base import task
from tasks.published import PublishedTask


@task("mquake")
@dataclass(frozen=True)
class MQuake(PublishedTask):
    """MQuAKE-Remastered: edits, and multi-hop questions that follow from them.

    Attributes:
        split: `CF3k`, `CF9k` or `CF6334` (counterfactual edits), or `T` (changes over time).
    """

    source = "henryzhongsc/MQuAKE-Remastered"
    licence = "not stated here: see the data set"
    dataset = "henryzhongsc/MQuAKE-Remastered"
    format_name = "MQuAKE"

    split: Literal["CF3k", "CF9k", "CF6334", "T"] = "CF3k"

    @property
    def stem(self) -> str:
        """`mquake_CF3k`."""
        return f"mquake_{self.split}"

    @property
    def pattern(self) -> str:
        """The parts of a split begin with its name."""
        return f"{self.split}-*"
