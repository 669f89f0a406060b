"""Scores per item, and the comparison of a tuned model with its base."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

from scipy.stats import binom
from torch import nn

from bench.models.loading import Base
from bench.store.cost_cache import Shared
from bench.store.records import Evaluated, Forgetting

DRIFT_METRIC = "kl"
ABOVE_CHANCE = 0.05
"""One-sided error level at which a base score counts as above chance."""


@dataclass(frozen=True, slots=True)
class ItemScores:
    """Scores of one model on one forgetting task.

    Attributes:
        task: `elements`, `lm_eval:piqa`, `drift`.
        metric: `acc`, `exact_match`, ..., or `kl` in nats per token.
        items: One score per item; higher is better, except for `kl`.
        floor: The score of guessing, 0 for generated answers; None if there is none.
        digest: Digest of the items and their prompts, equal for scores that can be paired.
    """

    task: str
    metric: str
    items: tuple[float, ...]
    floor: float | None
    digest: str

    @property
    def mean(self) -> float:
        """The task's score."""
        return fmean(self.items)


class ForgettingTask(Protocol):
    """A task that any model can be scored on."""

    @property
    def name(self) -> str:
        """The recorded name of the task."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user about how it is measured; usually none."""

    def shared(self, base: Base) -> Shared[Any] | None:
        """Return what one process can compute on a base for all others, if anything.

        That is the base's `ItemScores` if its items are fixed; for drift, its texts.
        """

    def score(self, base: Base, model: nn.Module) -> ItemScores:
        """Score `base`'s own model, or one tuned from it, without changing anything."""

    def score_together(self, base: Base, model: nn.Module) -> list[ItemScores]:
        """Score each member of a stack; any other model has one."""


def at_floor(scores: ItemScores) -> bool:
    """Return whether scores of 0 and 1 are not above chance, so that nothing can be lost.

    A one-sided binomial test; if chance gives 0, a single right answer is above it.
    """
    if scores.floor is None:
        return False
    hits = sum(scores.items)
    return bool(binom.sf(hits - 1, len(scores.items), scores.floor) > ABOVE_CHANCE)


def compare(base: ItemScores, tuned: ItemScores, limit: int) -> Forgetting:
    """Pair the scores of the pristine base with those of a tuned model.

    Args:
        base: The scores of the pristine base.
        tuned: Those of the tuned model on the same items.
        limit: The requested maximum number of items, for the record.

    Raises:
        ValueError: The scores belong to different items.
    """
    _refuse_other_items(base, tuned)
    lost = base.mean - tuned.mean
    return Forgetting(
        task=base.task,
        metric=base.metric,
        base=base.mean,
        tuned=tuned.mean,
        base_items=list(base.items),
        tuned_items=list(tuned.items),
        forgetting=tuned.mean if base.metric == DRIFT_METRIC else lost,
        at_floor=at_floor(base),
        limit=limit,
        digest=base.digest,
    )


def learned(base: ItemScores, tuned: ItemScores, limit: int) -> Evaluated:
    """Pair the scores of the pristine base with those of a model that was to learn the task.

    Args:
        base: The scores of the pristine base.
        tuned: Those of the tuned model on the same items.
        limit: The requested maximum number of items, for the record.

    Raises:
        ValueError: The scores belong to different items.
    """
    _refuse_other_items(base, tuned)
    return Evaluated(
        task=base.task,
        metric=base.metric,
        base=base.mean,
        tuned=tuned.mean,
        base_items=list(base.items),
        tuned_items=list(tuned.items),
        limit=limit,
        digest=base.digest,
    )


def _refuse_other_items(base: ItemScores, tuned: ItemScores) -> None:
    if (base.task, base.metric, base.digest) != (tuned.task, tuned.metric, tuned.digest):
        raise ValueError(f"cannot pair {base.task} with {tuned.task}: their items differ")
