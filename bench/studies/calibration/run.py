"""What CorDA should calibrate on: sources and sizes, for both of its modes, against LoRA."""

from __future__ import annotations

import pandas as pd

from bench.planning.task_data import TaskCatalog
from bench.progress.base import Progress
from bench.report.leaderboard.board import Section
from bench.report.tables import remarks
from bench.store.records import PhaseName
from bench.studies.calibration.figure import draw_calibration
from bench.studies.calibration.rows import calibrated_rows
from bench.studies.calibration.study import REFERENCE, CalibrationOptions, calibrated
from bench.studies.grid_study import (
    about_cells,
    metrics_frame,
    quality_columns,
    run_cells,
    table_names,
    time_column,
)
from bench.studies.study_report import Form, StudyColumn, StudyReport
from tasks.errors import UsageError

TRAIN = "train"
"""CorDA's name for the training facts as a calibration source."""


def run_calibration(options: CalibrationOptions, progress: Progress) -> StudyReport:
    """Train on every source and size that is missing, and answer.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished cells are kept.
        UsageError: Wrong names, or a source without facts: before any cell.
    """
    section = run_cells(options.grid(planned_recipes(options)), progress)
    return calibration_report(options, section)


def planned_recipes(options: CalibrationOptions) -> list[str]:
    """Return the recipes of the study: the reference, then CorDA by mode, source and size.

    Raises:
        UsageError: Data that cannot be had, or a source without facts to calibrate on.
    """
    sizes = {source: _sizes(options, source) for source in options.sources}
    return [
        REFERENCE,
        *(
            calibrated(mode, source, size)
            for mode in options.modes
            for source in options.sources
            for size in sizes[source]
        ),
    ]


def _sizes(options: CalibrationOptions, source: str) -> list[int]:
    """Return the sizes that a source can have: those above what it holds are all it holds."""
    grid = options.grid((REFERENCE,))
    library = TaskCatalog(grid)
    if source == TRAIN:
        facts = library.sets(options.task, divided=False).reporting.facts
    else:
        facts = library.calibration(source)
    if not facts:
        raise UsageError(f"--sources '{source}': it has no facts to calibrate on")
    return sorted({min(size, len(facts)) for size in options.samples})


def calibration_report(options: CalibrationOptions, section: Section) -> StudyReport:
    """Make the study's table and picture of its cells."""
    rows = calibrated_rows(options, section)
    shown = (*quality_columns(section), time_column(PhaseName.PREPARE))
    leading = ("mode", "source", "samples", "tokens", "low_rank", "inputs", "condition", "balance")
    metrics = metrics_frame(section)
    lines = [
        {
            "method": found.row.spec.method,
            **{name: getattr(found, name) for name in leading},
            "mode": found.mode or REFERENCE,
            "source": found.source or None,
            **metrics.loc[found.row.spec.method],
        }
        for found in rows
    ]
    return StudyReport(
        name=options.name,
        title=f"What CorDA should calibrate on: {section.title}",
        about=(*_READING, *about_cells(options, section)),
        table=pd.DataFrame(lines)[table_names(("method", *leading), shown)],
        columns=(
            StudyColumn("mode", "mode"),
            StudyColumn("source", "calibrated on"),
            StudyColumn("samples", "facts", Form.COUNT, key=True),
            StudyColumn("tokens", "tokens", Form.COUNT),
            StudyColumn("low_rank", "inputs of low rank", Form.COUNT),
            StudyColumn("condition", "largest condition", Form.NUMBER),
            StudyColumn("balance", "A/B balance", Form.NUMBER),
            *shown,
        ),
        figure=draw_calibration(section, rows),
        command=options.command,
        failures=tuple(remarks.failures(section)),
    )


_READING = (
    f"The first row is {REFERENCE}, which calibrates on nothing. kpm trains the smallest "
    "directions of W C, ipm the largest; C is the covariance of a layer's inputs over the "
    "calibration facts. A source is 'train' (the training facts) or a task's calibration part, "
    "of which nothing is trained or asked.",
    "Inputs of low rank: layer inputs with fewer calibration tokens than dimensions. Largest "
    "condition: of W C over the targets, where its smallest directions are trained; above 1e7 "
    "float32 does not determine them. A/B balance: ||A|| / ||B|| at the start, of the target "
    "where it is farthest from 1.",
)
