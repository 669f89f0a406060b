"""What the untouched base knows about the facts: computed on first use, shared by all cells."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from bench.evaluation.embedding_space import AnswerSpace, TextSpace
from bench.evaluation.knowledge_category import measure_knowledge
from bench.evaluation.responses import Responses, respond_untrained
from bench.inference.contexts import Contexts
from bench.inference.encoding import batches_by_length, collate
from bench.inference.generation import answer_budget, greedy_answers
from bench.inference.hidden_states import fact_deviations
from bench.inference.likelihood import fact_losses, negative_log_likelihoods, target_logits
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.store.cost_cache import CostCache, Shared
from bench.store.knowledge import KnowledgeCategory
from methods.calibration import (
    BATCH,
    calibration_facts,
    enough_facts,
    text_batches,
    window_length,
)
from methods.covariance import Covariances, input_covariances
from methods.encoder import Encoder
from methods.gradient import Gradients, mean_gradients, rows_at_once
from methods.layer_deviation import LayerDeviations, Norm
from methods.signals import registered_signal
from tasks.context import Context, TrainPrompt
from tasks.fact import Fact, facts_digest
from tasks.prompt import Prompt, fact_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


class BaseSignals:
    """The `methods.signals.Signals` of one model, task and prompt.

    Args:
        base: The untouched base in memory.
        facts: The selected training facts.
        prompt: The task's demonstrations.
        cache: The cache that the cells of a process share.
        train_prompt: The contexts that training sees.
    """

    def __init__(
        self,
        base: Base,
        facts: tuple[Fact, ...],
        prompt: Prompt,
        cache: CostCache,
        train_prompt: TrainPrompt = TrainPrompt.PLAIN,
    ) -> None:
        self.facts = facts
        self.space = AnswerSpace(base.tokenizer, base.model.get_input_embeddings().weight)
        self.prompt = prompt
        self.model: PreTrainedModel = base.model
        self.tokenizer: PreTrainedTokenizerBase = base.tokenizer
        self.contexts = Contexts(base.tokenizer, prompt, train_prompt)
        self._base = base
        self._cache = cache
        self._digest = facts_digest(facts)

    @property
    def before(self) -> Responses:
        """What the untouched base answers about the facts."""
        return self._cache.get_shared(self.responses)

    @property
    def distance(self) -> Tensor:
        """Semantic distance of the base's own answer to the target, float64 `[facts]`."""
        return self.distance_in(Encoder())

    def distance_in(self, encoder: Encoder) -> Tensor:
        """Return the distances measured in another space, float64 `[facts]`."""
        key = self._key("distance", self._digest, self.prompt.digest, repr(encoder))
        return self._cache.get(
            key, lambda: self.text_space(encoder).distances(self.before.few_shot)
        ).clone()

    def text_space(self, encoder: Encoder) -> TextSpace:
        """Return the space in which answers to the facts are compared."""
        key = self._key("text space", self._digest, repr(encoder))
        return self._cache.get(key, lambda: TextSpace(self._base, encoder, self.facts))

    @property
    def known(self) -> Tensor:
        """Whether the base already answers the fact correctly, greedily, bool `[facts]`."""
        return _correct(self.before.few_shot, self.facts)

    @property
    def knowledge(self) -> tuple[KnowledgeCategory, ...]:
        """What the base knows of each fact, by greedy and sampled answers."""
        return self._cache.get_shared(self.sampled_knowledge)

    @property
    def responses(self) -> Shared[Responses]:
        """The value of `before` in the form that processes share."""
        key = self._key("before", self._digest, self.prompt.digest, self.contexts.asked)
        asked = partial(respond_untrained, self.model, self.contexts, self.facts)
        return Shared(key, asked, Responses)

    @property
    def sampled_knowledge(self) -> Shared[tuple[KnowledgeCategory, ...]]:
        """The value of `knowledge` in the form that processes share; it needs `responses`."""

        def measure() -> tuple[KnowledgeCategory, ...]:
            answers = self.before.few_shot
            return measure_knowledge(self.model, self.tokenizer, self.facts, self.prompt, answers)

        key = self._key("knowledge", self._digest, self.prompt.digest)
        return Shared(key, measure, tuple[KnowledgeCategory, ...])

    def layer_deviation(self, norm: Norm) -> LayerDeviations:
        """Return the deviation of each of the L + 1 latent spaces on the trained prompt."""
        head = self.model.get_output_embeddings()
        per_fact = self._cache.get(
            self._key(
                "layer deviation", self._digest, self.prompt.digest, self.contexts.asked, norm
            ),
            lambda: fact_deviations(
                self.model,
                head.weight,
                self.contexts.examples(self.contexts.asked, self.facts),
                self.tokenizer.pad_token_id,
                norm,
            ),
        )
        return LayerDeviations(per_fact, head_bias=getattr(head, "bias", None) is not None)

    def target_losses(self, facts: Sequence[Fact]) -> Tensor:
        """Return the mean cross-entropy of each fact's target on the trained prompt, in nats."""
        examples = self.contexts.examples(self.contexts.asked, facts)
        pad = self.tokenizer.pad_token_id
        losses = negative_log_likelihoods(self.model, examples, pad)
        return torch.tensor(losses, dtype=torch.float64)

    def covariance(
        self,
        facts: Sequence[Fact],
        samples: int | None = None,
        pack: int = 0,
        *,
        scaled: bool = True,
    ) -> Covariances:
        """Return the input covariances of the base's linear layers over calibration facts.

        Args:
            facts: Calibration facts; question and answer of each are one text.
            samples: The largest number of facts; None takes as many as have 16,384 tokens, or all.
            pack: Tokens per window of joined texts; with 0 each text is a sample.
            scaled: Whether to divide each sample by |max(X)| first.
        """
        if samples is None:
            chosen = enough_facts(self.tokenizer, facts, text=self._text)
        else:
            chosen = calibration_facts(facts, samples)
        window = window_length(self.model, pack)

        def measure() -> Covariances:
            texts = [self._text(fact) for fact in chosen]
            # Windows run one by one: they fill the cores, and none is padded to another's length.
            size = 1 if window else BATCH
            batches = text_batches(self.tokenizer, texts, self.model.device, window, size)
            return input_covariances(self.model, batches, scaled=scaled)

        key = ("covariance", facts_digest(chosen), str(window), str(scaled))
        return self._measured(key, measure)

    def gradient(self, facts: Sequence[Fact], samples: int | None = None) -> Gradients:
        """Return the mean gradient of the base's linear layers, of the loss that training has.

        Args:
            facts: Facts to learn, in the contexts that training sees; every fact counts the same.
            samples: The largest number of facts, chosen by a fixed hash; None takes all.
        """
        chosen = calibration_facts(facts, samples)
        contexts = self.contexts.trained

        def measure() -> Gradients:
            examples = [e for one in contexts for e in self.contexts.examples(one, chosen)]
            lengths = [len(example.tokens) for example in examples]
            rows = rows_at_once(max(lengths, default=1))
            pad, model = self.tokenizer.pad_token_id, borrow(self._base).model

            def losses(indices: list[int]) -> Tensor:
                batch = collate(examples, indices, pad)
                return fact_losses(target_logits(model, batch), batch.labels)[0]

            return mean_gradients(model, batches_by_length(lengths, rows, None), losses)

        key = ("gradient", facts_digest(chosen), self.prompt.digest, *contexts)
        return self._measured(key, measure)

    def start(self, key: Hashable, prepare: Callable[[], Any]) -> Any:
        """Return what an adapter prepares, once for all cells with this `Adapter.start_key`."""
        return self._cache.get((*self._key("start"), key), prepare)

    def get(self, name: str, **parameters: Hashable) -> Any:
        """Return a registered signal, computed once for each set of parameters."""
        compute = registered_signal(name)
        key = self._key(f"signal {name}", self._digest, self.prompt.digest)
        return self._cache.get(
            (*key, *sorted(parameters.items())), lambda: compute(self, **parameters)
        )

    def now(self, model: nn.Module, kept: Tensor) -> CurrentSignals:
        """Return the signals with the current answers of a model in training to the kept facts."""
        asked = kept.nonzero().flatten().tolist()
        questions = [self.facts[index].question for index in asked]
        prompts = [self.contexts.prompt(Context.FEW_SHOT, one) for one in questions]
        form = self.prompt.form
        budget = answer_budget(self.tokenizer, [t for f in self.facts for t in f.answers], form)
        said = greedy_answers(model, self.tokenizer, prompts, budget=budget, form=form)
        answers = dict(zip(asked, said, strict=True))
        return CurrentSignals(self, tuple(answers.get(i, "") for i in range(len(self.facts))))

    def _text(self, fact: Fact) -> str:
        """Return a fact as text: one of this task in its form, another one as a question."""
        return self.prompt.text(fact) if fact in self._own else fact_text(fact)

    @cached_property
    def _own(self) -> frozenset[Fact]:
        return frozenset(self.facts)

    @property
    def _keeps_covariances(self) -> bool:
        """Whether covariances and gradients stay for other starts, of another rank for example.

        On a GPU they would take more memory than the model through all later cells.
        """
        return self.model.device.type == "cpu"

    def _measured(self, key: tuple[str, ...], measure: Callable[[], T]) -> T:
        """Return matrices of the base's layers, kept where there is room for them."""
        if not self._keeps_covariances:
            return measure()
        return self._cache.get(self._key(*key), measure)

    def _key(self, kind: str, *parts: str) -> tuple[str, ...]:
        return (kind, self._base.name, self._base.revision, str(self.model.dtype), *parts)


class CurrentSignals(BaseSignals):
    """The signals of a model in training: those of the base, except for its own answers.

    Distances are measured in the spaces of the untouched base.

    Args:
        pristine: The signals of the base.
        answers: The model's answer to each fact, empty for facts that are not trained.
    """

    def __init__(self, pristine: BaseSignals, answers: tuple[str, ...]) -> None:
        self.__dict__.update(vars(pristine))
        self.pristine, self.answers = pristine, answers

    def distance_in(self, encoder: Encoder) -> Tensor:
        """Return the distances of the model's answers to the targets, float64 `[facts]`."""
        return self.text_space(encoder).distances(self.answers)

    @property
    def known(self) -> Tensor:
        """Whether the model answers the fact now, bool `[facts]`."""
        return _correct(self.answers, self.facts)

    def get(self, name: str, **parameters: Hashable) -> Any:
        """Return the base's signal: registered signals are measured on the untouched base."""
        return self.pristine.get(name, **parameters)


def _correct(answers: Sequence[str], facts: Sequence[Fact]) -> Tensor:
    pairs = zip(answers, facts, strict=True)
    return torch.tensor([fact.accepts(answer) for answer, fact in pairs], dtype=torch.bool)
