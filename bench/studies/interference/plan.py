"""Which trainings the interference study needs, and what identifies each of them.

A fact alone is trained with E updates. K facts together are trained in batches of
b = min(K, batch size), in two regimes. At equal exposures they are trained for E epochs, which is
ceil(K / b) * E updates. At equal updates only the first E of the same batches are trained, in the
same order, which is about E * b / K exposures of each fact. If K <= b, both regimes are the same
training, which runs once. `--regimes exposures` leaves the second regime out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.config.options import RunOptions
from bench.config.types import Schedule
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.records import CellSpec
from bench.store.store import ResultsStore
from bench.studies.interference.study import InterferenceOptions, Regimes
from bench.studies.recipes import refuse_held_out
from bench.studies.training_store import TrainingSpec as StudyTrainingSpec
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest, hash_fraction
from tasks.scoring import normalise

TRAINING_VERSION = 2
"""Raise this number when stored trainings no longer mean what they say."""


@dataclass(frozen=True)
class Group:
    """Facts that are trained together.

    Attributes:
        facts: All facts of the group.
        measured: The facts that are measured here; for each size, every measured fact is
            measured in exactly one group.
    """

    facts: tuple[Fact, ...]
    measured: tuple[Fact, ...]

    def others(self, fact_id: str) -> frozenset[str]:
        """Return the targets of the other facts, in normal form."""
        return frozenset(normalise(fact.target) for fact in self.facts if fact.id != fact_id)


def divide(facts: Sequence[Fact], count: int, largest: int, task: str) -> int:
    """Return how many of the facts are measured: `count`, or all if there are fewer.

    Args:
        facts: The facts of the task that may be trained.
        count: How many facts to measure.
        largest: The largest group.
        task: The task's name, for the error.

    Raises:
        UsageError: The largest group needs more facts than there are.
    """
    if len(facts) < largest:
        raise UsageError(
            f"--sizes {largest}: task '{task}' has {len(facts)} facts to train; "
            f"give sizes up to {len(facts)}"
        )
    return min(count, len(facts))


def groups_of(
    size: int, measured: Sequence[Fact], others: Sequence[Fact], seed: int
) -> tuple[Group, ...]:
    """Divide the measured facts into groups of one size, in an order that the seed fixes.

    The last group is filled up with other facts, and if the task has no more, with measured facts
    of other groups.

    Args:
        size: Facts per group, at most as many as there are facts.
        measured: The facts that are compared.
        others: Further facts of the task.
        seed: Determines the order, and so which facts are trained together.
    """
    order = sorted(measured, key=lambda fact: hash_fraction("interference", str(seed), fact.id))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return tuple(_filled(part, (*others, *order), size) for part in parts)


def _filled(part: Sequence[Fact], spare: Sequence[Fact], size: int) -> Group:
    present = {fact.id for fact in part}
    fillers = [fact for fact in spare if fact.id not in present][: size - len(part)]
    return Group((*part, *fillers), tuple(part))


class Regime(StrEnum):
    """What stays equal between a fact trained in a group and the fact trained alone."""

    EXPOSURES = "equal exposures"
    UPDATES = "equal updates"


class TrainingSpec(StudyTrainingSpec):
    """What identifies a training; the recipe of its cell is empty if nothing is trained.

    Attributes:
        max_steps: The largest number of optimizer steps.
        measured_digest: A digest of the facts that are measured.
    """

    version: int = TRAINING_VERSION
    max_steps: int
    measured_digest: str


@dataclass(frozen=True)
class PlannedTraining:
    """A training that is read from the store or run.

    Attributes:
        spec: What identifies it.
        group: The facts to train and to measure.
        cell: Model, recipe, prompt and calibration facts.
        label: Its name for people.
    """

    spec: TrainingSpec
    group: Group
    cell: PlannedCell
    label: str


@dataclass(frozen=True)
class Condition:
    """The trainings of one size, regime and seed; together they cover every measured fact."""

    size: int
    regime: Regime
    seed: int
    trainings: tuple[PlannedTraining, ...]


@dataclass(frozen=True)
class StudyPlan:
    """The study before it runs.

    Attributes:
        grid: The run options that its cells are planned from.
        cell: The cell of the first seed; it names model, task and recipe.
        measured: The facts that are compared.
        before: The measurement of the untrained base.
        alone: Each fact trained alone, one condition per seed.
        conditions: Every size in each regime that is asked for, for each seed.
    """

    grid: RunOptions
    cell: PlannedCell
    measured: tuple[Fact, ...]
    before: PlannedTraining
    alone: tuple[Condition, ...]
    conditions: tuple[Condition, ...]

    @property
    def trainings(self) -> list[PlannedTraining]:
        """Every training once: the base, the facts alone, then the groups by size."""
        planned = [t for c in (*self.alone, *self.conditions) for t in c.trainings]
        return list({t.spec.digest: t for t in (self.before, *planned)}.values())


def plan_study(options: InterferenceOptions) -> StudyPlan:
    """Choose the facts and list the trainings, without loading the model.

    Raises:
        UsageError: Unknown names, a task that holds out what it asks, or a size above the
            task's number of facts.
    """
    grid = options.training_grid()
    cells = plan_grid(grid, ResultsStore(options.folder))
    refuse_held_out(cells[0].data, options.task, options.name)
    cell, facts = cells[0], cells[0].data.facts
    count = divide(facts, options.measured, max(options.sizes), options.task)
    measured, others = facts[:count], facts[count:]

    def condition(seeded: PlannedCell, size: int, regime: Regime) -> Condition:
        seed = seeded.spec.seed
        groups = groups_of(size, measured, others, seed)
        trainings = tuple(
            _training(seeded, group, regime, f"{number}/{len(groups)}")
            for number, group in enumerate(groups, start=1)
        )
        return Condition(size, regime, seed, trainings)

    regimes = tuple(Regime) if options.regimes is Regimes.BOTH else (Regime.EXPOSURES,)
    return StudyPlan(
        grid=grid,
        cell=cell,
        measured=measured,
        before=_untrained(cell, measured),
        alone=tuple(condition(seeded, 1, Regime.EXPOSURES) for seeded in cells),
        conditions=tuple(
            condition(seeded, size, regime)
            for size in sorted(options.sizes)
            for regime in regimes
            for seeded in cells
        ),
    )


def updates(facts: int, batch_size: int, exposures: int, regime: Regime) -> int:
    """Return the optimizer steps of a group.

    Args:
        facts: Facts in the group.
        batch_size: Facts per step.
        exposures: How often a fact alone is trained.
        regime: What stays equal to the fact alone.
    """
    batches = math.ceil(facts / batch_size) if regime is Regime.EXPOSURES else 1
    return batches * exposures


def _training(cell: PlannedCell, group: Group, regime: Regime, place: str) -> PlannedTraining:
    size, spec = len(group.facts), cell.spec
    steps = updates(size, spec.batch_size, spec.epochs, regime)
    trained = spec.model_copy(update={"facts_digest": facts_digest(group.facts), "facts": size})
    together = "alone" if size == 1 else f"{size} together"
    in_regime = f", {regime}" if size > spec.batch_size else ""
    label = f"{together}{in_regime}, {place}, seed {spec.seed}"
    return PlannedTraining(_spec(trained, steps, group), group, cell, label)


def _untrained(cell: PlannedCell, measured: tuple[Fact, ...]) -> PlannedTraining:
    nothing = {
        **dict.fromkeys(("facts_digest", "calibration_digest", "method"), ""),
        **dict.fromkeys(("recipe", "source_digest", "optimizer"), ""),
        **dict.fromkeys(("facts", "epochs", "batch_size", "seed"), 0),
        **dict.fromkeys(("learning_rate", "warmup"), 0.0),
        "schedule": Schedule.CONSTANT,
    }
    group = Group((), measured)
    spec = _spec(cell.spec.model_copy(update=nothing), 0, group)
    return PlannedTraining(spec, group, cell, "before training")


def _spec(cell: CellSpec, steps: int, group: Group) -> TrainingSpec:
    return TrainingSpec(cell=cell, max_steps=steps, measured_digest=facts_digest(group.measured))
