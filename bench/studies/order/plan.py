"""Which trainings the study of order needs, and what identifies each of them.

K facts are learned by one adapter in three ways: one after another (depth first), each alone until
it is learned; in epochs over all of them, one by one; and in epochs, in batches. The second differs
from the first in nothing but the order, the third from the second in nothing but the batches.

There are two budgets. Until learned, a fact that is trained alone stops as soon as all of its
target tokens are right under teacher forcing, and epochs stop as soon as those of all facts are;
neither exposes a fact more than `--most` times. At equal exposures every fact is trained equally
often. One fact has no order and is trained alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from bench.config.options import RunOptions
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.store import ResultsStore
from bench.studies.order.study import Optimizer, OrderOptions
from bench.studies.recipes import refuse_held_out
from bench.studies.training_store import TrainingSpec
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest, hash_fraction

TRAINING_VERSION = 1
"""Raise this number when stored trainings no longer mean what they say."""


class Order(StrEnum):
    """In which order facts are trained; the last is that of one fact."""

    DEPTH = "one after another"
    BREADTH = "epochs, one by one"
    BATCHES = "epochs, in batches"
    ALONE = "alone"


class Budget(StrEnum):
    """When a training ends."""

    LEARNED = "until learned"
    EXPOSURES = "equal exposures"


class OrderSpec(TrainingSpec):
    """What identifies a training; its cell has the epochs, at most, and the batch size.

    Attributes:
        depth_first: Whether each fact is trained to the end before the next.
        until_learned: Whether facts stop being trained when they are right.
        kept_optimizer: Whether facts that are trained one after another share an AdamW.
    """

    version: int = TRAINING_VERSION
    depth_first: bool
    until_learned: bool
    kept_optimizer: bool


@dataclass(frozen=True)
class OrderTraining:
    """A training that is read from the store or run.

    Attributes:
        spec: What identifies it.
        facts: The facts, in the order of depth-first training.
        cell: Model, recipe, prompt and calibration facts.
        label: Its name for people.
    """

    spec: OrderSpec
    facts: tuple[Fact, ...]
    cell: PlannedCell
    label: str

    @property
    def steps(self) -> int:
        """The largest number of optimizer steps."""
        cell = self.spec.cell
        return cell.epochs * math.ceil(len(self.facts) / cell.batch_size)


@dataclass(frozen=True)
class Condition:
    """The trainings of one method, size, budget, order and seed."""

    method: str
    size: int
    budget: Budget
    order: Order
    seed: int
    trainings: tuple[OrderTraining, ...]


@dataclass(frozen=True)
class StudyPlan:
    """The study before it runs.

    Attributes:
        grid: The run options that its cells are planned from.
        cells: One per method and seed.
        conditions: Every method, size, budget, order and seed.
    """

    grid: RunOptions
    cells: tuple[PlannedCell, ...]
    conditions: tuple[Condition, ...]

    @property
    def trainings(self) -> list[OrderTraining]:
        """Every training once, the small ones first."""
        planned = [t for c in self.conditions for t in c.trainings]
        by_size = sorted(planned, key=lambda training: len(training.facts))
        return list({t.spec.digest: t for t in by_size}.values())


def plan_study(options: OrderOptions) -> StudyPlan:
    """Choose the facts and list the trainings, without loading the model.

    Raises:
        UsageError: Unknown names, a task that holds out what it asks, or a size above the
            task's number of facts.
    """
    grid = options.training_grid()
    cells = tuple(plan_grid(grid, ResultsStore(options.folder)))
    refuse_held_out(cells[0].data, options.task, options.name)
    facts, largest = cells[0].data.facts, max(options.sizes)
    if len(facts) < largest:
        raise UsageError(
            f"--sizes {largest}: task '{options.task}' has {len(facts)} facts to train; "
            f"give sizes up to {len(facts)}"
        )
    conditions = [
        _condition(options, cell, facts, size, budget, order)
        for size, budget in product(sorted(options.sizes), Budget)
        for order in orders_of(size, options.batch_size)
        for cell in cells
    ]
    return StudyPlan(grid, cells, tuple(conditions))


def orders_of(size: int, batch_size: int) -> tuple[Order, ...]:
    """Return the orders in which so many facts are trained; batches of one are no batches."""
    if size == 1:
        return (Order.ALONE,)
    both = (Order.DEPTH, Order.BREADTH)
    return (*both, Order.BATCHES) if batch_size > 1 else both


def groups_of(
    size: int, facts: Sequence[Fact], least: int, seed: int
) -> tuple[tuple[Fact, ...], ...]:
    """Return groups of one size, without a fact in two, that have `least` facts where possible.

    The same facts are taken with every seed, which fixes their order and so which of them come
    together.

    Args:
        size: Facts per group, at most as many as there are facts.
        facts: The facts of the task.
        least: How many facts to measure at least.
        seed: Of the order.
    """
    count = max(1, min(math.ceil(least / size), len(facts) // size))
    chosen = facts[: count * size]
    order = sorted(chosen, key=lambda fact: hash_fraction("order study", str(seed), fact.id))
    return tuple(tuple(order[at : at + size]) for at in range(0, len(order), size))


def _condition(
    options: OrderOptions,
    cell: PlannedCell,
    facts: Sequence[Fact],
    size: int,
    budget: Budget,
    order: Order,
) -> Condition:
    seed = cell.spec.seed
    groups = groups_of(size, facts, options.measured, seed)
    trainings = tuple(
        _training(options, cell, group, budget, order, f"{number}/{len(groups)}")
        for number, group in enumerate(groups, start=1)
    )
    return Condition(cell.spec.method, size, budget, order, seed, trainings)


def _training(
    options: OrderOptions,
    cell: PlannedCell,
    group: tuple[Fact, ...],
    budget: Budget,
    order: Order,
    place: str,
) -> OrderTraining:
    size, learned = len(group), budget is Budget.LEARNED
    depth_first = order is Order.DEPTH
    trained = cell.spec.model_copy(
        update={
            "facts_digest": facts_digest(group),
            "facts": size,
            "epochs": options.most if learned else options.exposures,
            "batch_size": min(options.batch_size, size) if order is Order.BATCHES else 1,
        }
    )
    spec = OrderSpec(
        cell=trained,
        depth_first=depth_first,
        until_learned=learned,
        kept_optimizer=depth_first and options.optimizer is Optimizer.KEPT,
    )
    facts = "1 fact" if size == 1 else f"{size} facts"
    label = f"{cell.spec.method}: {facts} {order}, {budget}, {place}, seed {cell.spec.seed}"
    return OrderTraining(spec, group, cell, label)
