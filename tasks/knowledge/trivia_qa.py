"""TriviaQA without its documents (Joshi et al. 2017, arXiv 1705.03551)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.base import task
from tasks.fact import Fact
from tasks.hub import HubTask, texts


@task("trivia_qa")
@dataclass(frozen=True)
class TriviaQa(HubTask):
    """TriviaQA: `rc.nocontext` validation questions, with all aliases."""

    source = "mandarjoshi/trivia_qa, rc.nocontext, validation"
    licence = "unknown (its code is Apache-2.0)"
    revision = "0f7faf33a3908546c6fd5b73a660e0f8ff173c2f"
    dataset = "mandarjoshi/trivia_qa"
    config = "rc.nocontext"

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question` and `answer`: its `value` is trained, its `aliases` count as correct."""
        answer = row["answer"]
        return Fact("", row["question"].strip(), texts([answer["value"], *answer["aliases"]]))
