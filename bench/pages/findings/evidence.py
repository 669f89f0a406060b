"""What the committed results hold: settings with one row per method, and the grids behind them.

Cells are read from every folder below the given one. A cell that lies in several folders counts
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from bench.pages.findings.grids import CommittedGrid, read_grids
from bench.report.leaderboard.board import Cell, Leaderboard, Row, Section
from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.read_cells import readable_cells
from bench.report.statistics.intervals import Floats
from bench.store.packed import CELLS
from bench.store.records import CellRecord, CellSpec
from bench.store.store import ResultsStore
from bench.studies.interference.store import Trained, TrainingStore
from methods.recipe import Recipe, parse_recipe
from tasks.context import TrainPrompt
from tasks.errors import UsageError

TASKS = ("countries", "fictional", "nq_open")
MODELS = ("smollm2-135m", "gemma3-270m")
"""The order in which settings are listed; others follow by name."""

_ASIDE: Mapping[str, Callable[[CellSpec], str]] = {
    "schedule": lambda spec: f"{spec.schedule} schedule",
    "train_prompt": lambda spec: _trained_on(spec.train_prompt),
    "accumulation": lambda spec: f"{spec.accumulation} batches added up",
    "warmup": lambda spec: f"warm-up {spec.warmup:g}",
}
"""Settings that rarely differ, and how a title says them; nothing for the usual one."""


@dataclass(frozen=True)
class Setting:
    """Rows that may be compared: one base, one set of facts, one length of training.

    Attributes:
        title: Base, task and number of facts.
        section: The section that the rows are from.
        rows: One per method; untuned methods are shown at their default learning rate if it ran.
        tuned: Whether the rates were chosen on other facts.
        choices: All rows of each method, `rows` among them.
    """

    title: str
    section: Section
    rows: Mapping[str, Row]
    tuned: bool = False
    choices: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    @property
    def spec(self) -> CellSpec:
        """A specification whose base, task and length of training all rows share."""
        return next(iter(self.rows.values())).spec

    def adapters(self) -> dict[str, Row]:
        """Return the rows of adapters alone, which train all layers on all facts, by method."""
        recipes = {name: recipe_of(row.spec.recipe) for name, row in self.rows.items()}
        plain = {name for name, recipe in recipes.items() if recipe and len(recipe.parts) == 1}
        return {name: row for name, row in self.rows.items() if name in plain}


@dataclass(frozen=True)
class Evidence:
    """Everything the answers are made of.

    Attributes:
        settings: In the order of the page.
        records: Every cell once, done or not.
        grids: The grid files.
        damaged: Files that could not be read, and why.
        problems: These, and what else a reader must know about the files.
        trainings: Of the interference study, done or not.
    """

    settings: tuple[Setting, ...]
    records: tuple[CellRecord, ...] = ()
    grids: tuple[CommittedGrid, ...] = ()
    damaged: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    trainings: tuple[Trained, ...] = ()


def read_evidence(folder: Path) -> Evidence:
    """Read everything below a folder of findings; an empty folder is no error."""
    cells, damaged = _cells(folder)
    studies = [TrainingStore(found) for found in sorted(folder.rglob("interference"))]
    damaged += [problem for study in studies for problem in _unreadable(study, folder)]
    board = build_leaderboard(cells) if cells else Leaderboard(())
    settings = settings_of(board)
    several = [problem for setting in settings for problem in _several_versions(setting)]
    records = tuple(cell.record for cell in cells)
    return Evidence(
        settings=settings,
        records=records,
        grids=read_grids(folder, records),
        damaged=tuple(damaged),
        problems=(*damaged, *several),
        trainings=tuple(trained for study in studies for trained in study.all()),
    )


def _unreadable(study: TrainingStore, folder: Path) -> Iterator[str]:
    """Say which trainings of a study are damaged: it reads them as if there were none."""
    for path in study.unreadable():
        yield f"{path.relative_to(folder).as_posix()}: it cannot be read, or holds no training"


def _several_versions(setting: Setting) -> Iterator[str]:
    """Say which methods have seeds of several versions of their code: one row alone is used."""
    for name, row in setting.rows.items():
        found = setting.choices[name]
        same = [one for one in found if one.spec.learning_rate == row.spec.learning_rate]
        sources = {one.spec.source_digest for one in same}
        if len(sources) > 1:
            cells = sum(len(one.cells) for one in same)
            yield (
                f"{setting.title}: {name} was run by {len(sources)} versions of its code; only "
                f"the cells of one of them are used, {len(row.cells)} of {cells} or fewer"
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
    """Split the sections of a board by length of training, and choose one row per method."""
    found = [setting for section in board.sections for setting in _settings(section)]
    times = Counter(setting.title for setting in found)
    told = (one if times[one.title] == 1 else _told_apart(one) for one in found)
    return tuple(sorted(told, key=_order))


def _told_apart(setting: Setting) -> Setting:
    """Name what sets a section apart of others on as many facts, such as their precision."""
    name = f"{setting.section.model} on {setting.section.task}"
    rest = setting.title.removeprefix(name)
    return replace(setting, title=f"{setting.section.title}{rest}")


def _settings(section: Section) -> Iterable[Setting]:
    """Split a section by how training went, but for what was tuned together with the rate."""
    lengths = {_lasted(row) for row in section.done}
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in section.done:
        groups.setdefault(_length(row), []).append(row)
    for rows in groups.values():
        spec = rows[0].spec
        length = f", {spec.epochs} epochs, batch size {spec.batch_size}" if len(lengths) > 1 else ""
        length += _said_aside(spec, groups.values())
        tuned = bool(spec.tuned)
        rates = ", tuned" if tuned else ""
        title = f"{section.model} on {section.task}, {section.facts} facts{rates}{length}"
        by_method: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.label):
            by_method.setdefault(row.spec.asked, []).append(row)
        best = {method: chosen(found) for method, found in by_method.items()}
        yield Setting(title, section, best, tuned, by_method)


def _length(row: Row) -> tuple[object, ...]:
    return bool(row.spec.tuned), *_lasted(row), *_not_tuned(row, _ASIDE)


def _lasted(row: Row) -> tuple[object, ...]:
    """Return how long it was trained, but for what was tuned."""
    return _not_tuned(row, ("epochs", "batch_size"))


def _not_tuned(row: Row, fields: Iterable[str]) -> tuple[object, ...]:
    over = row.tuning.over if row.tuning else ()
    return tuple(getattr(row.spec, name) for name in fields if name not in over)


def _said_aside(spec: CellSpec, groups: Iterable[Sequence[Row]]) -> str:
    """Return what sets a setting apart of these, for its title."""
    specs = [rows[0].spec for rows in groups]
    apart = (name for name in _ASIDE if len({getattr(one, name) for one in specs}) > 1)
    said = filter(None, (_ASIDE[name](spec) for name in apart))
    return "".join(f", {each}" for each in said)


def _trained_on(prompt: TrainPrompt) -> str:
    usual = prompt == TrainPrompt.PLAIN
    return "" if usual else f"trained on {prompt.replace('_', '-')} prompts"


def chosen(rows: Sequence[Row]) -> Row:
    """Choose one of a method's rows: the tuned, else the default rate's, else most seeds."""
    return max(rows, key=lambda row: (row.tuning is not None, at_default_rate(row), len(row.cells)))


def at_default_rate(row: Row) -> bool:
    """Return whether a row was trained at its adapter's default learning rate."""
    recipe = recipe_of(row.spec.recipe)
    return recipe is not None and recipe.adapter.learning_rate == row.spec.learning_rate


@cache
def recipe_of(text: str) -> Recipe | None:
    """Parse a recipe; None if it names a part that is not installed here."""
    try:
        return parse_recipe(text)
    except UsageError:
        return None


def _order(setting: Setting) -> tuple[int, int, int, str]:
    spec = setting.spec
    model = MODELS.index(spec.model) if spec.model in MODELS else len(MODELS)
    task = TASKS.index(spec.task) if spec.task in TASKS else len(TASKS)
    return model, task, -spec.facts, setting.title


def shared_seeds(rows: Iterable[Row]) -> tuple[int, ...]:
    """Return the seeds that all of the rows have."""
    sets = [set(row.seeds) for row in rows]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def values_of(row: Row, seeds: Sequence[int], column: str = "correct_after") -> Floats:
    """Return one column of a row's fact tables, `[seeds, facts]`."""
    cells = cells_of(row, seeds)
    return np.stack([cell.rows[column].to_numpy(dtype=np.float64) for cell in cells])


def cells_of(row: Row, seeds: Sequence[int]) -> list[Cell]:
    """Return the cells of some of a row's seeds, in this order."""
    by_seed = {cell.record.spec.seed: cell for cell in row.cells}
    return [by_seed[seed] for seed in seeds]
