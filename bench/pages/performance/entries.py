"""What the suite measures: entries with the times of both sides, and their targets."""

from __future__ import annotations

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
        facts, cells, layers, widths: The sizes, ascending.
        seven_b: Whether the matrices of a 7B model are decomposed as well.
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
        facts, epochs, batch_size: Size of the grid and of trainings; steps are timed in one epoch.
        items: Items of the forgetting task.
        repeats: How often steps are timed.
        rounds: How often preparations and evaluations, which take minutes, are timed.
        exact: How many evenly spaced layers are compared with a float64 SVD; 0 means all.
        scale: Sizes of the cost curves.
        warm: Whether one epoch runs before steps are timed.
        dtypes: Number formats of the base, unless others are named.
        modes: Modes of CorDA.
        entries: Entries that run if none is named; empty means all. The quick size leaves out what
            takes the baseline too long: CorDA's preparation, evaluation and the grid.
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
    """What entries run on.

    Attributes:
        model, task: Names of the base and of the facts.
        size: How much is measured.
        dtypes: Number formats of the bases that both sides train; the first is that of entries
            which use one alone.
        scratch: A temporary folder for results.
        device: Where both sides compute, such as `cpu` or `cuda:0`.
    """

    model: str
    task: str
    size: Size
    dtypes: tuple[DType, ...]
    scratch: Path
    device: str = "cpu"

    @property
    def dtype(self) -> DType:
        """The number format of entries that use one alone."""
        return self.dtypes[0]

    @property
    def on_gpu(self) -> bool:
        """Whether both sides compute on a GPU, where what runs first is slow."""
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is timed.
        usual: Median seconds of the baseline, or of our own run that `ours` is compared with.
        ours: Our median seconds.
        target: The speed-up to reach, `usual / ours`; None if there is no target.
        same: What was compared to check that both sides agree; empty if nothing was compared.
        agreed: Whether both sides agree.
    """

    what: str
    usual: float
    ours: float
    target: float | None = None
    same: str = ""
    agreed: bool = True

    @property
    def ratio(self) -> float:
        """The speed-up: baseline seconds per second of ours."""
        return self.usual / self.ours

    @property
    def reached(self) -> bool:
        """Whether the target was reached, if there is one."""
        return self.target is None or self.ratio >= self.target


@dataclass(frozen=True)
class Training:
    """A training to be compared with its physical limit.

    Attributes:
        what: Method, dtype and side.
        seconds: Seconds per optimizer step.
        flops: Floating point operations of a step, including padding.
        dtype: The number format of its matrix products.
    """

    what: str
    seconds: float
    flops: float
    dtype: DType


@dataclass
class Outcome:
    """What an entry found.

    Attributes:
        rows: Lines of the table.
        trainings: Trainings to compare with the speed of matrix products.
        notes: Lines for the page, such as what limits an entry.
        curves: Cost curves.
    """

    rows: list[Row] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


Entry = Callable[[Bench], Outcome]


def interleaved(
    runs: Mapping[Key, Callable[[], float]], repeats: int, *, warm: bool = True
) -> dict[Key, float]:
    """Time several things in turn, so that other load on the machine slows all of them alike.

    Args:
        runs: Functions that return the seconds they took, by name.
        repeats: How many rounds count.
        warm: Whether one more round comes first and does not count.

    Returns:
        The median seconds of each.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in runs}
    for counted in [*([False] if warm else []), *[True] * repeats]:
        for name, run in runs.items():
            taken = run()
            if counted:
                seconds[name].append(taken)
    return {name: median(values) for name, values in seconds.items()}


def share_equal(found: Sequence[object], expected: Sequence[object]) -> float:
    """Return the share of equal values, in [0, 1]."""
    pairs = list(zip(found, expected, strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)
