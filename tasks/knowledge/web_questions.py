"""WebQuestions: questions with answers in Freebase (Berant et al. 2013, ACL D13-1160)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.base import task
from tasks.fact import Fact
from tasks.hub import HubTask, texts


@task("web_questions")
@dataclass(frozen=True)
class WebQuestions(HubTask):
    """WebQuestions: the 2,032 questions of the test split."""

    source = "stanfordnlp/web_questions, test"
    licence = "CC-BY-4.0"
    revision = "0e473cbe21d1e91ec18da343644498be6a3f5454"
    dataset = "stanfordnlp/web_questions"
    split = "test"

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question` and the list `answers`."""
        return Fact("", row["question"].strip(), texts(row["answers"]))
