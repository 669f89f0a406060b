"""Texts that the base wrote by itself, and penalties on them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.notes import Notes, Told, note
from methods.sampled_texts import sampled_texts
from methods.signals import Signals, signal
from methods.training_parts import Penalty
from methods.turns import in_turn
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.training_parts import Term

STARTS = ("Many", "People", "Because", "From", "Do", "Very", "Let", "Once")
"""Each text begins with the first token of one of these, in turn. None begins like the texts on
which drift is measured, so that no penalty trains on what measures it."""

SEED = 20260117
"""Seed of the sampling, independent of the cell's seed."""


@signal("own texts")
def own_texts(signals: Signals, *, texts: int, tokens: int) -> Tensor:
    """Sample texts from the untouched base, token ids `[texts, start + tokens]`, without padding.

    Args:
        signals: The base.
        texts: How many.
        tokens: How many tokens are sampled for each, at temperature 1; never the end of text.
    """
    import torch

    model, tokenizer = signals.model, signals.tokenizer
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(SEED)
        return sampled_texts(model, tokenizer, STARTS, texts, tokens)


@dataclass(frozen=True)
class OwnTextNotes(Notes):
    """What a penalty was measured on.

    Attributes:
        penalty_texts: How many texts the base wrote for it.
        penalty_weight: What it is multiplied by.
    """

    penalty_texts: int | None = note()
    penalty_weight: float | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the penalty in words."""
        if self.penalty_weight is not None:
            text = f"weight {self.penalty_weight:g} on {self.penalty_texts} texts of the base"
            yield Told("penalty", text)


@dataclass(frozen=True)
class OwnTextPenalty(Penalty):
    """A penalty on texts that the base wrote, some of which take turns in each step.

    Attributes:
        weight: What the penalty is multiplied by, at least 0; 0 is the control, which is the same
            training without it.
        texts: How many texts the base writes, once for all cells of a task.
        tokens: How many tokens each of them has.
        rows: How many of them a step looks at.
    """

    weight: float = 1.0
    texts: int = 64
    tokens: int = 64
    rows: int = 4

    def check(self) -> None:
        """Refuse a negative weight, and sizes below 1."""
        if not 0 <= self.weight < math.inf:
            raise UsageError(f"weight={self.weight:g}: it must be at least 0")
        for name in ("texts", "tokens", "rows"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: it must be at least 1")

    @abstractmethod
    def divergence(self, tuned: Tensor, base: nn.Module, texts: Tensor) -> Tensor:
        """Return what is to be small, in nats per token, a scalar.

        Args:
            tuned: Logits of the model in training, `[rows, tokens, vocabulary]`, float32; each
                predicts the token of the same place among the last of a text.
            base: The untouched base.
            texts: Token ids, `[rows, start + tokens]`.
        """

    def term(self, signals: Signals, seed: int) -> Term | None:
        """Return `weight` times the divergence on the step's texts; None for weight 0."""
        if not self.weight:
            return None
        texts: Tensor = signals.get("own texts", texts=self.texts, tokens=self.tokens)
        base = signals.model

        def term(model: nn.Module, step: int) -> Tensor:
            some = texts[in_turn(len(texts), min(self.rows, len(texts)), step, seed)]
            tuned = predictions(model, some, self.tokens)
            return self.weight * self.divergence(tuned, base, some)

        return term

    def notes(self, signals: Signals) -> Sequence[Notes]:
        """Return the weight, and the number of texts."""
        return (OwnTextNotes(self.texts if self.weight else 0, self.weight),)


def predictions(model: nn.Module, texts: Tensor, tokens: int) -> Tensor:
    """Return the logits that predict the last tokens of texts, float32 `[rows, tokens, vocab]`.

    Args:
        model: A base, or an adapted model.
        texts: Token ids, `[rows, start + tokens]`.
        tokens: How many of each to predict. They are counted from the end, because adapters may put
            virtual tokens in front.
    """
    logits: Tensor = model(input_ids=texts[:, :-1]).logits[:, -tokens:].float()
    return logits
