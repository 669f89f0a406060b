"""Studies that run a grid: its cells as one section of a leaderboard, and as a table."""

from __future__ import annotations

import pandas as pd

from bench.config.options import RunOptions
from bench.evaluation.metrics import metric_table
from bench.execution.run import run_grid
from bench.progress.base import Progress
from bench.report.leaderboard.board import DRIFT, Leaderboard, Section
from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.read_cells import load_cells
from bench.report.leaderboard.standings import HEADLINES
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


def metrics_frame(section: Section) -> pd.DataFrame:
    """Return the section's lines of `leaderboard.csv`, indexed by method.

    A section of one grid has each method once, so the index is unique.
    """
    return leaderboard_frame(Leaderboard((section,))).set_index("method")


def quality_columns(section: Section) -> tuple[StudyColumn, ...]:
    """Return the columns that every grid study shows: what was learned and what was forgotten."""
    shown = [
        StudyColumn(
            name,
            f"{metric.heading} {metric.arrow}",
            Form.PERCENT if metric.is_share else Form.NATS,
        )
        for name, metric in metric_table().items()
        if metric.studies and (name in HEADLINES or any(row.metrics[name] for row in section.rows))
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
    bounded = (Form.PERCENT, Form.POINTS, Form.NATS)
    names = [
        name
        for column in shown
        for name in (
            column.name,
            *((f"{column.name}_low", f"{column.name}_high") if column.form in bounded else ()),
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
