"""Drift: mean per-token KL(base || tuned) on text that the pristine base itself wrote.

It needs no data set and no scoring rule: it says how far the tuned model's predictions moved
where the base was at home. Zero for an identity, in nats per token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from bench.forgetting.base_state_cache import BaseStates
from bench.forgetting.preserved_state import quiet, undisturbed
from bench.forgetting.scores import DRIFT_METRIC, ItemScores
from bench.models.loading import Base
from bench.store.cost_cache import Shared

SEQUENCES = 32
"""The most sequences; fewer where fewer items of each forgetting task are asked."""

TOKENS = 64
"""Sampled tokens of each sequence, at temperature 1; the end of text is never drawn."""

SEED = 20240619
"""Of the sampling; independent of any cell's seed."""

STARTS = ("The", "In", "A", "When", "She", "What", "It", "How")
"""Each sequence begins with the first token of one of these, in turn: models that saw no
beginning-of-sequence token in training write little but one text from it alone."""

LOGITS_AT_ONCE = 2**25
"""Bounds [batch, seq, vocab]: about 130 MB in float32 for each of the two models."""


@dataclass(frozen=True)
class OwnTexts:
    """What a base wrote, and what it makes of that.

    Attributes:
        tokens: Token ids of each sequence.
        states: Packed `BaseStates`.
    """

    tokens: list[list[int]]
    states: str


@dataclass
class Drift:
    """The forgetting task `drift`.

    Texts are sampled once for each base and kept; what the latest base makes of them is too.

    Args:
        sequences: How many texts there are.
    """

    sequences: int = SEQUENCES
    name: str = "drift"
    notes: tuple[str, ...] = ()
    content: str = ""  # a base itself scores 0; its texts are what takes time
    _texts: dict[tuple[str, ...], Tensor] = field(default_factory=dict, repr=False)
    _states: dict[tuple[str, ...], BaseStates] = field(default_factory=dict, repr=False)

    def shared(self, base: Base) -> Shared[OwnTexts]:
        """Return the base's texts and states."""
        key = ("drift texts", str(self.sequences), *_key(base))
        return Shared(key, partial(self._written, base), OwnTexts)

    def take(self, base: Base, value: OwnTexts) -> None:
        """Receive the base's texts and states."""
        key = _key(base)
        self._texts.setdefault(key, torch.tensor(value.tokens, device=base.device))
        if key not in self._states:
            self._states = {key: BaseStates.unpacked(value.states, base.device)}

    def score(self, base: Base, model: nn.Module) -> ItemScores:
        """Return the mean KL of each sampled sequence, in nats per token."""
        texts = self._texts_of(base)
        own = model is base.model
        return ItemScores(
            task=self.name,
            metric=DRIFT_METRIC,
            items=(0.0,) * len(texts) if own else self._divergences(base, model, texts),
            floor=None,
            digest=hashlib.sha256(texts.cpu().numpy().tobytes()).hexdigest(),
        )

    def _texts_of(self, base: Base) -> Tensor:
        key = _key(base)
        if key not in self._texts:
            self._texts[key] = sample_texts(base, self.sequences)
        return self._texts[key]

    def _written(self, base: Base) -> OwnTexts:
        texts = self._texts_of(base)
        states = self._states_of(base)
        with undisturbed(base.model):
            for number, texts_now in enumerate(_batches(base, texts)):
                states.prepare(number, base, partial(_run, base.model, texts_now))
        return OwnTexts(texts.tolist(), states.packed())

    def _divergences(self, base: Base, model: nn.Module, texts: Tensor) -> tuple[float, ...]:
        states = self._states_of(base)
        divergences: list[float] = []
        with undisturbed(model), undisturbed(base.model):
            for number, texts_now in enumerate(_batches(base, texts)):
                tuned = _logits(model, texts_now)
                pristine = states.logits(number, base, partial(_run, base.model, texts_now))
                pairs = zip(pristine[:, -TOKENS:], tuned, strict=True)
                divergences += [_mean_divergence(p, q) for p, q in pairs]
        return tuple(divergences)

    def _states_of(self, base: Base) -> BaseStates:
        key = _key(base)
        if key not in self._states:
            self._states = {key: BaseStates()}
        return self._states[key]


def _batches(base: Base, texts: Tensor) -> Sequence[Tensor]:
    vocabulary = base.model.get_input_embeddings().weight.shape[0]
    return texts.split(max(1, LOGITS_AT_ONCE // (texts.shape[1] * vocabulary)))


def _key(base: Base) -> tuple[str, ...]:
    # The kind of device, not its index: all GPUs of a machine are compared on the same texts.
    return (base.name, base.revision, str(base.model.dtype), base.device.type)


def sample_texts(base: Base, sequences: int) -> Tensor:
    """Sample token ids `[sequences, start + tokens]` from the pristine base, without padding."""
    starts = _starts(base, sequences)
    with quiet(), undisturbed(base.model):
        torch.manual_seed(SEED)
        return base.model.generate(
            starts,
            attention_mask=torch.ones_like(starts),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            repetition_penalty=1.0,
            min_new_tokens=TOKENS,
            max_new_tokens=TOKENS,
            pad_token_id=base.tokenizer.pad_token_id,
        )


def _starts(base: Base, sequences: int) -> Tensor:
    """Return `[sequences, start]`: special tokens the model expects, then one of a word."""
    special = base.tokenizer("")["input_ids"]
    words = [base.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in STARTS]
    rows = [[*special, words[i % len(words)]] for i in range(sequences)]
    return torch.tensor(rows, dtype=torch.long, device=base.device)


def _logits(model: nn.Module, texts: Tensor) -> Tensor:
    """Return `[batch, tokens, vocab]` for the sampled tokens.

    Counted from the end, where the virtual tokens of prompt-learning adapters cannot shift them.
    """
    return _run(model, texts)[:, -TOKENS:]


def _run(model: nn.Module, texts: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=texts[:, :-1]).logits
    return logits


def _mean_divergence(pristine: Tensor, tuned: Tensor) -> float:
    """Return the mean of KL(pristine || tuned) over positions of logits `[tokens, vocab]`."""
    p, q = (torch.log_softmax(logits.float(), dim=-1) for logits in (pristine, tuned))
    divergence = (p.exp() * (p - q)).sum(-1, dtype=torch.float64).mean()
    return max(0.0, float(divergence))
