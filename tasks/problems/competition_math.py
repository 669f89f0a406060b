"""MATH: competition problems (Hendrycks et al. 2021, arXiv 2103.03874)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tasks.base import DataAccess
from tasks.extraction import extractor
from tasks.fact import Fact
from tasks.problems.base import ProblemSet, problem_set
from tasks.problems.equality import same_result
from tasks.problems.notation import boxed, last_sentence
from tasks.problems.numbers import MARK, after_mark

SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


@extractor("result in LaTeX", same_result)
def result_in_latex(answer: str) -> str:
    """Return what follows the last mark of an answer, up to the end of its sentence."""
    return last_sentence(after_mark(answer))


@problem_set("math")
@dataclass(frozen=True)
class CompetitionMath(ProblemSet):
    """MATH: 5,000 test problems, asked and scored as CorDA's code does."""

    source = "EleutherAI/hendrycks_math, all subjects, test"
    licence = "MIT"
    revision = "main"
    dataset = "EleutherAI/hendrycks_math"
    longest = 2048

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        r"""Read `problem` and `solution`, or `instruction` and `output` as CorDA's file has them.

        A solution whose `\\boxed{...}` cannot be read stays: no answer to it counts as right.
        """
        ours = "problem" in row or "instruction" not in row
        asked, solved = ("problem", "solution") if ours else ("instruction", "output")
        solution = row[solved].strip()
        result = boxed(solution)
        wanted = f"{solution}\n{MARK}{result}" if result else solution
        return Fact("", row[asked].strip(), (wanted,), extract="result in LaTeX")

    def _hub_rows(self, access: DataAccess) -> Iterable[Mapping[str, Any]]:
        parts = [_Subject(subject) for subject in SUBJECTS]
        return list(chain.from_iterable(part._hub_rows(access) for part in parts))


@dataclass(frozen=True)
class _Subject(CompetitionMath):
    """One subject of MATH, which the hub holds for itself."""

    config: str = ""  # type: ignore[misc]  # one of several, and part of nothing's name

    def _hub_rows(self, access: DataAccess) -> Iterable[Mapping[str, Any]]:
        return super(CompetitionMath, self)._hub_rows(access)
