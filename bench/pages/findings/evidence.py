"""What the committed results hold: settings with one row per method, and interference trainings.

Every folder below the given one that has cells counts, a cell that lies in several counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bench.pages.findings.grids import Grid, found_grids
from bench.pages.findings.interference_data import InterferenceRun, companies
from bench.report.leaderboard.board import Cell, Leaderboard, Row, Section
from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.read_cells import readable_cells
from bench.report.statistics.intervals import Floats
from bench.store.packed import CELLS
from bench.store.records import CellRecord, CellSpec
from bench.store.store import ResultsStore
from methods.recipe import Recipe, parse_recipe, part_name
from tasks.errors import UsageError

TASKS = ("countries", "fictional", "nq_open")
MODELS = ("smollm2-135m", "gemma3-270m")
"""The order in which settings are told; others follow by name."""


@dataclass(frozen=True)
class Setting:
    """Rows that may be compared: one base, one set of facts, one length of training.

    Attributes:
        title: Base, task and number of facts.
        section: The section that the rows are from.
        rows: One per method: of untuned ones that at its default rate, where there is one.
        tuned: Whether the rates were chosen on other facts.
    """

    title: str
    section: Section
    rows: Mapping[str, Row]
    tuned: bool = False

    @property
    def spec(self) -> CellSpec:
        """What its rows share."""
        return next(iter(self.rows.values())).spec

    def recipe(self, row: Row) -> Recipe | None:
        """Return a row's recipe; None where it names parts that are not installed here."""
        return recipe_of(row.spec.recipe)

    def adapters(self) -> dict[str, Row]:
        """Return the rows that change weights in all layers on all facts, by method."""
        return {name: row for name, row in self.rows.items() if self._plain(row)}

    def _plain(self, row: Row) -> bool:
        recipe = self.recipe(row)
        return recipe is not None and len(recipe.parts) == 1


@dataclass(frozen=True)
class Evidence:
    """Everything the answers are made of.

    Attributes:
        settings: In the order they are told.
        companies: The interference study's trainings, by what they share.
        records: Every cell once, done or not.
        grids: The grid files.
        problems: Files that could not be read.
    """

    settings: tuple[Setting, ...]
    companies: tuple[InterferenceRun, ...] = ()
    records: tuple[CellRecord, ...] = ()
    grids: tuple[Grid, ...] = ()
    problems: tuple[str, ...] = ()


def read_evidence(folder: Path) -> Evidence:
    """Read all that lies below a folder of findings; an empty one is no error."""
    cells, problems = _cells(folder)
    board = build_leaderboard(cells) if cells else Leaderboard(())
    return Evidence(
        settings=settings_of(board),
        companies=companies(folder),
        records=tuple(cell.record for cell in cells),
        grids=found_grids(folder),
        problems=tuple(problems),
    )


def _cells(folder: Path) -> tuple[list[Cell], list[str]]:
    found: dict[str, Cell] = {}
    problems: list[str] = []
    stored = {path.parent for name in ("cells", CELLS) for path in folder.rglob(name)}
    for store in map(ResultsStore, sorted(stored)):
        records = store.records()
        problems += records.problems
        new = [record for record in records.records if record.cell_id not in found]
        cells, damaged = readable_cells(store, new)
        found.update((cell.record.cell_id, cell) for cell in cells)
        problems += damaged
    return list(found.values()), problems


def settings_of(board: Leaderboard) -> tuple[Setting, ...]:
    """Divide the sections of a board by length of training, and choose a row per method."""
    found = [setting for section in board.sections for setting in _settings(section)]
    return tuple(sorted(found, key=_order))


def _settings(section: Section) -> Iterable[Setting]:
    """Divide the rows of a section by length of training, unless that was tuned with the rate."""
    tuned = bool(section.rows[0].spec.tuned)
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in section.done:
        groups.setdefault(_length(row), []).append(row)
    for rows in groups.values():
        spec = rows[0].spec
        told = f", {spec.epochs} epochs of batches of {spec.batch_size}" if len(groups) > 1 else ""
        rates = ", tuned" if tuned else ""
        title = f"{section.model} on {section.task}, {section.facts} facts{rates}{told}"
        by_method: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.label):
            by_method.setdefault(row.spec.asked, []).append(row)
        yield Setting(title, section, {m: chosen(found) for m, found in by_method.items()}, tuned)


def _length(row: Row) -> tuple[object, ...]:
    spec, over = row.spec, row.tuning.over if row.tuning else ()
    fields = ("epochs", "batch_size", "schedule")
    return tuple(getattr(spec, name) for name in fields if name not in over)


def chosen(rows: Sequence[Row]) -> Row:
    """Return of one method's rows the tuned one, else that of its default rate or most seeds."""
    return max(rows, key=lambda row: (row.tuning is not None, at_default_rate(row), len(row.cells)))


def at_default_rate(row: Row) -> bool:
    """Return whether a row was trained at its adapter's default learning rate."""
    recipe = recipe_of(row.spec.recipe)
    return recipe is not None and recipe.adapter.learning_rate == row.spec.learning_rate


@cache
def recipe_of(text: str) -> Recipe | None:
    """Read a recipe; None where it names what is not installed here."""
    try:
        return parse_recipe(text)
    except UsageError:
        return None


def adapter_name(row: Row) -> str:
    """Return the name of a row's adapter; empty where it is not installed here."""
    recipe = recipe_of(row.spec.recipe)
    return part_name(recipe.adapter) if recipe else ""


def _order(setting: Setting) -> tuple[int, int, int, str]:
    spec = setting.spec
    model = MODELS.index(spec.model) if spec.model in MODELS else len(MODELS)
    task = TASKS.index(spec.task) if spec.task in TASKS else len(TASKS)
    return model, task, -spec.facts, setting.title


def told(settings: Iterable[Setting]) -> list[Setting]:
    """Return of each base and task the settings of tuned rates where there are any, else all."""
    found = list(settings)
    tuned = {(s.spec.model, s.spec.task) for s in found if s.tuned}
    return [s for s in found if s.tuned or (s.spec.model, s.spec.task) not in tuned]


def shared_seeds(rows: Iterable[Row]) -> tuple[int, ...]:
    """Return the seeds that all of the rows have."""
    sets = [set(row.seeds) for row in rows]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def most_complete(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that have every seed that the best covered one has."""
    found = list(rows)
    most = max((len(row.seeds) for row in found), default=0)
    return [row for row in found if len(row.seeds) == most]


def values(row: Row, seeds: Sequence[int], column: str = "correct_after") -> Floats:
    """Return a column of the fact rows, `[seeds, facts]`."""
    by_seed = {cell.record.spec.seed: cell for cell in row.cells}
    return np.stack([by_seed[seed].rows[column].to_numpy(dtype=np.float64) for seed in seeds])
