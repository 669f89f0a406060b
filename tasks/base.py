"""What a knowledge task is: facts with a source, divided into three disjoint parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from tasks.fact import Fact, FactPart, hash_fraction
from tasks.notation import canonical
from tasks.registry import Registry


class Shares(NamedTuple):
    """How a task's subjects are divided, as fractions that sum to 1."""

    train: float
    calibration: float
    forget: float


@dataclass(frozen=True)
class DataAccess:
    """Where data may be read from.

    Attributes:
        data_dir: Folder with local copies of data sets, tried before the hub.
    """

    data_dir: Path | None = None


@dataclass(frozen=True)
class KnowledgeTask(ABC):
    """A set of facts. Subclasses are frozen dataclasses whose fields are the task's parameters.

    Attributes:
        source: Where the facts come from, for people.
        licence: The data's licence.
        revision: Pinned version of the data; changes when the data change.
    """

    source: ClassVar[str] = "not stated"
    licence: ClassVar[str] = "not stated"
    revision: ClassVar[str] = ""

    @abstractmethod
    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return every fact of the task, in a fixed order, without importing torch.

        Raises:
            UsageError: The data cannot be had or are malformed; one line says what to do.
        """

    @property
    def name(self) -> str:
        """The task in the notation of the command line: `fictional[n=1000]`."""
        return canonical(self, self.family, defaults=False)

    @property
    def family(self) -> str:
        """The registered name without parameters; the parts of its facts hang on it."""
        return TASKS.name_of(type(self))

    @property
    def shares(self) -> Shares:
        """How its subjects are divided into the three parts."""
        return Shares(train=0.6, calibration=0.2, forget=0.2)

    def part_of(self, fact: Fact) -> FactPart:
        """Return the part a fact belongs to: a hash of its subject, the same everywhere."""
        shares = self.shares
        if shares.train >= 1:
            return FactPart.TRAIN
        fraction = hash_fraction("part", self.family, fact.subject or fact.id)
        if fraction < shares.train:
            return FactPart.TRAIN
        if fraction < shares.train + shares.calibration:
            return FactPart.CALIBRATION
        return FactPart.FORGET


TASKS: Registry[KnowledgeTask] = Registry("task", "tasks.knowledge", "semantic_peft_bench.tasks")
task = TASKS.register
