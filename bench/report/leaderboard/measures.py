"""What every metric averages: values per fact, losses per item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.report.leaderboard.board import DRIFT
from bench.report.leaderboard.fact_table import FactTable
from bench.report.statistics.intervals import NON_NEGATIVE, SHARE, Bounds, Floats
from bench.store.records import Forgetting, KnowledgeCategory

_KINDS = tuple(KnowledgeCategory)


class FactColumn(NamedTuple):
    """What a metric averages.

    Attributes:
        column: Of fact rows; facts without a value there do not count.
        bounds: The least and the greatest value it can take.
        over: What the base knew of the facts that count.
        with_interval: Whether any table or plot shows its interval.
    """

    column: str
    bounds: Bounds
    over: tuple[KnowledgeCategory, ...] = _KINDS
    with_interval: bool = True


FACT_COLUMNS = {
    "reliability": FactColumn("correct_after", SHARE),
    "reliability_unknown": FactColumn(
        "correct_after", SHARE, (KnowledgeCategory.MAYBE, KnowledgeCategory.UNKNOWN)
    ),
    "reliability_maybe": FactColumn("correct_after", SHARE, (KnowledgeCategory.MAYBE,)),
    "reliability_never": FactColumn("correct_after", SHARE, (KnowledgeCategory.UNKNOWN,)),
    "reliability_plain": FactColumn("correct_plain", SHARE, with_interval=False),
    "reliability_before": FactColumn("correct_before", SHARE, with_interval=False),
    "token_f1": FactColumn("f1_after", SHARE, with_interval=False),
    "generality": FactColumn("generality", SHARE),
    "locality": FactColumn("locality", SHARE),
    "nll_before": FactColumn("nll_before", NON_NEGATIVE, with_interval=False),
    "nll_after": FactColumn("nll_after", NON_NEGATIVE, with_interval=False),
    "distance_before": FactColumn("distance_before", NON_NEGATIVE, with_interval=False),
    "distance_after": FactColumn("distance_after", NON_NEGATIVE, with_interval=False),
    "updated": FactColumn("updated", SHARE),
    "still_old": FactColumn("old_after", SHARE),
    "old_before": FactColumn("old_before", SHARE),
    "prefers_new": FactColumn("prefers_new_after", SHARE),
}
"""What every metric averages."""


def per_fact(facts: FactTable, wanted: FactColumn) -> Floats:
    """Return the values of the facts that count, `[facts]`, in the order of the rows."""
    return facts.counted(wanted.column, wanted.over)


def item_losses(entry: Forgetting) -> Floats:
    """Return what each item lost, `[items]`: base minus tuned, or its KL for drift."""
    tuned = np.asarray(entry.tuned_items, dtype=np.float64)
    return tuned if entry.task == DRIFT else np.asarray(entry.base_items) - tuned
