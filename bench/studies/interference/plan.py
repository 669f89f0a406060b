"""Which trainings the interference study needs, and what identifies each.

Alone, a fact is trained with E updates. K facts together are trained in batches of
b = min(K, batch size), in two regimes: at equal exposures E epochs, so ceil(K / b) * E updates;
at equal updates the first E of the same batches in the same order, so about E * b / K exposures
of each fact. Where K <= b both are one and the same training, which runs once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.config.options import RunOptions
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.records import CellSpec, Model
from bench.store.store import ResultsStore
from bench.studies.interference.study import InterferenceOptions
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest, hash_fraction

TRAINING_VERSION = 1
"""Changes when a stored training would no longer be what it says."""


@dataclass(frozen=True)
class Group:
    """Facts that are trained together.

    Attributes:
        facts: All of them.
        measured: Those whose outcome counts; each measured fact counts in one group of a size.
    """

    facts: tuple[Fact, ...]
    measured: tuple[Fact, ...]


def divide(facts: Sequence[Fact], count: int, largest: int, task: str) -> int:
    """Return how many of the `facts` are measured: the first `count`, or all where fewer exist.

    Raises:
        UsageError: The `largest` group needs more facts than there are.
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
    """Divide the measured facts into groups of one size, in a fixed order that a seed chooses.

    A group that they do not fill, the last or the only one, is filled up with other facts; with
    measured ones of other groups where the task has no more.

    Args:
        size: Facts in each group, at most as many as there are facts.
        measured: What is compared.
        others: Further facts of the task.
        seed: Chooses the order, hence the company of each fact.
    """
    order = sorted(measured, key=lambda fact: hash_fraction("interference", str(seed), fact.id))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return tuple(_filled(part, (*others, *order), size) for part in parts)


def _filled(part: Sequence[Fact], spare: Sequence[Fact], size: int) -> Group:
    present = {fact.id for fact in part}
    fillers = [fact for fact in spare if fact.id not in present][: size - len(part)]
    return Group((*part, *fillers), tuple(part))


class Regime(StrEnum):
    """What a fact trained with others has in common with the fact alone."""

    EXPOSURES = "equal exposures"
    UPDATES = "equal updates"


class TrainingSpec(Model):
    """What identifies a training; its digest names its file.

    Attributes:
        cell: Base, recipe, schedule, seed, and the facts that are trained together; without a
            recipe where nothing is trained.
        max_steps: Most optimizer steps.
        measured_digest: The facts that are measured.
    """

    version: int = TRAINING_VERSION
    cell: CellSpec
    max_steps: int
    measured_digest: str

    @property
    def digest(self) -> str:
        """The digest of all of it: 16 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PlannedTraining:
    """A training to be found or run.

    Attributes:
        spec: Its identity.
        group: What is trained and what is measured.
        cell: Model, recipe, prompt and calibration facts.
        label: Names it for people.
    """

    spec: TrainingSpec
    group: Group
    cell: PlannedCell
    label: str


@dataclass(frozen=True)
class Condition:
    """All trainings of one size, regime and seed: together they measure every measured fact."""

    size: int
    regime: Regime
    seed: int
    trainings: tuple[PlannedTraining, ...]


@dataclass(frozen=True)
class StudyPlan:
    """The study before it runs.

    Attributes:
        grid: Where its cells come from.
        cell: The cell of the first seed: it names model, task and recipe.
        measured: The facts that are compared.
        before: The pristine base, trained on nothing.
        alone: Each fact alone, per seed.
        conditions: Every size in both regimes, per seed.
    """

    grid: RunOptions
    cell: PlannedCell
    measured: tuple[Fact, ...]
    before: PlannedTraining
    alone: tuple[Condition, ...]
    conditions: tuple[Condition, ...]

    @property
    def trainings(self) -> list[PlannedTraining]:
        """Every training once: the base, the facts alone, then by size."""
        planned = [t for c in (*self.alone, *self.conditions) for t in c.trainings]
        return list({t.spec.digest: t for t in (self.before, *planned)}.values())


def plan_study(options: InterferenceOptions) -> StudyPlan:
    """Choose the facts and list the trainings, without loading the model.

    Raises:
        UsageError: Unknown names, or a size beyond the task's facts.
    """
    grid = options.training_grid()
    cells = plan_grid(grid, ResultsStore(options.folder))
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

    return StudyPlan(
        grid=grid,
        cell=cell,
        measured=measured,
        before=_untrained(cell, measured),
        alone=tuple(condition(seeded, 1, Regime.EXPOSURES) for seeded in cells),
        conditions=tuple(
            condition(seeded, size, regime)
            for size in sorted(options.sizes)
            for regime in Regime
            for seeded in cells
        ),
    )


def updates(facts: int, batch_size: int, exposures: int, regime: Regime) -> int:
    """Return the optimizer steps of a group of so many facts."""
    batches = math.ceil(facts / batch_size) if regime is Regime.EXPOSURES else 1
    return batches * exposures


def _training(cell: PlannedCell, group: Group, regime: Regime, place: str) -> PlannedTraining:
    size, spec = len(group.facts), cell.spec
    steps = updates(size, spec.batch_size, spec.epochs, regime)
    trained = spec.model_copy(update={"facts_digest": facts_digest(group.facts), "facts": size})
    company = "alone" if size == 1 else f"{size} together"
    told = f", {regime}" if size > spec.batch_size else ""
    label = f"{company}{told}, {place}, seed {spec.seed}"
    return PlannedTraining(_spec(trained, steps, group), group, cell, label)


def _untrained(cell: PlannedCell, measured: tuple[Fact, ...]) -> PlannedTraining:
    nothing = {
        **dict.fromkeys(("facts_digest", "calibration_digest", "method"), ""),
        **dict.fromkeys(("recipe", "source_digest", "schedule"), ""),
        **dict.fromkeys(("facts", "epochs", "batch_size", "seed"), 0),
        "learning_rate": 0.0,
    }
    group = Group((), measured)
    spec = _spec(cell.spec.model_copy(update=nothing), 0, group)
    return PlannedTraining(spec, group, cell, "before training")


def _spec(cell: CellSpec, steps: int, group: Group) -> TrainingSpec:
    return TrainingSpec(cell=cell, max_steps=steps, measured_digest=facts_digest(group.measured))
