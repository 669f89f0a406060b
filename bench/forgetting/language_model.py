"""lm-eval's view of a model, with the demonstrations that all requests share computed once.

Source of the interface: lm-eval's `HFLM`, which runs the whole context again for each choice of
more than one token.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from lm_eval.models.huggingface import HFLM
from torch import Tensor, nn
from transformers import DynamicCache

from bench.models import Base

SHORTEST_PREFIX = 16
"""Shared tokens from which a cached prefix pays."""

Request = tuple[tuple[str, str], list[int], list[int]]
"""As lm-eval passes it: the texts, the context's tokens, the continuation's tokens."""

Score = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding would give it."""


class Prefix(NamedTuple):
    """Tokens that begin every context, and the model's states after them."""

    tokens: int
    cache: DynamicCache


class SharedPrefixLM(HFLM):
    """`HFLM` around a base, whose model can be swapped for one that was tuned from it."""

    def __init__(self, base: Base, batch_size: int) -> None:
        super().__init__(pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch_size)

    def around(self, model: nn.Module) -> SharedPrefixLM:
        """Return the same view of another model.

        HFLM's own constructor would tie weights again, which fails on wrapped embeddings.
        """
        view = copy.copy(self)
        view._model = model
        return view

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Score]:
        """Score continuations without a progress bar."""
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Score whole texts without a progress bar."""
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Generate greedily without a progress bar."""
        return super().generate_until(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Score]:
        shared = self._prefix(requests)
        if shared is not None and self._agrees(requests, shared):
            return self._score_after(shared, requests)
        return self._plain(requests, override_bs)

    def _plain(self, requests: list[Request], batch_size: int | None) -> list[Score]:
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=batch_size)

    def _prefix(self, requests: list[Request]) -> Prefix | None:
        """Run the tokens that all contexts share, if they are worth it and the model can."""
        contexts = [context for _, context, _ in requests]
        length = min(shared_length(contexts), *(len(context) - 1 for context in contexts))
        longest = max(len(context) + len(ending) for _, context, ending in requests)
        if length < SHORTEST_PREFIX or longest > self.max_length or self._has_virtual_tokens:
            return None
        tokens = torch.tensor([contexts[0][:length]], device=self.device)
        with torch.no_grad():
            cache = getattr(self.model(tokens, use_cache=True), "past_key_values", None)
        return Prefix(length, cache) if isinstance(cache, DynamicCache) else None

    @property
    def _has_virtual_tokens(self) -> bool:
        config = getattr(self.model, "active_peft_config", None)
        return bool(getattr(config, "is_prompt_learning", False))

    def _agrees(self, requests: list[Request], shared: Prefix) -> bool:
        """Check the shortcut against the plain path on the longest and the shortest request.

        Adapters that change attention itself may ignore the cache: found by measuring, not by
        name. The tolerance is 1e-3 in float32.
        """
        ordered = sorted(requests, key=lambda request: len(request[1]) + len(request[2]))
        probes = [ordered[0], ordered[-1]]
        try:
            found = self._score_after(shared, probes)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return False
        tolerance = 3 * torch.finfo(next(self.model.parameters()).dtype).eps ** 0.5
        expected = self._plain(probes, 1)
        return all(abs(a - b) < tolerance for (a, _), (b, _) in zip(found, expected, strict=True))

    def _score_after(self, shared: Prefix, requests: list[Request]) -> list[Score]:
        """Score requests from the cached prefix; equal inputs are run once."""
        inputs = [(*context[shared.tokens :], *ending[:-1]) for _, context, ending in requests]
        distinct = sorted(set(inputs), key=lambda tokens: (-len(tokens), tokens))
        scores: dict[int, Score] = {}
        for start in range(0, len(distinct), self.batch_size):
            batch = distinct[start : start + self.batch_size]
            logits = dict(zip(batch, self._logits_after(shared, batch), strict=True))
            for index, tokens in enumerate(inputs):
                if tokens in logits:
                    ending = requests[index][2]
                    last = logits[tokens][len(tokens) - len(ending) : len(tokens)]
                    scores[index] = _score(last, ending, self.softmax_dtype)
        return [scores[index] for index in range(len(requests))]

    def _logits_after(self, shared: Prefix, batch: Sequence[tuple[int, ...]]) -> Tensor:
        """Run right-padded inputs `[batch, seq]` after the prefix: logits `[batch, seq, vocab]`."""
        width = max(len(tokens) for tokens in batch)
        padded = [[*tokens, *[0] * (width - len(tokens))] for tokens in batch]
        cache = copy.deepcopy(shared.cache)
        cache.batch_repeat_interleave(len(batch))
        with torch.no_grad():
            tokens = torch.tensor(padded, device=self.device)
            return self.model(tokens, past_key_values=cache, use_cache=True).logits


def shared_length(contexts: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all contexts share."""
    columns = zip(*contexts, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _score(logits: Tensor, ending: Sequence[int], dtype: torch.dtype | None) -> Score:
    """Score an ending from the logits `[ending, vocab]` that predict it."""
    target = torch.tensor(ending, device=logits.device).unsqueeze(-1)
    likelihoods = torch.log_softmax(logits, dim=-1, dtype=dtype).gather(-1, target)
    return float(likelihoods.sum()), bool((logits.argmax(-1) == target.squeeze(-1)).all())
