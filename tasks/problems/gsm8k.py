"""GSM8K: school problems with worked solutions (Cobbe et al. 2021, arXiv 2110.14168)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.extraction import extractor
from tasks.fact import Fact
from tasks.problems.base import ProblemSet, problem_set
from tasks.problems.numbers import MARK, same_whole_number, whole_number

_CALCULATOR = re.compile(r"<<.*?>>")
"""Calculations within a solution, written for a calculator."""

_RESULT = "#### "
"""Stands before the result of a solution."""

extractor("whole number", same_whole_number)(whole_number)


@problem_set("gsm8k")
@dataclass(frozen=True)
class Gsm8k(ProblemSet):
    """GSM8K: 1,319 test problems, asked and scored as CorDA's code does.

    It is not lm-eval's `gsm8k`, which shows five demonstrations and reads another mark.
    """

    source = "openai/gsm8k, main, test"
    licence = "MIT"
    revision = "main"
    dataset = "openai/gsm8k"
    config = "main"
    longest = 1024

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read `question`, and `answer` with the result behind `####`."""
        solution, mark, result = row["answer"].partition(_RESULT)
        if not mark or not re.fullmatch(r"-?[\d,]+", result.strip()):
            raise ValueError(f"'answer' has no whole number behind '{_RESULT.strip()}'")
        steps = _CALCULATOR.sub("", solution).strip()
        wanted = f"{steps}\n{MARK}{int(result.replace(',', ''))}"
        return Fact("", row["question"].strip(), (wanted,), extract="whole number")
