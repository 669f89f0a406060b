"""The contexts in which a question is asked, and which of them training sees."""

from __future__ import annotations

from enum import StrEnum


class Context(StrEnum):
    """A form of prompt around one question.

    `plain` is `Question: ...` and `Answer:`; `few_shot` puts four demonstrations before it;
    `chat` is the tokenizer's chat template, for models that have one; `bare` is the question
    alone, which no training sees.
    """

    PLAIN = "plain"
    FEW_SHOT = "few_shot"
    CHAT = "chat"
    BARE = "bare"


class TrainPrompt(StrEnum):
    """The contexts that training sees: one of them, or three in turn."""

    PLAIN = "plain"
    FEW_SHOT = "few_shot"
    CHAT = "chat"
    MIXED = "mixed"

    @property
    def trained(self) -> tuple[Context, ...]:
        """The contexts in which facts are trained, in the order in which they take turns."""
        if self is TrainPrompt.MIXED:
            return Context.PLAIN, Context.FEW_SHOT, Context.CHAT
        return (Context(self.value),)

    @property
    def asked(self) -> Context:
        """The context in which reliability, generality and the dose are measured."""
        return self.trained[0]
