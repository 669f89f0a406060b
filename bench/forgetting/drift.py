"""Drift: mean KL(base || tuned) per token, on text that the pristine base itself wrote.

It needs no data set and no scoring rule: it measures how far the predictions of the tuned model
moved on text that is typical of the base. In nats per token; zero for an identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean

import torch
from torch import Tensor, nn

from bench.forgetting.base_state_cache import BaseStates
from bench.forgetting.preserved_state import undisturbed
from bench.forgetting.scores import DRIFT_METRIC, ItemScores
from bench.inference.batch_size import rows_at_once
from bench.models.capabilities import members_of
from bench.models.loading import Base
from bench.store.cost_cache import CostCache, Shared
from methods.sampled_texts import sampled_texts

SEQUENCES = 32
"""The maximum number of sequences; `--forgetting-limit` can lower it."""

TOKENS = 64
"""How many tokens are sampled per sequence, at temperature 1; never the end of text."""

SEED = 20240619
"""Seed of the sampling, independent of the cell's seed."""

STARTS = ("The", "In", "A", "When", "She", "What", "It", "How")
"""Each sequence begins with the first token of one of these, in turn: models that saw no
beginning-of-sequence token in training write little but one text from it alone."""

CHECKPOINT_SEQUENCES = len(STARTS)
"""How many of the sequences are scored at a checkpoint, the first ones: each start once."""

LOGITS_AT_ONCE = 2**25
"""Bounds [batch, seq, vocab]: about 130 MB in float32 for each of the two models."""


@dataclass(frozen=True)
class OwnTexts:
    """Texts that a base wrote, and its states on them.

    Attributes:
        tokens: Token ids of each sequence.
        states: Packed `BaseStates`.
    """

    tokens: list[list[int]]
    states: str


@dataclass(frozen=True)
class Drift:
    """The forgetting task `drift`.

    Args:
        sequences: How many texts to sample.
        cache: Stores the texts of each base and its states on them.
    """

    sequences: int = SEQUENCES
    cache: CostCache = field(default_factory=CostCache, repr=False)
    name: str = "drift"
    notes: tuple[str, ...] = ()

    def shared(self, base: Base) -> Shared[OwnTexts]:
        """Return the base's texts and states, which take time to compute; its own score is 0."""
        key = ("drift texts", str(self.sequences), *_key(base))
        return Shared(key, partial(self._write, base), OwnTexts)

    def score(self, base: Base, model: nn.Module) -> ItemScores:
        """Return the mean KL of each sampled sequence, in nats per token."""
        [found] = self.score_together(base, model)
        return found

    def score_together(self, base: Base, model: nn.Module) -> list[ItemScores]:
        """Return the scores of each member of a stack, in nats per token."""
        texts, _ = self._texts(base)
        items = [[0.0] * len(texts)]
        if model is not base.model:
            items = self._items(base, model, len(texts))
        digest = hashlib.sha256(texts.cpu().numpy().tobytes()).hexdigest()
        return [ItemScores(self.name, DRIFT_METRIC, tuple(own), None, digest) for own in items]

    def at_checkpoint(self, base: Base, model: nn.Module) -> float:
        """Return the mean KL over the first sequences, in nats per token.

        It is measured once per epoch, and need not be as sharp as the score after training.
        """
        [found] = self.at_checkpoint_together(base, model)
        return found

    def at_checkpoint_together(self, base: Base, model: nn.Module) -> list[float]:
        """Return `at_checkpoint` of each member of a stack."""
        return [fmean(own) for own in self._items(base, model, CHECKPOINT_SEQUENCES)]

    def at_end(self, items: Sequence[float]) -> float:
        """Return from the scores of all sequences what `at_checkpoint` would return."""
        return fmean(items[:CHECKPOINT_SEQUENCES])

    def _items(self, base: Base, model: nn.Module, sequences: int) -> list[list[float]]:
        """Return the mean KL of each of the first sequences, `[members][sequences]`."""
        texts, states = self._texts(base)
        members, width = members_of(model), texts.shape[1]
        items: list[list[float]] = [[] for _ in range(members)]
        with undisturbed(model), undisturbed(base.model):
            for number, batch in enumerate(_batches(base, texts[:sequences])):
                rows = rows_at_once(model, on_cpu=len(batch), width=width, kept=width)
                pristine = states.logits(number, base, partial(_run, base.model, batch))
                for some, p in zip(batch.split(rows), pristine.split(rows), strict=True):
                    tuned = _run(model, some.repeat(members, 1) if members > 1 else some)
                    # From the end: virtual tokens of prompt-learning adapters cannot shift it.
                    found = [
                        _mean_divergences(p[:, -TOKENS:], q[:, -TOKENS:])
                        for q in tuned.split(len(some))
                    ]
                    for own, of_member in zip(items, torch.stack(found).tolist(), strict=True):
                        own += of_member
        return items

    def _texts(self, base: Base) -> tuple[Tensor, BaseStates]:
        key = ("drift states", self.sequences, *_key(base))
        return self.cache.get(key, partial(self._unpacked, base))

    def _write(self, base: Base) -> OwnTexts:
        texts, states = sample_texts(base, self.sequences), BaseStates()
        with undisturbed(base.model):
            for number, batch in enumerate(_batches(base, texts)):
                states.prepare(number, base, partial(_run, base.model, batch))
        return OwnTexts(texts.tolist(), states.packed())

    def _unpacked(self, base: Base) -> tuple[Tensor, BaseStates]:
        written = self.cache.get_shared(self.shared(base))
        texts = torch.tensor(written.tokens, device=base.device)
        return texts, BaseStates.unpacked(written.states, base.device)


def _batches(base: Base, texts: Tensor) -> Sequence[Tensor]:
    vocabulary = base.model.get_input_embeddings().weight.shape[0]
    fitting = max(1, LOGITS_AT_ONCE // (texts.shape[1] * vocabulary))
    # A power of two up to the sequences of a checkpoint: it then ends where a batch ends.
    return texts.split(min(CHECKPOINT_SEQUENCES, 2 ** (fitting.bit_length() - 1)))


def _key(base: Base) -> tuple[str, ...]:
    # The kind of device, not its index: all GPUs of a machine are compared on the same texts.
    return (base.name, base.revision, str(base.model.dtype), base.device.type)


def sample_texts(base: Base, sequences: int) -> Tensor:
    """Sample token ids `[sequences, start + tokens]` from the pristine base, without padding."""
    with undisturbed(base.model):
        torch.manual_seed(SEED)
        return sampled_texts(base.model, base.tokenizer, STARTS, sequences, TOKENS)


def _run(model: nn.Module, texts: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=texts[:, :-1]).logits
    return logits


def _mean_divergences(pristine: Tensor, tuned: Tensor) -> Tensor:
    """Return the mean of KL(pristine || tuned) over the tokens of each text, float64 `[batch]`.

    Args:
        pristine: Logits of the base, `[batch, tokens, vocab]`.
        tuned: Those of the tuned model.
    """
    if pristine.is_cpu and len(pristine) > 1:  # one text after the other fits the caches
        pairs = zip(pristine.split(1), tuned.split(1), strict=True)
        return torch.cat([_mean_divergences(p, q) for p, q in pairs])
    p, q = (torch.log_softmax(logits.float(), dim=-1) for logits in (pristine, tuned))
    return (p.exp() * (p - q)).sum(-1, dtype=torch.float64).mean(-1).clamp(min=0.0)
