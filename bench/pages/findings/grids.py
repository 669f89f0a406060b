"""The grids behind the findings: `grids/<name>.yaml`, what each took, and how to repeat it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.config.options import RunOptions, build_options
from bench.planning.candidates import is_tuned, methods_of
from bench.planning.tuning import best_trial, candidate_of, trial_of
from bench.store.records import CellRecord, CellSpec, Status
from methods.recipe import parse_recipes
from tasks.division import FactSet

FOLDER = "grids"
GPU_MODEL = "meta-llama/Llama-3.2-1B"
"""A hub model for the command that repeats a grid on a GPU."""

GPU_RESULTS = "results/findings-gpu"


@dataclass(frozen=True)
class Grid:
    """One grid file.

    Attributes:
        name: Of the file, without its ending.
        path: As it is typed.
        about: Its first lines, which are comments: what it is for.
        options: What it asks for.
    """

    name: str
    path: Path
    about: str
    options: RunOptions

    @cached_property
    def _methods(self) -> frozenset[str]:
        return frozenset(recipe.name for recipe in parse_recipes(self.options.methods))

    def holds(self, spec: CellSpec) -> bool:
        """Return whether a cell is one that this grid asks for."""
        asked = self.options
        return (
            spec.model in asked.models
            and spec.task in asked.tasks
            and spec.asked in self._methods
            and spec.seed in asked.seeds
            and spec.facts == asked.limit
            and (spec.epochs, spec.batch_size) == (asked.epochs, asked.batch_size)
            and bool(spec.tuned) is is_tuned(asked)
            and (asked.lr is None or spec.learning_rate in asked.lr)
        )

    @cached_property
    def cells(self) -> int:
        """How many cells it asks for: of each candidate one, of what is reported one a seed."""
        asked = self.options
        of_seeds = len(asked.seeds)
        tuned = is_tuned(asked)
        cells = sum(of_seeds + tuned * len(m.candidates) for m in methods_of(asked))
        return cells * len(asked.models) * len(asked.tasks)

    @property
    def command(self) -> str:
        """What repeats it here."""
        return shlex.join(["nox", "-s", "bench", "--", "--config", self.path.as_posix()])

    @property
    def gpu_command(self) -> str:
        """What runs the same on a GPU and a model of the hub."""
        words = ["--models", GPU_MODEL, "--device", "cuda", "--out", GPU_RESULTS]
        return f"{self.command} {shlex.join(words)}"


@dataclass(frozen=True, slots=True)
class Took:
    """What a grid took.

    Attributes:
        ran: Cells with a record, whatever came of them.
        done: Those with a result.
        seconds: Wall seconds of the phases, summed over the cells.
    """

    ran: int
    done: int
    seconds: float


def found_grids(folder: Path) -> tuple[Grid, ...]:
    """Read the grid files of a folder of findings, by name.

    Raises:
        UsageError: One that is not valid.
    """
    return tuple(_read(path) for path in sorted((folder / FOLDER).glob("*.yaml")))


def _read(path: Path) -> Grid:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = []
    for line in lines:
        if not line.startswith("#"):
            break
        comments.append(line.removeprefix("#").strip())
    shown = Path(os.path.relpath(path)) if path.is_absolute() else path
    return Grid(path.stem, shown, " ".join(comments), build_options({}, path))


def took(grid: Grid, records: Iterable[CellRecord]) -> Took:
    """Sum up what the cells of a grid took, each as it ran.

    Of a tuned method those count that its best candidate of this grid trained: others were trained
    when fewer candidates had been tried.
    """
    groups: dict[Hashable, list[CellRecord]] = {}
    for record in records:
        if grid.holds(record.spec):
            key = (record.spec.model, record.spec.task, record.spec.asked)
            groups.setdefault(key, []).append(record)
    mine = [record for group in groups.values() for record in _asked_for(group)]
    seconds = sum(phase.seconds for record in mine for phase in record.phases.values())
    return Took(len(mine), sum(r.status is Status.DONE for r in mine), seconds)


def _asked_for(records: Sequence[CellRecord]) -> list[CellRecord]:
    tried = [record for record in records if record.spec.fact_set is FactSet.TUNING]
    best = best_trial([trial_of(record) for record in tried])
    if best is None:
        return list(records)
    chosen = candidate_of(best.spec)
    reported = [record for record in records if record.spec.fact_set is not FactSet.TUNING]
    return [*tried, *(record for record in reported if candidate_of(record.spec) == chosen)]
