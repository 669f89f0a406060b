"""How instructions are put to a model: Stanford Alpaca's prompts, and the model's chat template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tasks.alpaca import AFTER, BEFORE
from tasks.conversation import transcript
from tasks.form import Form

LONGEST_RESPONSE = 512
"""Most tokens of a response; longer ones are refused. Alpaca's code cuts prompt and response
together after as many."""

INPUT = "\n\n### Input:\n"
"""Stands between an instruction and its input, within a question."""

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
)


@dataclass(frozen=True)
class AlpacaForm(Form):
    """Alpaca's prompts, word for word: one for instructions with an input, one for those without.

    The response follows directly and ends with the end-of-sequence token. Source:
    https://github.com/tatsu-lab/stanford_alpaca (`train.py`, `PROMPT_DICT`), Apache-2.0.
    """

    before: str = BEFORE
    after: str = AFTER
    space: str = ""
    stop: str = ""
    longest: int = LONGEST_RESPONSE

    others: ClassVar[tuple[str, ...]] = (f"?{INPUT}?",)

    def question(self, question: str) -> str:
        """Return the prompt of an instruction, or of an instruction, `INPUT` and its input."""
        before = _WITH_INPUT if INPUT in question else self.before
        return f"{before}{question}{self.after}"


@dataclass(frozen=True)
class ChatForm(Form):
    """Conversations (`tasks.conversation`), which the tokenizer's chat template puts.

    Without a tokenizer, as where covariances are calibrated, they are written as a transcript.
    """

    before: str = ""
    after: str = "\nAssistant:"
    stop: str = ""
    space: str = ""
    longest: int = LONGEST_RESPONSE
    chat: bool = True

    def question(self, question: str) -> str:
        """Return the transcript of a conversation, up to the answer."""
        return f"{transcript(question)}{self.after}"

    def target(self, answer: str) -> str:
        """Return the answer: a chat template ends in a newline or a tag, and no space follows."""
        return answer


ALPACA = AlpacaForm()
CHAT = ChatForm()
