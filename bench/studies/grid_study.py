"""Studies that run a grid: its cells as one section of a leaderboard, and as a table."""

from __future__ import annotations

import pandas as pd

from bench.config.options import RunOptions
from bench.evaluation.metrics import metric_table
from bench.execution.run import run_grid
from bench.progress.base import Progress
from bench.report.leaderboard.board import DRIFT, Leaderboard, Row, Section
from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.read_cells import load_cells
from bench.report.tables import remarks
from bench.report.tables.columns import forgetting_header
from bench.report.tables.csv import leaderboard_frame
from bench.store.records import PhaseName
from bench.store.store import ResultsStore
from bench.studies.options import GridStudyOptions
from bench.studies.study_report import Form, StudyColumn
from methods.recipe import parse_recipe, part_name
from tasks.errors import UsageError


def run_cells(options: RunOptions, progress: Progress) -> Section:
    """Run the missing cells of a grid with one model and one task, and aggregate that grid.

    Raises:
        KeyboardInterrupt: Ctrl-C; says how many cells are finished. The next call resumes.
        UsageError: Before any cell: wrong names, unreadable facts or an unwritable folder. After
            the run: cells that were lost.
    """
    outcome = run_grid(options, progress)
    if outcome.interrupted:
        finished = outcome.ran + outcome.reused
        cells = "cell" if finished == 1 else "cells"
        raise KeyboardInterrupt(f"{finished} finished {cells} ({outcome.ran} in this run)")
    if outcome.lost:
        raise UsageError(outcome.loss)
    store = ResultsStore(options.out)
    [section] = build_leaderboard(load_cells(store, outcome.records)).sections
    return section


LEARNED_HALF = "learned_half_unknown"
"""The share of facts learned at half of the epochs, where methods still differ."""

_ALWAYS = ("epochs_to_learn_unknown", LEARNED_HALF, "robustness.few_shot")
"""Shown by every grid study: at the end of training, nearly all facts are learned by any method."""

_HEADINGS = {LEARNED_HALF: "learned at half of the epochs, unknown facts (%)"}
"""Of metrics that stand in no table of a leaderboard."""


def metrics_frame(section: Section) -> pd.DataFrame:
    """Return the section's lines of `leaderboard.csv`, indexed by method.

    A section of one grid has each method once, so the index is unique. `<metric>_items` is added
    for the metrics that grid studies show: over how many facts they are, with the seed that has
    fewest.
    """
    frame = leaderboard_frame(Leaderboard((section,))).set_index("method")
    for name in _shown_metrics(section):
        frame[items_of(name)] = [_fewest(row, name) for row in section.rows]
    return frame


def items_of(metric: str) -> str:
    """Return the column that says over how many facts a metric is."""
    return f"{metric}_items"


def _fewest(row: Row, name: str) -> int:
    metric = metric_table()[name]
    return min((len(cell.facts.per_fact(metric)) for cell in row.cells), default=0)


def _shown_metrics(section: Section) -> list[str]:
    """Return the names of the metrics that grid studies show, in the order of the tables."""
    always = ("reliability", *_ALWAYS)
    return [
        name
        for name, metric in metric_table().items()
        if name in always or (metric.studies and any(row.metrics[name] for row in section.rows))
    ]


def quality_columns(section: Section) -> tuple[StudyColumn, ...]:
    """Return the columns that every grid study shows: what was learned and what was forgotten."""
    table = metric_table()
    shown = [
        StudyColumn(
            name,
            f"{_HEADINGS.get(name, table[name].heading)} {table[name].arrow}",
            Form.PERCENT if table[name].is_share else Form.MEAN,
            items=items_of(name),
        )
        for name in _shown_metrics(section)
    ]
    lost = [
        StudyColumn(
            DRIFT if task == DRIFT else f"forgetting.{task}",
            f"{forgetting_header(task)} ↓",
            Form.NATS if task == DRIFT else Form.POINTS,
        )
        for task in section.forgetting_tasks
    ]
    return (*shown, *lost)


COMPUTE = StudyColumn("flops", "training compute ↓", Form.OPERATIONS)


def time_column(phase: PhaseName) -> StudyColumn:
    """Return the column of a phase's time, measured as if caches had been empty."""
    return StudyColumn(f"seconds.{phase.value}", f"{phase.value} time ↓", Form.SECONDS)


def table_names(leading: tuple[str, ...], shown: tuple[StudyColumn, ...]) -> list[str]:
    """Return the columns of a study's table: `leading`, the shown metrics and their intervals."""
    bounded = (Form.PERCENT, Form.POINTS, Form.NATS, Form.MEAN)
    names = [
        name
        for column in shown
        for name in (
            column.name,
            *((f"{column.name}_low", f"{column.name}_high") if column.form in bounded else ()),
            *((column.items,) if column.items else ()),
        )
    ]
    return [*leading, *names, "parameters", "learning_rate", "seeds", "facts", "interval"]


def about_cells(options: GridStudyOptions, section: Section) -> tuple[str, ...]:
    """Describe the cells: model, facts, seeds, training, how to read intervals, warnings."""
    specs = [row.spec for row in section.rows]
    adapters = [part_name(parse_recipe(spec.method).adapter) for spec in specs]
    rates = sorted({f"{a} {s.learning_rate:g}" for a, s in zip(adapters, specs, strict=True)})
    lines = [
        f"{section.model} on {section.task}: n = {section.facts} facts, "
        f"{'seed' if len(options.seeds) == 1 else 'seeds'} {', '.join(map(str, options.seeds))}; "
        f"epochs {specs[0].epochs}, batch size {specs[0].batch_size}, "
        f"learning rate {', '.join(rates)}.",
        remarks.base_scores(section),
        "↑: more is better; ↓: less is better. '-' means that there was nothing to measure, or "
        "nothing that the base could forget.",
        remarks.interval_remark(section),
        *(f"Warning: {line}" for line in remarks.warnings(section)),
    ]
    return tuple(line for line in lines if line)
