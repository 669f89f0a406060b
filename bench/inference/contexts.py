"""The prompts of each context for one tokenizer, and facts as examples to train or to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bench.inference.encoding import Example, encode_all, encode_texts, shortened
from tasks.context import Context, TrainPrompt
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.form import Form
from tasks.prompt import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Contexts:
    """How questions are put to one model, in every context that its tokenizer allows.

    Attributes:
        tokenizer: The base's tokenizer.
        demonstrations: The task's demonstrations.
        train_prompt: The contexts that training sees.
    """

    tokenizer: PreTrainedTokenizerBase
    demonstrations: Prompt
    train_prompt: TrainPrompt = TrainPrompt.PLAIN

    @cached_property
    def available(self) -> tuple[Context, ...]:
        """All contexts, without `chat` where the tokenizer has no chat template."""
        has_chat = bool(getattr(self.tokenizer, "chat_template", None))
        return tuple(one for one in Context if one is not Context.CHAT or has_chat)

    @property
    def form(self) -> Form:
        """How questions and answers are written."""
        return self.demonstrations.form

    @property
    def asked(self) -> Context:
        """The context in which reliability is measured."""
        return self.train_prompt.asked

    @property
    def trained(self) -> tuple[Context, ...]:
        """The contexts in which facts are trained, in turn.

        Raises:
            UsageError: Training needs a chat template and the tokenizer has none.
        """
        if not {*self.train_prompt.trained} <= {*self.available}:
            raise UsageError(
                f"--train-prompt {self.train_prompt}: this model's tokenizer has no chat template; "
                "use plain or few_shot"
            )
        return self.train_prompt.trained

    def prompt(self, context: Context, question: str) -> str:
        """Return a whole prompt, without special tokens that the tokenizer adds by itself."""
        match context:
            case Context.PLAIN:
                return self.form.question(question)
            case Context.FEW_SHOT:
                return self.demonstrations.few_shot(question)
            case Context.CHAT:
                return self._chat(question)
            case Context.BARE:
                return question

    def target(self, context: Context, answer: str) -> str:
        """Return the continuation that is trained and scored after a prompt."""
        # A chat template ends in a newline or a tag, after which no space is natural.
        form = self.form
        return f"{answer}{form.stop}" if context is Context.CHAT else form.target(answer)

    def examples(self, context: Context, facts: Sequence[Fact]) -> list[Example]:
        """Encode facts with their targets in one context.

        Facts without a question are texts: joined by newlines and cut into windows, they give
        another number of examples, which come first. Those longer than the form allows are cut.
        """
        texts = [fact.target for fact in facts if fact.is_text]
        windows = encode_texts(self.tokenizer, texts, self.form.window) if texts else []
        pairs = [(fact.question, fact.target) for fact in facts if not fact.is_text]
        encoded = self.encode(context, pairs)
        if self.form.cut:
            encoded = [shortened(example, self.form.cut) for example in encoded]
        return windows + encoded

    def encode(self, context: Context, pairs: Sequence[tuple[str, str]]) -> list[Example]:
        """Encode questions with the answers given for them in one context."""
        texts = [(self.prompt(context, q), self.target(context, answer)) for q, answer in pairs]
        return encode_all(self.tokenizer, texts, ended=not self.form.stop)

    def _chat(self, question: str) -> str:
        asked = [{"role": "user", "content": question}]
        text: str = self.tokenizer.apply_chat_template(
            asked, tokenize=False, add_generation_prompt=True
        )
        # Tokenizing adds it once more, and a model trained with one such token reads two badly.
        return text.removeprefix(self.tokenizer.bos_token or "") if self._adds_begin else text

    @cached_property
    def _adds_begin(self) -> bool:
        begin = self.tokenizer.bos_token_id
        return begin is not None and begin in self.tokenizer("")["input_ids"]
