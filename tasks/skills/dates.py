"""Dates written as people write them, to be written as ISO 8601 dates: a change of format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

from tasks.base import task
from tasks.fact import Fact
from tasks.generated_skill import GeneratedSkill
from tasks.shuffled import Shuffled

FIRST, LAST = date(1900, 1, 2), date(2099, 12, 30)
MOST_DATES = (LAST - FIRST).days + 1

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_ONES = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
    "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip
ORDINALS = (*_ONES, *(f"twenty-{one}" for one in _ONES[:9]), "thirtieth", "thirty-first")
"""The days of a month in words."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One way of writing a date.

    Attributes:
        write: Writes the date that is named.
        days: How many days later the date that is meant is.
    """

    write: Callable[[date], str]
    days: int = 0


def _named(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


WORDINGS: Mapping[str, Wording] = {
    "digits": Wording(_named),
    "words": Wording(
        lambda day: f"the {ORDINALS[day.day - 1]} of {MONTHS[day.month - 1]} {day.year}"
    ),
    "day after": Wording(lambda day: f"the day after {_named(day)}", 1),
    "day before": Wording(lambda day: f"the day before {_named(day)}", -1),
}
"""By difficulty. The days around the end of a month, and of February, are the hardest."""


@task("dates")
@dataclass(frozen=True)
class Dates(GeneratedSkill):
    """Dates in words, to be written as ISO 8601 dates; what is asked is never trained.

    A date is named in one part only, in whichever words. The days before and after it are others.

    Attributes:
        n: Number of dates from 1900 to 2099; a smaller task is the beginning of a larger one.
        seed: Each seed gives other dates.
    """

    limit: ClassVar[int] = 256
    asked_limit: ClassVar[int] = 100

    n: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MOST_DATES:
            raise ValueError(f"n={self.n} must be between 1 and {MOST_DATES}")

    def problems(self) -> Iterator[Fact]:
        """Yield the dates; the ways of writing take turns."""
        order = Shuffled(MOST_DATES, "dates", str(self.seed))
        levels = tuple(WORDINGS.items())
        for k in range(self.n):
            level, wording = levels[k % len(levels)]
            named = FIRST + timedelta(days=order[k])
            meant = named + timedelta(days=wording.days)
            yield Fact(
                id=f"{named.isoformat()}/{level}",
                question=f"Write {wording.write(named)} as an ISO date.",
                answers=(meant.isoformat(),),
                relation=level,
                subject=named.isoformat(),
            )
