"""What skills with generated problems have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart


@dataclass(frozen=True)
class GeneratedSkill(KnowledgeTask):
    """Base class of skills whose problems are generated; what is asked is never trained."""

    source: ClassVar[str] = "generated"
    licence: ClassVar[str] = "CC0-1.0"
    revision: ClassVar[str] = "1"
    held_out: ClassVar[bool] = True
    epochs: ClassVar[int] = 2

    @property
    def shares(self) -> Shares:
        """Most problems are trained, some are shown as demonstrations, and the rest is asked."""
        return Shares(train=0.7, calibration=0.1, forget=0.0, test=0.2)

    @abstractmethod
    def problems(self) -> Iterator[Fact]:
        """Yield all problems with their worked answers, in a fixed order."""

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return all problems.

        Raises:
            UsageError: They are too few to train some and ask others.
        """
        problems = tuple(self.problems())
        parts = {self.part_of(problem) for problem in problems}
        if not parts >= {FactPart.TRAIN, FactPart.TEST}:
            many = "1 problem leaves" if len(problems) == 1 else f"{len(problems)} problems leave"
            left = "ask" if FactPart.TRAIN in parts else "train"
            raise UsageError(f"task '{self.name}': {many} none to {left}; give a larger n")
        return problems
