"""lm-eval's view of a model: what requests share, demonstrations and questions, runs only once.

Source of the interface: lm-eval's `HFLM`, which runs the whole context again for each choice of
more than one token.
"""

from __future__ import annotations

import copy

from lm_eval.models.huggingface import HFLM
from torch import nn

from bench.forgetting.choice_scoring import Request, Score, branch_scores, branches_agree, grouped
from bench.inference.prefix_cache import usable_prefix
from bench.models.loading import Base


class SharedPrefixLM(HFLM):
    """`HFLM` around a base, whose model can be replaced by one that was tuned from it."""

    def __init__(self, base: Base, batch_size: int) -> None:
        super().__init__(
            pretrained=base.model,
            tokenizer=base.tokenizer,
            batch_size=batch_size,
            softmax_dtype="float32",  # in half precision choices tie, and the first one wins
        )

    def around(self, model: nn.Module) -> SharedPrefixLM:
        """Return the same view of another model.

        HFLM's own constructor would tie weights again, which fails on wrapped embeddings.
        """
        view = copy.copy(self)
        view._model = model
        return view

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Score]:
        # Shared contexts are run once, unless the longest request would be truncated, or the model
        # cannot continue from cached states.
        longest = max(len(context) + len(ending) for _, context, ending in requests)
        fits = longest <= self.max_length
        prefix = usable_prefix(self.model, [c for _, c, _ in requests]) if fits else None
        branches = grouped(requests, prefix.tokens) if prefix else []
        if prefix is None or not branches_agree(self.model, prefix, branches):
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        scores = branch_scores(self.model, prefix, branches, self.batch_size, self.softmax_dtype)
        return [scores[index] for index in range(len(requests))]
