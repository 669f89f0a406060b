"""The prompts of each context for one tokenizer, and facts as examples to train or to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bench.inference.encoding import Example, encode_all, encode_texts, shortened
from tasks.context import Context, TrainPrompt
from tasks.conversation import USER, after_demonstrations, turns_of
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
        """All contexts, without `chat` where the tokenizer has no chat template.

        Conversations are always put by it, so that it is no context of its own for them.
        """
        chat = self._has_template and not self.form.chat
        return tuple(one for one in Context if one is not Context.CHAT or chat)

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
            UsageError: Training needs a chat template and the tokenizer has none, or conversations
                are put by it anyway.
        """
        if self.form.chat and Context.CHAT in self.train_prompt.trained:
            raise UsageError(
                f"--train-prompt {self.train_prompt}: conversations are put by the model's chat "
                "template in any case; use plain or few_shot"
            )
        if not {*self.train_prompt.trained} <= {*self.available}:
            raise UsageError(
                f"--train-prompt {self.train_prompt}: this model's tokenizer has no chat template; "
                "use plain or few_shot"
            )
        return self.train_prompt.trained

    def prompt(self, context: Context, question: str) -> str:
        """Return a whole prompt, without special tokens that the tokenizer adds by itself."""
        if self.form.chat:
            return self._conversation(context, question)
        match context:
            case Context.PLAIN:
                return self.form.question(question)
            case Context.FEW_SHOT:
                return self.demonstrations.few_shot(question)
            case Context.CHAT:
                return self._templated([{"role": USER, "content": question}])
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

    def _conversation(self, context: Context, question: str) -> str:
        """Return the prompt of a conversation; `bare` is its last turn alone."""
        if context is Context.BARE:
            return turns_of(question)[-1]["content"]
        shown = self.demonstrations.demonstrations if context is Context.FEW_SHOT else ()
        return self._templated(after_demonstrations(question, shown))

    def _templated(self, turns: list[dict[str, str]]) -> str:
        """Return turns in the tokenizer's chat template, up to the answer.

        Raises:
            UsageError: There is no template, or it refuses these turns.
        """
        from jinja2 import TemplateError

        if not self._has_template:
            raise UsageError(
                "conversations need a chat template and this model's tokenizer has none; use a "
                "model that has one, or write the examples as instructions ([as=alpaca])"
            )
        try:
            text: str = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UsageError(
                f"this model's chat template refuses a conversation of {len(turns)} turns: "
                f"{' '.join(str(error).split())}"
            ) from error
        # Tokenizing adds it once more, and a model trained with one such token reads two badly.
        return text.removeprefix(self.tokenizer.bos_token or "") if self._adds_begin else text

    @property
    def _has_template(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    @cached_property
    def _adds_begin(self) -> bool:
        begin = self.tokenizer.bos_token_id
        return begin is not None and begin in self.tokenizer("")["input_ids"]
