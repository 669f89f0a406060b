"""The training questions of NQ-open as texts, on which CorDA's code calibrates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.base import Shares, task
from tasks.fact import Fact
from tasks.hub import HubTask
from tasks.row import Row


@task("nq_questions")
@dataclass(frozen=True)
class NqQuestions(HubTask):
    """NQ-open's 87,925 training questions without answers, for calibration only.

    They are no questions of the development set, on which `lm_eval:nq_open` measures forgetting.
    """

    source = "google-research-datasets/nq_open, train"
    licence = "CC-BY-SA-3.0"
    revision = "5dd9790a83002ad084ddeb7c420dc716852c6f28"
    dataset = "google-research-datasets/nq_open"
    split = "train"

    @property
    def shares(self) -> Shares:
        """All of them are for calibration."""
        return Shares(train=0.0, calibration=1.0, forget=0.0)

    def _cleaned(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """Return each question once."""
        return tuple({fact.id: fact for fact in facts}.values())

    def _checked(self, row: Row) -> Fact:
        try:
            return self.fact_of(row.values)
        except (KeyError, AttributeError) as error:
            raise row.missing("question") from error

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question`, as a text."""
        question = row["question"].strip()
        return Fact(question, "", (question,))
