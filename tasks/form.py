"""How a question and its answer are written, and where an answer ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

LONGEST_ANSWER = 256
"""Most tokens that an answer of one line may have, its stop included; longer ones are refused."""


@dataclass(frozen=True)
class Form:
    """How the questions of a task are put to a model and its answers written.

    Attributes:
        before, after: What stands before and after a question.
        space: What stands before an answer.
        stop: Ends an answer and is trained as its end, as the end-of-sequence token does; empty if
            only that token ends it, so that answers may have several lines. It is one character.
        longest: Most tokens that an answer may have, its end included; longer targets are refused.
        window: Tokens per window into which texts (facts without a question) are packed.
        chat: Whether questions are conversations, which the tokenizer's chat template puts.
        cut: Most tokens of a question and its answer in training: what is longer is cut, and need
            not be answerable; 0 trains everything whole.
        labels: Whether answers are labels of texts: then all choices of a fact are scored.
    """

    before: str = "Question: "
    after: str = "\nAnswer:"
    space: str = " "
    stop: str = "\n"
    longest: int = LONGEST_ANSWER
    window: int = 0
    chat: bool = False
    cut: int = 0
    labels: bool = False

    others: ClassVar[tuple[str, ...]] = ()
    """Questions that are written otherwise than `?` is; they stand for their kind in digests."""

    def question(self, question: str) -> str:
        """Return the plain prompt of a question; a text has none."""
        return f"{self.before}{question}{self.after}" if question else ""

    def target(self, answer: str) -> str:
        """Return the continuation that is trained: the answer, and what ends it as text."""
        return f"{self.space}{answer}{self.stop}"

    def shown(self, question: str, answer: str) -> str:
        """Return a demonstration: a question with its answer, and a blank line."""
        ended = self.stop or "\n"
        return f"{self.question(question)}{self.space}{answer}{ended}\n"

    def token_budget(self, longest: int) -> int:
        """Return how many tokens an answer may have, given the longest target in tokens."""
        return min(self.longest, longest + 4)


QUESTIONS = Form()
"""The form of facts: `Question: ...` and `Answer:`, with answers of one line."""

LABELLED = Form(before="Text: ", after="\nLabel:", labels=True)
"""The form of classification: `Text: ...` and `Label:`."""
