"""Tasks: facts, examples of a skill or texts, with a source, divided into disjoint parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from tasks.fact import Fact, FactPart, hash_fraction
from tasks.form import QUESTIONS, Form
from tasks.notation import canonical
from tasks.registry import Registry


class Shares(NamedTuple):
    """The share of a task's subjects in each of its parts; together they sum to 1."""

    train: float
    calibration: float
    forget: float
    test: float = 0.0


@dataclass(frozen=True)
class DataAccess:
    """Where a task may read its data from.

    Attributes:
        data_dir: Folder with local copies of data sets, which is tried before the hub.
    """

    data_dir: Path | None = None


@dataclass(frozen=True)
class KnowledgeTask(ABC):
    """A set of facts to learn or to keep.

    Subclasses are frozen dataclasses whose fields are the task's parameters. `list` shows the first
    line of their docstring.

    Attributes:
        source: Where the facts come from, as people should read it.
        licence: The licence of the data.
        revision: The pinned version of the data; it changes whenever the data do.
        form: How questions and answers are written.
        held_out: Whether what is asked is not what is trained: examples or texts of the train part
            are trained, and questions of the test part asked.
        limit, epochs: How many facts are trained at most, and how often, unless a run says so.
        asked_limit: How many held-out questions are asked at most.
    """

    source: ClassVar[str] = "not stated"
    licence: ClassVar[str] = "not stated"
    revision: ClassVar[str] = ""
    form: ClassVar[Form] = QUESTIONS
    held_out: ClassVar[bool] = False
    limit: ClassVar[int] = 64
    epochs: ClassVar[int] = 10
    asked_limit: ClassVar[int] = 200

    @abstractmethod
    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return every fact of the task, in a fixed order, without importing torch.

        Raises:
            UsageError: The data cannot be found or are malformed; one line says what to do.
        """

    @property
    def name(self) -> str:
        """The task as it is written on the command line, such as `fictional[n=500]`."""
        return canonical(self, self.family, defaults=False)

    @property
    def family(self) -> str:
        """The registered name without parameters; the division into parts depends on it."""
        return TASKS.name_of(type(self))

    @property
    def shares(self) -> Shares:
        """How the task's subjects are divided into its parts."""
        return Shares(train=0.6, calibration=0.2, forget=0.2)

    def part_of(self, fact: Fact) -> FactPart:
        """Return a fact's part, by a hash of its group or subject: the same everywhere."""
        shares = self.shares
        if shares.train >= 1:
            return FactPart.TRAIN
        fraction = hash_fraction("part", self.family, fact.unit)
        if fraction < shares.train:
            return FactPart.TRAIN
        if fraction < shares.train + shares.calibration:
            return FactPart.CALIBRATION
        if not shares.test or fraction < shares.train + shares.calibration + shares.forget:
            return FactPart.FORGET
        return FactPart.TEST


TASKS: Registry[KnowledgeTask] = Registry(
    "task",
    ("tasks.knowledge", "tasks.skills", "tasks.documents", "tasks.labels"),
    "semantic_peft_bench.tasks",
)
task = TASKS.register
