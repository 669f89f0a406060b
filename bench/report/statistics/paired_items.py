"""Two models on the same items, one value of each per item: tests and intervals.

For values of 0 and 1 it is McNemar's exact test, with Bonett and Price's interval; for others it
is Student's paired test with its interval. As everywhere, fewer than five items decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from bench.report.statistics.comparison import bonett_price
from bench.report.statistics.intervals import FEWEST_ITEMS, UNBOUNDED, Estimate, Floats, estimate


class PairedTest(StrEnum):
    """What a p-value is of."""

    MCNEMAR = "McNemar, exact"
    STUDENT = "paired t"


@dataclass(frozen=True, slots=True)
class PairedItems:
    """How two models differ on the same items.

    Attributes:
        first, second: The mean of each.
        difference: Second minus first, with its interval.
        first_higher, second_higher: On how many items that one has the higher value; of values of
            0 and 1, how many items only that one gets right.
        test: What `p` is of.
        p: The p-value of no difference, two-sided; None with too few items, or where all differ by
            the same amount, which tells nothing of chance.
    """

    first: float
    second: float
    difference: Estimate
    first_higher: int
    second_higher: int
    test: PairedTest
    p: float | None


def compare_items(first: Floats, second: Floats) -> PairedItems:
    """Compare two models on the same items.

    Args:
        first: The values of one model, `[items]`, at least one.
        second: Those of the other, in the same order.
    """
    differences = second - first
    higher = (int((differences < 0).sum()), int((differences > 0).sum()))
    are_right_or_wrong = all(bool(((v == 0) | (v == 1)).all()) for v in (first, second))
    p: float | None
    if are_right_or_wrong:
        test, p = PairedTest.MCNEMAR, mcnemar_p(*higher)
        mean = float(differences.mean())
        found = Estimate(mean, bonett_price(differences), len(differences))
    else:
        test, p = PairedTest.STUDENT, student_p(differences)
        found = _student(differences)
    enough = len(differences) >= FEWEST_ITEMS
    return PairedItems(
        first=float(first.mean()),
        second=float(second.mean()),
        difference=found,
        first_higher=higher[0],
        second_higher=higher[1],
        test=test,
        p=p if enough else None,
    )


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Return the p-value of McNemar's exact test, two-sided.

    Of the items that only one of two models gets right, either is as likely to be the one, so
    their number is binomial. No item of the kind says nothing: the p-value is 1.

    Args:
        first_only: How many items only the first model gets right.
        second_only: How many only the second does.
    """
    fewer, both = min(first_only, second_only), first_only + second_only
    return min(1.0, 2 * float(special.bdtr(fewer, both, 0.5)))


def student_p(differences: Floats) -> float | None:
    """Return the p-value of Student's paired test, two-sided; None if all differ by one amount.

    Args:
        differences: Of each item, `[items]`.
    """
    if not differences.any():
        return 1.0
    n = len(differences)
    spread = float(differences.std(ddof=1)) if n > 1 else 0.0
    if np.ptp(differences) == 0 or not spread:
        return None
    return float(2 * special.stdtr(n - 1, -abs(differences.mean()) / (spread / np.sqrt(n))))


def _student(differences: Floats) -> Estimate:
    found = estimate([float(differences.mean())], [differences], UNBOUNDED)
    assert found is not None
    return found
