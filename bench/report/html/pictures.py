"""The numbers behind the page's pictures: methods, paths over epochs, buckets of distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from bench.redaction import safe_text
from bench.report.html.picture_paths import PathMeasure, PathSeries, path_measures, row_series
from bench.report.leaderboard.board import Leaderboard, Row, Section
from bench.report.leaderboard.distance_buckets import (
    ACCURACY,
    DEVIATION,
    EPOCHS,
    EVERY_FACT,
    MOVED_AWAY,
    ON_TRAINED_PROMPT,
    UNKNOWN,
    WITHIN_RELATION,
    Measure,
    Population,
    bucket_of,
    by_buckets,
    distances_of,
    edges_of,
    learned_by,
    quantile_buckets,
    relations_of,
)
from bench.report.statistics.intervals import FEWEST_ITEMS, Estimate, Floats
from bench.report.tables.columns import Column, cost_columns, quality_columns
from bench.report.tables.limits import SECTIONS_DRAWN, drawn_remark, to_draw

REPLACED = frozenset(
    {"paths", "pareto", "costs", "learning-curves", "dose-by-distance", "deviation"}
)
"""Kinds of plots that a section's pictures show; the page does not embed them beside these."""

Numbers = list[float | None]
"""A value and the ends of its interval, None where it has none."""


class PictureAxis(TypedDict):
    """A column as an axis: `better` is 1 if more is better, -1 if less is, 0 if neither."""

    key: str
    title: str
    better: int


class PictureRow(TypedDict):
    """A method.

    Attributes:
        look: Its place among all methods of the page, which decides its colour.
        cells: The ids of its cells, by seed.
        values: What it has on each axis; None where nothing.
        texts: The same as tables show it.
        series: Its values over epochs, by measure.
    """

    label: str
    look: int
    seeds: list[int]
    cells: list[str]
    values: list[Numbers | None]
    texts: list[str]
    series: dict[str, PathSeries]


class PictureBuckets(TypedDict):
    """A population in buckets of distance.

    Attributes:
        title: Names it.
        near: Whether its distances are those by which facts are found on the page.
        means: The mean distance of each bucket's facts.
        ranges: For people.
        values: `[measures][rows][buckets]`.
    """

    title: str
    near: bool
    means: list[float]
    ranges: list[str]
    values: list[list[list[Numbers | None]]]


class PictureSection(TypedDict):
    """What a section's pictures show.

    Attributes:
        number: Its place on the page, from 1.
        items: What is asked: facts, problems or questions.
        remark: Which of its methods are shown; empty for all.
        x, y: The keys of the axes that are shown first.
        epochs: The most that any method was trained.
        byDistance: What is averaged over buckets of distance.
    """

    number: int
    title: str
    items: str
    remark: str
    axes: list[PictureAxis]
    x: str
    y: str
    rows: list[PictureRow]
    measures: list[PathMeasure]
    epochs: int
    byDistance: list[str]
    populations: list[PictureBuckets]


def pictures_of(board: Leaderboard, drawn: Sequence[str] = ()) -> list[PictureSection]:
    """Return what pictures show: of all sections, or of those that are drawn where many are.

    Args:
        board: What the page shows.
        drawn: The titles of the sections that plots were drawn of.
    """
    looks = {label: place for place, label in enumerate(sorted({r.label for r in board.rows}))}
    every = len(board.sections) <= SECTIONS_DRAWN
    return [
        _section(number, section, looks)
        for number, section in enumerate(board.sections, 1)
        if section.done and (every or section.title in drawn)
    ]


def _section(number: int, whole: Section, looks: dict[str, int]) -> PictureSection:
    section = to_draw(whole)
    columns = [*quality_columns(section), *cost_columns(section)]
    columns = [column for column in columns if _is_drawable(column, section)]
    x, y = _first_axes(columns)
    rows = [_row(row, columns, looks[row.label], section) for row in section.done]
    return PictureSection(
        number=number,
        title=safe_text(section.title),
        items=section.worded("facts"),
        remark=drawn_remark(whole),
        axes=[
            PictureAxis(
                key=column.header,
                title=safe_text(column.axis),
                better={"↑": 1, "↓": -1}.get(column.better, 0),
            )
            for column in columns
        ],
        x=x,
        y=y,
        rows=rows,
        measures=path_measures(section, [row["series"] for row in rows]),
        epochs=max(row.spec.epochs for row in section.done),
        byDistance=[section.worded(measure.label) for measure in _measures(section)],
        populations=_populations(section),
    )


