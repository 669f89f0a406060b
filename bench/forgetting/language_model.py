"""lm-eval's view of a model, with the demonstrations that all requests share computed once.

Source of the interface: lm-eval's `HFLM`, which runs the whole context again for each choice of
more than one token.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from torch import Tensor, nn

from bench.models import Base
from bench.prefix import Prefix, usable_prefix

Request = tuple[tuple[str, str], list[int], list[int]]
"""As lm-eval passes it: the texts, the context's tokens, the continuation's tokens."""

Score = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding would give it."""


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
        if shared is None:
            return super()._loglikelihood_tokens(requests, True, override_bs)
        return self._score_after(shared, requests)

    def _prefix(self, requests: list[Request]) -> Prefix | None:
        """Run the tokens that all contexts share, if they are worth it and the model can."""
        longest = max(len(context) + len(ending) for _, context, ending in requests)
        if longest > self.max_length:
            return None
        prefix = usable_prefix(self.model, [context for _, context, _ in requests])
        return prefix if prefix and prefix.tokens else None

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
        cache = shared.expanded(len(batch))
        with torch.no_grad():
            tokens = torch.tensor(padded, device=self.device)
            return self.model(tokens, past_key_values=cache, use_cache=True).logits


def _score(logits: Tensor, ending: Sequence[int], dtype: torch.dtype | None) -> Score:
    """Score an ending from the logits `[ending, vocab]` that predict it."""
    target = torch.tensor(ending, device=logits.device).unsqueeze(-1)
    likelihoods = torch.log_softmax(logits, dim=-1, dtype=dtype).gather(-1, target)
    return float(likelihoods.sum()), bool((logits.argmax(-1) == target.squeeze(-1)).all())
