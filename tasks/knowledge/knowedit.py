"""KnowEdit: edits with what should follow and what should stay (arXiv 2401.01286)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.base import task
from tasks.published import PublishedTask

_FILES = {
    "wiki_recent": "*recent_test.json",
    "wiki_counterfact": "*test_cf.json",
    "zsre": "*ZsRE-test-all.json",
    "wikibio": "*wikibio-test-all.json",
}


@task("knowedit")
@dataclass(frozen=True)
class KnowEdit(PublishedTask):
    """KnowEdit: edits with aliases, multi-hop and logical consequences, and neighbours.

    Attributes:
        part: Which test file; the two about sentiment and erasure are not facts.
    """

    source = "zjunlp/KnowEdit"
    licence = "not stated here: see the data set"
    dataset = "zjunlp/KnowEdit"
    format_name = "KnowEdit"

    part: Literal["wiki_recent", "wiki_counterfact", "zsre", "wikibio"] = "wiki_recent"

    @property
    def stem(self) -> str:
        """`knowedit_wiki_recent`."""
        return f"knowedit_{self.part}"

    @property
    def pattern(self) -> str:
        """The authors' name of the test file, which some copies begin with a folder's."""
        return _FILES[self.part]
