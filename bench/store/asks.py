"""What a cell asks before and after training, in words for titles, tables and pictures."""

from __future__ import annotations

from enum import StrEnum


class Asks(StrEnum):
    """What a cell asks; a closed set.

    Facts are trained themselves. Problems are held out of a skill. Questions are about texts: of
    these either the texts alone are trained, or both.
    """

    FACTS = "facts"
    PROBLEMS = "problems"
    QUESTIONS = "questions"
    TRAINED_QUESTIONS = "trained questions"

    @property
    def items(self) -> str:
        """Several of them in one word: `facts`, `problems`, `questions`."""
        return self.value.rpartition(" ")[2]

    @property
    def noun(self) -> str:
        """One of them: `fact`, `held-out problem`, `question`."""
        return "held-out problem" if self is Asks.PROBLEMS else self.items.removesuffix("s")

    @property
    def lessons(self) -> str:
        """What is trained if not the facts themselves, beside problems or questions."""
        told = {
            Asks.QUESTIONS: "passages",
            Asks.TRAINED_QUESTIONS: "passages and questions",
        }
        return told.get(self, "others")
