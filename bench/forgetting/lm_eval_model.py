"""lm-eval's view of a model: what requests share, demonstrations and questions, runs only once.

Source of the interface: lm-eval's `HFLM`, which runs the whole context again for each choice of
more than one token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from lm_eval.models.huggingface import HFLM
from torch import Tensor, nn

from bench.forgetting.choice_scoring import Request, Score, branch_scores, branches_agree, grouped
from bench.inference.batch_size import rows_at_once
from bench.inference.prefix_cache import usable_prefix
from bench.models.capabilities import members_of, own_models
from bench.models.loading import Base

T = TypeVar("T")


class SharedPrefixLM(HFLM):
    """`HFLM` around a base, whose model can be replaced by one that was tuned from it.

    Args:
        base: The base.
        on_cpu: Requests per batch on a CPU.
    """

    def __init__(self, base: Base, on_cpu: int) -> None:
        super().__init__(
            pretrained=base.model,
            tokenizer=base.tokenizer,
            batch_size=rows_at_once(base.model, on_cpu=on_cpu),
            softmax_dtype="float32",  # in half precision choices tie, and the first one wins
        )
        self._on_cpu = on_cpu

    def around(self, model: nn.Module) -> SharedPrefixLM:
        """Return the same view of another model.

        HFLM's own constructor would tie weights again, which fails on wrapped embeddings.
        """
        view = copy.copy(self)
        view._model = model
        view.batch_size_per_gpu = rows_at_once(model, on_cpu=self._on_cpu)
        return view

    def of_members(self, model: nn.Module) -> list[SharedPrefixLM]:
        """Return a view of each member of a stack; that of any other model alone.

        All members are given the same requests: the first to be asked runs them for all.
        """
        whole = self.around(model)
        if members_of(model) == 1:
            return [whole]
        members = []
        known: dict[Hashable, list[Any]] = {}
        for number, own in enumerate(own_models(model)):
            view = copy.copy(whole)
            view.__class__ = _MemberLM
            view._model, view._whole, view._number, view._known = own, whole, number, known
            members.append(view)
        return members

    def likelihoods_of_members(
        self, requests: list[Request], disable_tqdm: bool
    ) -> list[list[Score]]:
        """Return the scores of requests, `[members][requests]`."""
        # Shared contexts are run once, unless the longest request would be truncated, or the model
        # cannot continue from cached states.
        longest = max(len(context) + len(ending) for _, context, ending in requests)
        fits = longest <= self.max_length
        prefix = usable_prefix(self.model, [c for _, c, _ in requests]) if fits else None
        branches = grouped(requests, prefix.tokens) if prefix else []
        if prefix is not None and branches_agree(self.model, prefix, branches):
            found = branch_scores(self.model, prefix, branches, self._on_cpu)
            return [[own[index] for index in range(len(requests))] for own in found]
        views = [self.around(own) for own in own_models(self.model)]
        return [view.whole_contexts(requests, disable_tqdm, longest) for view in views]

    def whole_contexts(
        self, requests: list[Request], disable_tqdm: bool, longest: int
    ) -> list[Score]:
        """Return the scores of requests as HFLM computes them.

        Args:
            requests: The requests.
            disable_tqdm: Whether to show no progress.
            longest: Most tokens of a request, all of whose logits HFLM computes.
        """
        rows = rows_at_once(self.model, on_cpu=self._on_cpu, width=longest, kept=longest)
        return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs=rows)

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Score]:
        [scores] = self.likelihoods_of_members(requests, disable_tqdm)
        return scores


class _MemberLM(SharedPrefixLM):
    """The view of one member of a stack, which asks all members at once.

    Attributes:
        _whole: The view of the stack.
        _number: Which member this is.
        _known: What all members said, by what they were asked.
    """

    _whole: SharedPrefixLM
    _number: int
    _known: dict[Hashable, list[Any]]

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Score]:
        asked = tuple((tuple(context), tuple(ending)) for _, context, ending in requests)
        ask = self._whole.likelihoods_of_members
        scores: list[Score] = self._once(asked, lambda: ask(requests, disable_tqdm))
        return scores

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **options: Any
    ) -> Tensor:
        if options.get("do_sample"):  # rows of one batch would share random numbers
            return super()._model_generate(context, max_length, stop, **options)
        members, mask = members_of(self._whole.model), options.pop("attention_mask")

        def ask() -> list[Tensor]:
            said = self._whole._model_generate(
                context.repeat(members, 1),
                max_length,
                stop,
                attention_mask=mask.repeat(members, 1),
                **options,
            )
            return list(said.cpu().chunk(members))

        rows = tuple(map(tuple, context.tolist()))
        return self._once((rows, max_length, tuple(stop), repr(sorted(options.items()))), ask)

    def _once(self, asked: Hashable, ask: Callable[[], list[T]]) -> T:
        """Return what this member said; ask all members unless they have been asked before."""
        if asked not in self._known:
            self._known[asked] = ask()
        return self._known[asked][self._number]
