"""A question that is fixed before any result, and what the results say about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.verdict import Verdict
from bench.report.statistics.comparison import holm

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its file name without ending, its caption, and what draws it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Question:
    """A question, fixed before any result.

    Attributes:
        key: Names its section and its pictures.
        title: The question in a few words.
        asks: The whole question.
        compared: What is compared with what, and how.
        source: The paper that makes the claim, with its arXiv id.
        expected: The paper's verdict on the first claim; None if it makes no statement.
        grids: Names of the grid files whose cells answer it.
        study: What runs a study that answers it, in place of grid files; empty for none.
        method: The only method it is about, where its effects compare facts; empty where they
            name methods.
    """

    key: str
    title: str
    asks: str
    compared: str
    source: str
    expected: Verdict | None
    grids: tuple[str, ...]
    study: str = ""
    method: str = ""


@dataclass(frozen=True)
class Answer:
    """What the results say about a question.

    Attributes:
        question: The question.
        claims: At least one. The first is about the primary outcome and answers the question; the
            others say more and lead to no advice.
        details: Further effects, corrected among themselves, that decide nothing.
        measured: Values that were not tested.
        caveats: What a reader must know about these results.
        pictures: Pictures for its section.
        needs: What would decide a question that has not run, where the design has too little.
    """

    question: Question
    claims: tuple[Claim, ...]
    details: tuple[Effect, ...] = ()
    measured: tuple[Effect, ...] = ()
    caveats: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    needs: str = ""

    @property
    def primary(self) -> Claim:
        """The claim that answers the question."""
        return self.claims[0]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the primary claim."""
        return self.primary.verdict

    @property
    def advice(self) -> str:
        """What to do; empty if the question is open, or its verdict advises nothing."""
        decided = self.verdict in (Verdict.YES, Verdict.NO)
        return self.primary.advice.get(self.verdict, "") if decided else ""

    @property
    def contradicts(self) -> bool:
        """Whether the verdict is the opposite of what the paper says."""
        expected = self.question.expected
        return expected is not None and self.verdict is expected.opposite is not expected


def corrected_answer(answer: Answer) -> Answer:
    """Apply Holm's correction to the details; claims correct over their rivals themselves."""
    return replace(answer, details=tuple(_holm(answer.details)))


def _holm(effects: Sequence[Effect]) -> list[Effect]:
    tested = [effect.p for effect in effects if effect.p is not None]
    adjusted = iter(holm(np.array(tested)))
    return [e if e.p is None else replace(e, p_holm=next(adjusted)) for e in effects]
