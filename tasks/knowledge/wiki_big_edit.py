"""WikiBigEdit: changes of Wikidata in eight steps of time (arXiv 2503.05683)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.base import task
from tasks.published import PublishedTask
from tasks.rows import Row

STEPS = (
    *("20240201_20240220", "20240220_20240301", "20240301_20240320", "20240320_20240401"),
    *("20240401_20240501", "20240501_20240601", "20240601_20240620", "20240620_20240701"),
)
"""From which date to which each step goes, as the files are named."""


@task("wiki_big_edit")
@dataclass(frozen=True)
class WikiBigEdit(PublishedTask):
    """WikiBigEdit: what changed in Wikidata, in eight steps from February to July 2024.

    Attributes:
        step: The step of time, from 1 to 8; each is a task of its own.
        tag: `new` facts, `update` of facts that were otherwise, or `all`.
    """

    source = "lukasthede/WikiBigEdit"
    licence = "Apache-2.0"
    dataset = "lukasthede/WikiBigEdit"
    format_name = "WikiBigEdit"

    step: int = 1
    tag: Literal["all", "new", "update"] = "all"

    def __post_init__(self) -> None:
        if not 1 <= self.step <= len(STEPS):
            raise ValueError(f"step={self.step} must be between 1 and {len(STEPS)}")

    @property
    def stem(self) -> str:
        """`wiki_big_edit_3`."""
        return f"wiki_big_edit_{self.step}"

    @property
    def pattern(self) -> str:
        """The authors name files after the two dates."""
        return f"*{STEPS[self.step - 1]}*"

    def wanted(self, row: Row) -> bool:
        """Return whether a record has the tag."""
        return self.tag == "all" or row.values.get("tag") == self.tag
