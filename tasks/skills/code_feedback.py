"""CodeFeedback: programming questions with answers (Zheng et al. 2024, arXiv 2402.14658)."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.base import task
from tasks.skills._instructions import Instructions


@task("code_feedback")
@dataclass(frozen=True)
class CodeFeedback(Instructions):
    """CodeFeedback-Filtered-Instruction: programming questions answered with code."""

    source = "m-a-p/CodeFeedback-Filtered-Instruction, the first 100,000 rows of train"
    licence = "Apache-2.0"
    dataset = "m-a-p/CodeFeedback-Filtered-Instruction"
    instruction = "query"
    response = "answer"