def _is_drawable(column: Column, section: Section) -> bool:
    numbers = [column.show(row).number for row in section.done]
    return any(number is not None and math.isfinite(number) for number in numbers)


def _first_axes(columns: Sequence[Column]) -> tuple[str, str]:
    """Return what is shown first: what was lost at equal learning, and what was learned early."""
    more = [c.header for c in columns if c.better == "↑"]
    less = [c.header for c in columns if c.better == "↓"]
    lost = [name for name in less if name.startswith(("drift", "forgets"))]
    learned = [name for name in more if name.startswith("learned after")]
    x = next(iter([*lost[::-1], *less, *more]), "")
    y = next(iter([*learned, *more, *less]), "")
    return x, y


def _row(row: Row, columns: Sequence[Column], look: int, section: Section) -> PictureRow:
    shown = [column.show(row) for column in columns]
    return PictureRow(
        label=safe_text(row.label),
        look=look,
        seeds=list(row.seeds),
        cells=[cell.record.cell_id for cell in row.cells],
        values=[
            numbers(s.estimate, c.unit.scale)
            if s.estimate
            else ([rounded(s.number * c.unit.scale), None, None] if s.number is not None else None)
            for s, c in zip(shown, columns, strict=True)
        ],
        texts=[one.text for one in shown],
        series=row_series(row, section),
    )


def _measures(section: Section) -> list[Measure]:
    half = [learned_by(section.half_dose)] if section.half_dose is not None else []
    return [EPOCHS, *half, ACCURACY, MOVED_AWAY, DEVIATION]


def _populations(section: Section) -> list[PictureBuckets]:
    if not section.facts:
        return []
    first = section.done[0]
    wanted = [EVERY_FACT, UNKNOWN]
    wanted += [WITHIN_RELATION] if relations_of(first) > 1 else []
    # Without demonstrations most bases answer nothing, and have no distance to compare with.
    prompt = len(distances_of(first, ON_TRAINED_PROMPT)) >= FEWEST_ITEMS
    wanted += [ON_TRAINED_PROMPT] if prompt else []
    return [found for population in wanted if (found := _buckets(section, population))]


def _buckets(section: Section, population: Population) -> PictureBuckets | None:
    distances = distances_of(section.done[0], population)
    buckets = quantile_buckets(distances)
    if not buckets:
        return None
    edges = edges_of(buckets)
    places = bucket_of(distances, edges)
    measures = _measures(section)
    by_row = [_in_buckets(row, edges, measures, population) for row in section.done]
    return PictureBuckets(
        title=section.worded(population.label),
        near=population in (EVERY_FACT, UNKNOWN),
        means=[rounded(float(distances[places == n].mean())) or 0.0 for n in range(len(buckets))],
        ranges=[f"{bucket.range}, n = {bucket.n}" for bucket in buckets],
        values=[list(of_measure) for of_measure in zip(*by_row, strict=True)],
    )


def _in_buckets(
    row: Row, edges: Floats, measures: Sequence[Measure], population: Population
) -> list[list[Numbers | None]]:
    """Return a row's values, `[measures][buckets]`; None for fewer than five facts."""
    found = by_buckets(row, edges, measures, population)
    return [
        [numbers(one, m.scale) if one and one.is_of_enough else None for one in of_measure]
        for m, of_measure in zip(measures, found, strict=True)
    ]


def numbers(found: Estimate | None, scale: float = 1.0) -> Numbers | None:
    """Return an estimate as the page holds it, in the unit that is shown."""
    if found is None or not math.isfinite(found.value):
        return None
    ends = (found.interval.low, found.interval.high) if found.interval else (None, None)
    low, high = (None if end is None else rounded(end * scale) for end in ends)
    return [rounded(found.value * scale), low, high]


def rounded(value: float) -> float | None:
    """Return four significant digits, which pictures can show; None for what is not a number."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
