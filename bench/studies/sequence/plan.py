"""Which sequences the study needs, and what identifies each of them.

The facts of a task are divided into K parts, the same for every method and seed. One adapter is
trained on part 1, then on part 2, and so on, each time as a cell of that part would be: the whole
schedule, a new AdamW, the seed's data order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.config.options import RunOptions
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.store import ResultsStore
from bench.studies.recipes import refuse_held_out
from bench.studies.sequence.study import SequenceOptions
from bench.studies.training_store import TrainingSpec
from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction

TRAINING_VERSION = 1
"""Raise this number when stored sequences no longer mean what they say."""


class SequenceSpec(TrainingSpec):
    """What identifies a sequence; its cell has all facts.

    Attributes:
        parts: Into how many parts they are divided.
    """

    version: int = TRAINING_VERSION
    parts: int


@dataclass(frozen=True)
class PlannedSequence:
    """A sequence that is read from the store or run.

    Attributes:
        spec: What identifies it.
        parts: The facts of each part, in the order in which parts are trained.
        cell: Model, recipe, prompt and calibration facts.
        label: Its name for people.
    """

    spec: SequenceSpec
    parts: tuple[tuple[Fact, ...], ...]
    cell: PlannedCell
    label: str

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, part by part."""
        return tuple(fact for part in self.parts for fact in part)

    @property
    def steps(self) -> int:
        """The number of optimizer steps."""
        cell = self.spec.cell
        return cell.epochs * sum(math.ceil(len(part) / cell.batch_size) for part in self.parts)


@dataclass(frozen=True)
class StudyPlan:
    """The study before it runs.

    Attributes:
        grid: The run options that its cells are planned from.
        sequences: One per method and seed.
    """

    grid: RunOptions
    sequences: tuple[PlannedSequence, ...]

    @property
    def parts(self) -> tuple[tuple[Fact, ...], ...]:
        """The facts of each part."""
        return self.sequences[0].parts

    @property
    def methods(self) -> tuple[str, ...]:
        """The recipes, in the order given."""
        return tuple(dict.fromkeys(planned.spec.cell.method for planned in self.sequences))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order given."""
        return tuple(dict.fromkeys(planned.spec.cell.seed for planned in self.sequences))


def plan_study(options: SequenceOptions) -> StudyPlan:
    """Divide the facts and list the sequences, without loading the model.

    Raises:
        UsageError: Unknown names, a task that holds out what it asks, or fewer facts than parts.
    """
    grid = options.training_grid()
    cells = plan_grid(grid, ResultsStore(options.folder))
    refuse_held_out(cells[0].data, options.task, options.name)
    facts = cells[0].data.facts
    if len(facts) < options.parts:
        raise UsageError(
            f"--parts {options.parts}: there are {len(facts)} facts of task '{options.task}' to "
            f"train; give at most {len(facts)} parts, or more facts with --limit"
        )
    parts = divide(facts, options.parts)
    return StudyPlan(grid, tuple(_sequence(cell, parts) for cell in cells))


def divide(facts: Sequence[Fact], count: int) -> tuple[tuple[Fact, ...], ...]:
    """Divide facts into parts whose sizes differ by one at most, by hashes of their ids."""
    mixed = sorted(facts, key=lambda fact: hash_fraction("sequence", fact.id))
    ends = [len(mixed) * part // count for part in range(count + 1)]
    return tuple(tuple(mixed[start:end]) for start, end in pairwise(ends))


def _sequence(cell: PlannedCell, parts: tuple[tuple[Fact, ...], ...]) -> PlannedSequence:
    spec = SequenceSpec(cell=cell.spec, parts=len(parts))
    label = f"{cell.spec.method}: {len(parts)} parts one after another, seed {cell.spec.seed}"
    return PlannedSequence(spec, parts, cell, label)
