"""`leaderboard.html`: one file that needs nothing else, for any screen."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.redaction import safe_text
from bench.report.html.answer_changes import EXAMPLE_COLUMNS, answer_changes
from bench.report.html.assets import page_assets
from bench.report.html.explorer import explorer_of
from bench.report.html.pictures import REPLACED, pictures_of
from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.leaderboard.recipe_notes import removals
from bench.report.leaderboard.study_links import Study
from bench.report.tables import remarks
from bench.report.tables.by_relation import by_relation_heading, by_relation_table
from bench.report.tables.columns import Column, Shown, cost_columns, quality_columns
from bench.report.tables.limits import (
    PAGE_ROWS,
    drawn_remark,
    example_rows,
    hidden_remark,
)
from bench.report.tables.overall import overall_table
from bench.report.tables.published import published_table
from bench.report.tables.suite_results import HEADING as SUITE
from bench.report.tables.suite_results import suite_table
from bench.report.tables.tuning import tuning_table
from bench.report.tables.why import HEADING as WHY
from bench.report.tables.why import why_table

if TYPE_CHECKING:
    from bench.report.plots import Plot


@dataclass(frozen=True)
class Bar:
    """An interval on a scale, in percent of the scale's length."""

    left: float
    width: float
    at: float


def leaderboard_html(
    board: Leaderboard,
    plots: Sequence[Plot],
    studies: Sequence[Study] = (),
    lacking: str = "",
    ready: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page; every text that a model, a file or a person gave is escaped.

    Args:
        board: What is shown.
        plots: The plots of single sections, and those across sections.
        studies: Linked below the sections.
        lacking: A sentence on plots that were left out; empty if none were.
        ready: Sections that `section_html` has rendered already, without plots, by title.
    """
    examples = example_rows(len(board.sections))
    pictures = pictures_of(board, [plot.section.title for plot in plots if plot.section])
    sections = [
        ready.get(section.title)
        or section_html(section, number, examples, [p for p in plots if p.section is section])
        for number, section in enumerate(board.sections, 1)
    ]
    template = _environment().get_template("leaderboard.html")
    return template.render(
        titles=[section.title for section in board.sections],
        sections=map(Markup, sections),
        lacking=lacking,
        across_tables=[
            ("Across all tasks and models", overall_table(board)),
            (SUITE, suite_table(board)),
        ],
        explorer=explorer_of(board),
        pictures=pictures,
        assets=page_assets(with_pictures=bool(pictures)),
        across=[plot for plot in plots if plot.section is None],
        studies=studies,
        problems=remarks.problems(board),
        reading=remarks.reading(board.sections),
    )


def section_html(section: Section, number: int, examples: int, plots: Sequence[Plot] = ()) -> str:
    """Return a section's part of the page.

    Args:
        section: What is shown.
        number: Its place on the page, from 1.
        examples: How many of its rows show example answers.
        plots: The section's plots.

    Raises:
        DamagedRowsError: The texts of its facts cannot be read.
    """
    template = _environment().get_template("page_section.html")
    return template.render(
        section=section,
        number=number,
        tables=[
            ("Learned, carried over and forgotten", quality_columns(section), True),
            ("Cost", cost_columns(section), False),
        ],
        rows=section.rows[:PAGE_ROWS],
        hidden=hidden_remark(section, PAGE_ROWS),
        plots=[plot for plot in plots if plot.kind.name not in REPLACED],
        drawn=drawn_remark(section) if plots else "",
        texts=[
            ("Published values", published_table(section)),
            (by_relation_heading(section), by_relation_table(section)),
            (WHY, why_table(section)),
            ("Tuning", tuning_table(section)),
        ],
        removals=removals(section),
        examples=examples,
        remarks=remarks,
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = page_templates()
    environment.filters["source"] = _source
    environment.filters["bar"] = interval_bar
    environment.filters["changes"] = lambda cell: answer_changes(
        cell.facts.some(EXAMPLE_COLUMNS), cell.record.spec.train_prompt.asked
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


def page_templates() -> Environment:
    """Return the templates of pages, which escape every text."""
    environment = Environment(
        loader=PackageLoader("bench.report", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = safe_text
    return environment


def interval_bar(shown: Shown, column: Column) -> Bar | None:
    """Return where a cell's interval lies on its column's scale; None where it has neither."""
    if column.scale is None or shown.estimate is None or shown.estimate.interval is None:
        return None
    low, high = column.scale
    share = 100 / (high - low)
    interval = shown.estimate.interval
    return Bar(
        left=share * (interval.low - low),
        width=share * (interval.high - interval.low),
        at=share * (shown.estimate.value - low),
    )


def _source(image: bytes) -> str:
    """Return a picture as the address of an image within the page."""
    kind = "png" if image.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
