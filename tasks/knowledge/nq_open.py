"""NQ-open: questions that people asked a search engine (Lee et al. 2019, arXiv 1906.00300)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.base import task
from tasks.fact import Fact
from tasks.hub import HubTask, texts


@task("nq_open")
@dataclass(frozen=True)
class NqOpen(HubTask):
    """NQ-open: the 3,610 questions of the development set."""

    source = "google-research-datasets/nq_open, validation"
    licence = "CC-BY-SA-3.0"
    revision = "5dd9790a83002ad084ddeb7c420dc716852c6f28"
    dataset = "google-research-datasets/nq_open"

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question` and the list `answer`."""
        return Fact("", row["question"].strip(), texts(row["answer"]))
