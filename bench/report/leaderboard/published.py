"""Published values beside our own, where cells match what was published.

A file has a title, sources and values, see `bench/report/published/corda_table1.yaml`. The files
of that folder are read, and `published.yaml` in the results folder if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.config.wrong_values import first_wrong
from bench.report.leaderboard.board import Published, Row, Section
from bench.store.records import CellSpec
from tasks.errors import UsageError
from tasks.notation import parse_part

OWN_FILE = "published.yaml"
"""In a results folder."""


class PublishedRow(BaseModel):
    """One published row.

    Attributes:
        model: Its base.
        method: Its method, with the parameters that must agree.
        scores: In percent, by task and source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    method: str
    scores: dict[str, dict[str, float]]

    def fits(self, spec: CellSpec) -> bool:
        """Return whether a cell has its model and method."""
        if "+" in spec.recipe or spec.model != self.model:
            return False
        wanted, parameters = parse_part(self.method)
        name, written = parse_part(spec.recipe)
        return name == wanted and parameters.items() <= written.items()


class PublishedFile(BaseModel):
    """What one file holds.

    Attributes:
        title: What is shown above the values.
        task: The task that was trained.
        settings: Fields of `CellSpec` that must have these values.
        spread: How far releases of one value are apart, in points: bands are at least so wide.
        sources: What each source is, by its short name.
        values: The rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    task: str
    settings: dict[str, int | float | str] = {}
    spread: float
    sources: dict[str, str]
    values: tuple[PublishedRow, ...]

    def of(self, row: Row) -> Iterator[Published]:
        """Yield the published values of a row, beside its own."""
        spec = row.spec
        same = all(getattr(spec, name, None) == value for name, value in self.settings.items())
        if not row.cells or spec.task != self.task or not same:
            return
        for published in self.values:
            if published.fits(spec):
                for task, scores in published.scores.items():
                    yield self._beside(row, task, scores)

    def _beside(self, row: Row, task: str, scores: Mapping[str, float]) -> Published:
        low, high = min(scores.values()), max(scores.values())
        wider = max(0.0, self.spread - (high - low)) / 2
        return Published(
            title=self.title,
            label=row.label,
            task=task,
            ours=_score(row, task),
            items=_items(row, task),
            scores=dict(scores),
            band=(max(0.0, low - wider), high + wider),
            sources=dict(self.sources),
        )


def with_published(section: Section, folder: Path) -> Section:
    """Return a section with the published values that its rows match.

    Raises:
        UsageError: `published.yaml` of the results folder cannot be read.
    """
    found = [value for file in _files(folder) for row in section.rows for value in file.of(row)]
    return replace(section, published=tuple(found)) if found else section


def _files(folder: Path) -> Iterable[PublishedFile]:
    own = folder / OWN_FILE
    yield from _packaged()
    if own.is_file():
        yield read_published(own.read_text(encoding="utf-8"), str(own))


@lru_cache(maxsize=1)
def _packaged() -> tuple[PublishedFile, ...]:
    found = sorted(files("bench.report").joinpath("published").iterdir(), key=lambda f: f.name)
    texts = {f.name: f.read_text(encoding="utf-8") for f in found if f.name.endswith(".yaml")}
    return tuple(read_published(text, name) for name, text in texts.items())


def read_published(text: str, name: str) -> PublishedFile:
    """Read the text of a file.

    Args:
        text: YAML.
        name: The file, for errors.

    Raises:
        UsageError: It is not YAML, or not of this form.
    """
    try:
        content: Any = yaml.safe_load(text)
        return PublishedFile.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{name}: {first_wrong(error, PublishedFile)}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error


def _score(row: Row, task: str) -> float | None:
    """Return a row's own score on a task in percent, whichever option it was measured by."""
    if task in row.evaluated:
        found = row.evaluated[task].tuned
        return None if found is None else 100 * found.value
    return 100 * row.forgetting[task].tuned if task in row.forgetting else None


def _items(row: Row, task: str) -> int | None:
    """Return how many items a row's score is of."""
    entries = [(e.task, e.tuned_items) for c in row.cells for e in c.record.evaluated]
    entries += [(e.task, e.tuned_items) for c in row.cells for e in c.record.forgetting]
    return next((len(items) for name, items in entries if name == task), None)
