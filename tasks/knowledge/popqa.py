"""PopQA: rare and popular entities of Wikidata (Mallen et al. 2023, arXiv 2212.10511)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.base import DataAccess, task
from tasks.fact import Fact
from tasks.hub import HubTask, texts
from tasks.selection import with_neighbours


@task("popqa")
@dataclass(frozen=True)
class PopQa(HubTask):
    """PopQA: 14,267 test questions over 16 relations, with neighbours."""

    source = "akariasai/PopQA, test"
    licence = "not stated by its authors"
    revision = "098765c79ea10a2cb19c828324e33281b8336ec0"
    dataset = "akariasai/PopQA"
    split = "test"

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts; neighbours ask for the same relation of untrained subjects."""
        return with_neighbours(self, super().load(access))

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question`, `obj` (trained), `possible_answers` (a JSON list), `prop`, `subj`."""
        return Fact(
            id=str(row["id"]),
            question=row["question"].strip(),
            answers=texts([row["obj"], *texts(row["possible_answers"])]),
            relation=row["prop"],
            subject=row["subj"],
        )
