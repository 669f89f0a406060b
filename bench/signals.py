"""What the pristine base knows about the facts: computed on first use, shared by all cells."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from bench.evaluation import AnswerSpace, Responses, respond
from bench.models import Base
from bench.phases import CostedCache
from methods.covariance import Covariances, input_covariances
from tasks.fact import Fact, facts_digest, hash_fraction
from tasks.prompt import Prompt, question_text, target_text
from tasks.scoring import exact_match

CALIBRATION_BATCH = 16


class BaseSignals:
    """The `methods.signals.Signals` of one (model, task, prompt).

    Args:
        base: The resident pristine base.
        facts: The selected training facts.
        prompt: Demonstrations of the task.
        cache: Shared by the cells of a process.
    """

    def __init__(
        self, base: Base, facts: tuple[Fact, ...], prompt: Prompt, cache: CostedCache
    ) -> None:
        self.facts = facts
        self.space = AnswerSpace(base.tokenizer, base.model.get_input_embeddings().weight)
        self._base = base
        self._prompt = prompt
        self._cache = cache
        self._digest = facts_digest(facts)

    @property
    def before(self) -> Responses:
        """What the pristine base says about the facts."""
        key = self._key("before", self._digest, self._prompt.digest)
        return self._cache.get(key, self._respond)

    @property
    def distance(self) -> Tensor:
        """Semantic distance of the base's own answer to the target, float64 `[facts]`."""
        answers = zip(self.before.answers, self.facts, strict=True)
        distances = [self.space.distance(answer, fact.answers) for answer, fact in answers]
        return torch.tensor(distances, dtype=torch.float64)

    @property
    def known(self) -> Tensor:
        """Whether the base already answers the fact greedily, bool `[facts]`."""
        answers = zip(self.before.answers, self.facts, strict=True)
        return torch.tensor([exact_match(answer, fact.answers) for answer, fact in answers])

    def covariance(self, facts: Sequence[Fact], samples: int) -> Covariances:
        """Return the input covariances of the base's linear layers over calibration facts."""
        chosen = sorted(facts, key=lambda fact: hash_fraction("calibration", fact.id))[:samples]
        texts = [question_text(fact.question) + target_text(fact.target) for fact in chosen]
        key = self._key("covariance", facts_digest(chosen))
        return self._cache.get(
            key,
            lambda: input_covariances(
                self._base.model, self._base.tokenizer, texts, CALIBRATION_BATCH
            ),
        )

    def _respond(self) -> Responses:
        return respond(self._base.model, self._base.tokenizer, self.facts, self._prompt)

    def _key(self, kind: str, *parts: str) -> Hashable:
        return (kind, self._base.name, self._base.revision, str(self._base.model.dtype), *parts)
