"""What tasks have in common whose passages are trained, and questions about them asked."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from tasks.base import DataAccess, KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction
from tasks.form import QUESTIONS, Form
from tasks.row import quoted
from tasks.scoring import normalise

WINDOWS = (16, 8192)
"""Fewest and most tokens in a window; a model may read fewer than the most."""


class Learn(StrEnum):
    """What is trained: the texts, the questions about them, or both."""

    TEXTS = "texts"
    QUESTIONS = "questions"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class TextTask(KnowledgeTask):
    """Base class of texts with questions about them.

    The same questions are asked whatever is trained, so the ways to learn can be compared.

    Attributes:
        learn: What is trained.
        window: Tokens per window into which texts are packed, across passages and files.
    """

    learn: Learn = Learn.TEXTS
    window: int = 128

    def __post_init__(self) -> None:
        least, most = WINDOWS
        if not least <= self.window <= most:
            raise ValueError(f"window={self.window} must be from {least} to {most} tokens")

    # What the base class keeps per class depends on a parameter here.
    @property
    def held_out(self) -> bool:  # type: ignore[override]
        """Whether texts are trained: then what is asked is not all that is trained."""
        return self.learn is not Learn.QUESTIONS

    @property
    def form(self) -> Form:  # type: ignore[override]
        """The form of facts, with texts packed into windows."""
        return Form(window=self.window) if self.held_out else QUESTIONS

    @property
    def epochs(self) -> int:  # type: ignore[override]
        """As often as facts for questions; texts are packed, so an epoch has far fewer steps."""
        return 30 if self.learn is Learn.TEXTS else 10

    @abstractmethod
    def passages(self, access: DataAccess) -> Sequence[Fact]:
        """Return the texts, in the order in which they are packed."""

    @abstractmethod
    def asked(self, access: DataAccess) -> Sequence[Fact]:
        """Return the questions about them."""

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return passages and questions, or the questions alone if nothing else is trained."""
        asked = tuple(self.asked(access))
        return asked if self.learn is Learn.QUESTIONS else (*self.passages(access), *asked)

    def first(self, questions: Sequence[Fact], limit: int) -> tuple[Fact, ...]:
        """Return at most `limit` questions, all those of one subject together.

        So the passages that tell them are few, and nearly all that they tell is asked.
        """
        return tuple(
            sorted(questions, key=lambda fact: (hash_fraction("select", _about(fact)), fact.id))
        )[:limit]

    def telling(self, passages: Sequence[Fact], questions: Sequence[Fact]) -> tuple[Fact, ...]:
        """Return the passages to train where these questions are asked: all of them."""
        return tuple(passages)


def refuse_shown(name: str, passages: Sequence[Fact], questions: Sequence[Fact]) -> None:
    """Refuse a question that the texts ask themselves: its answer would be trained, not learned.

    Args:
        name: The texts, for the message.
        passages: What is trained.
        questions: What is asked, in its own words and in others.

    Raises:
        UsageError: There is one; the line says where it stands.
    """
    forms = [f" {normalise(passage.target)} \n" for passage in passages]
    whole, ends = "".join(forms), list(accumulate(map(len, forms)))
    for fact in questions:
        for text in (fact.question, *fact.paraphrases):
            if (at := _place(whole, normalise(text))) is not None:
                where = passages[bisect(ends, at)].id
                raise UsageError(
                    f"{name}: {quoted(text)} is asked in the text itself ({where}), which would "
                    "train the question with its answer; word it differently, or leave it out"
                )


def _place(whole: str, text: str) -> int | None:
    """Return where a text stands, with no letter or digit before and after it."""
    at = whole.find(text)
    while at >= 0:
        if not (whole[at - 1].isalnum() or whole[at + len(text)].isalnum()):
            return at
        at = whole.find(text, at + 1)
    return None


def _about(fact: Fact) -> str:
    return fact.subject or fact.id
