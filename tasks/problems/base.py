"""Sets of problems for `--evaluate`: what is asked, in which prompt, and what counts as right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from tasks.alpaca import AFTER, BEFORE
from tasks.errors import unknown_name
from tasks.fact import Fact
from tasks.hub import HubTask
from tasks.row import Row

STEPS = " Let's think step by step."
"""Follows the prompt in CorDA's `inference/gsm8k_inference.py` and `MATH_inference.py`."""

STOPS = ("Instruction:", "Instruction", "Response:", "Response")
"""Texts that end an answer there, besides the end-of-sequence token."""


@dataclass(frozen=True)
class ProblemSet(HubTask):
    """Base class of sets of problems that are asked once, without demonstrations.

    The prompt is that of CorDA's inference code, word for word (Apache-2.0).

    Attributes:
        name_of_set: Its name after `--evaluate`.
        longest: Most tokens of an answer.
        before, after: What stands before and after a problem.
        stops: Texts that end an answer.
    """

    name_of_set: ClassVar[str]
    longest: ClassVar[int]
    before: ClassVar[str] = BEFORE
    after: ClassVar[str] = f"{AFTER}{STEPS}"
    stops: ClassVar[tuple[str, ...]] = STOPS
    split: ClassVar[str] = "test"

    @property
    def family(self) -> str:
        """Its name after `--evaluate`, which local copies are named after, too."""
        return self.name_of_set

    @property
    def name(self) -> str:
        """The same: it has no parameters."""
        return self.name_of_set

    def _cleaned(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """Number the problems, from 1; none is left out."""
        return tuple(replace(f, id=f"problem {n}") for n, f in enumerate(facts, start=1))

    def _checked(self, row: Row) -> Fact:
        try:
            return self.fact_of(row.values)
        except KeyError as error:
            raise row.missing(str(error.args[0])) from error
        except (AttributeError, ValueError) as error:
            raise row.error(f"not a row of {self.dataset}: {error}") from error


_SETS: dict[str, type[ProblemSet]] = {}


def problem_set(name: str) -> Callable[[type[ProblemSet]], type[ProblemSet]]:
    """Return a decorator that registers a set of problems under a name."""

    def add(kind: type[ProblemSet]) -> type[ProblemSet]:
        kind.name_of_set = name
        _SETS[name] = kind
        return kind

    return add


def problem_sets() -> dict[str, type[ProblemSet]]:
    """Return all sets of problems by their names."""
    from tasks.problems import competition_math, gsm8k  # noqa: F401  # they register themselves

    return dict(sorted(_SETS.items()))


def problems_of(name: str) -> ProblemSet:
    """Return the set of problems with a name; raise `UsageError` if there is none."""
    known = problem_sets()
    if name not in known:
        raise unknown_name("set of problems", name, known)
    return known[name]()
