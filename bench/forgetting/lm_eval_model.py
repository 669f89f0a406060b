"""lm-eval's view of a model: what requests share, demonstrations and questions, is run once.

Source of the interface: lm-eval's `HFLM`, which runs the whole context again for each choice of
more than one token.
"""

from __future__ import annotations

import copy
from typing import Any

from lm_eval.models.huggingface import HFLM
from torch import nn

from bench.forgetting.choice_scoring import Request, Score, branch_scores, branches_agree, grouped
from bench.inference.prefix_cache import Prefix, usable_prefix
from bench.models.loading import Base


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
        branches = grouped(requests, shared.tokens) if shared else []
        if shared is None or not branches_agree(self.model, shared, branches):
            return super()._loglikelihood_tokens(requests, True, override_bs)
        scores = branch_scores(self.model, shared, branches, self.batch_size, self.softmax_dtype)
        return [scores[index] for index in range(len(requests))]

    def _prefix(self, requests: list[Request]) -> Prefix | None:
        """Run what all contexts share, if it is worth it; None if the model cannot go on."""
        longest = max(len(context) + len(ending) for _, context, ending in requests)
        if longest > self.max_length:
            return None
        return usable_prefix(self.model, [context for _, context, _ in requests])
