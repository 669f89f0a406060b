"""What the suite measures: entries with a time on either side, and what they must reach."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.config.types import DType
from bench.pages.performance.cost_curves import Curve

Key = TypeVar("Key")


@dataclass(frozen=True)
class Scale:
    """Sizes over which cost is measured as work grows.

    Attributes:
        facts, cells, layers, widths: Ascending.
        seven_b: Whether the matrices of a 7B model are decomposed too.
    """

    facts: tuple[int, ...]
    cells: tuple[int, ...]
    layers: tuple[int, ...]
    widths: tuple[int, ...]
    seven_b: bool = False


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        name: `quick` or `full`.
        facts, epochs, batch_size: Of the grid and of trainings; steps are timed in one epoch.
        items: Of the forgetting task.
        repeats: Of steps, after one epoch that is not counted where `warm`.
        rounds: Of preparations and evaluations, which take minutes.
        exact: Layers whose preparation is compared with a float64 SVD, evenly spaced; 0 is all.
        scale: Of the curves.
        warm: Whether steps are taken once before they are timed.
        dtypes: Of bases, unless others are named.
        modes: Of CorDA.
        entries: That run where none is named; empty: all. PEFT's CorDA preparation, evaluation and
            a grid, which takes the other side a fresh process for each method, are longer than a
            quick look may be.
    """

    name: str
    facts: int
    epochs: int
    batch_size: int
    items: int
    repeats: int
    rounds: int
    exact: int
    scale: Scale
    warm: bool = True
    dtypes: tuple[DType, ...] = (DType.FLOAT32, DType.BFLOAT16)
    modes: tuple[str, ...] = ("ipm", "kpm")
    entries: tuple[str, ...] = ()


QUICK = Size(
    "quick",
    facts=8,
    epochs=2,
    batch_size=4,
    items=4,
    repeats=1,
    rounds=1,
    exact=2,
    scale=Scale(facts=(100, 1000), cells=(10, 100), layers=(1, 2, 4), widths=(128, 256, 512)),
    warm=False,
    dtypes=(DType.FLOAT32,),
    modes=("ipm",),
    entries=("steps", "freeze", "pissa"),
)
FULL = Size(
    "full",
    facts=64,
    epochs=10,
    batch_size=8,
    items=200,
    repeats=5,
    rounds=2,
    exact=0,
    scale=Scale(
        facts=(100, 1000, 10_000, 100_000, 1_000_000),
        cells=(10, 100, 1000, 10_000),
        layers=(2, 4, 8, 16, 32),
        widths=(256, 512, 1024, 2048, 4096),
        seven_b=True,
    ),
)


@dataclass(frozen=True)
class Bench:
    """Where entries run.

    Attributes:
        model, task: Names of the base and of the facts.
        size: How much.
        dtypes: Of the bases that both sides train.
        scratch: A folder for results that nobody reads again.
    """

    model: str
    task: str
    size: Size
    dtypes: tuple[DType, ...]
    scratch: Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is timed.
        usual, ours: Median seconds of either side; `usual` may be our own reference.
        target: `usual / ours` that is to be reached, None where nothing is asked.
        same: How it was checked that both found the same; empty where nothing is compared.
        agreed: Whether they did.
    """

    what: str
    usual: float
    ours: float
    target: float | None = None
    same: str = ""
    agreed: bool = True

    @property
    def ratio(self) -> float:
        """How many times sooner we are."""
        return self.usual / self.ours

    @property
    def reached(self) -> bool:
        """Whether the ratio is what it is to be."""
        return self.target is None or self.ratio >= self.target


@dataclass(frozen=True)
class Training:
    """A training phase beside its physical limit.

    Attributes:
        what: Side, method and dtype.
        seconds: Per optimizer step.
        flops: Floating point operations of a step, padding included.
        dtype: In which its products are.
    """

    what: str
    seconds: float
    flops: float
    dtype: DType


@dataclass
class Outcome:
    """What an entry found.

    Attributes:
        rows: Of the table.
        trainings: Phases to compare with the speed of matrix products.
        notes: Lines for the page, such as what bounds an entry.
        curves: Of cost as work grows.
    """

    rows: list[Row] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


Entry = Callable[[Bench], Outcome]


def timed(run: Callable[[], object]) -> float:
    """Return the wall seconds of a call."""
    gc.collect()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def interleaved(
    runs: Mapping[Key, Callable[[], float]], repeats: int, *, warm: bool = True
) -> dict[Key, float]:
    """Time several things in turn, so that what the machine does besides harms all alike.

    Args:
        runs: Each returns the seconds it took.
        repeats: Rounds.
        warm: Whether one more comes first and is not counted.

    Returns:
        The median of each.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in runs}
    for counted in [*([False] if warm else []), *[True] * repeats]:
        for name, run in runs.items():
            taken = run()
            if counted:
                seconds[name].append(taken)
    return {name: median(values) for name, values in seconds.items()}


def share_equal(found: Sequence[object], expected: Sequence[object]) -> float:
    """Return the share of values that are equal, in [0, 1]."""
    pairs = list(zip(found, expected, strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)
