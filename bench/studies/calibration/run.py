"""What CorDA should calibrate on: sources, sizes and samples in both modes, against LoRA."""

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
"""The calibration source that stands for the training facts."""


def run_calibration(options: CalibrationOptions, progress: Progress) -> StudyReport:
    """Train the missing cells and return the report.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished cells are stored.
        UsageError: Before any cell: wrong names, or a source without facts.
    """
    section = run_cells(options.grid(planned_recipes(options)), progress)
    return calibration_report(options, section)


def planned_recipes(options: CalibrationOptions) -> list[str]:
    """Return the study's recipes: the reference, then CorDA by mode, source, size and window.

    Raises:
        UsageError: Data cannot be loaded, or a source has no facts to calibrate on.
    """
    sizes = {source: _sizes(options, source) for source in options.sources}
    return [
        REFERENCE,
        *(
            calibrated(mode, source, size, pack)
            for mode in options.modes
            for source in options.sources
            for size in sizes[source]
            for pack in options.packs
        ),
    ]


def _sizes(options: CalibrationOptions, source: str) -> list[int]:
    """Return the sizes to calibrate on; sizes above what a source holds become all it holds."""
    grid = options.grid((REFERENCE,))
    library = TaskCatalog(grid)
    if source == TRAIN:
        facts = library.sets(options.task, divided=False).reporting.trained
    else:
        facts = library.calibration(source)
    if not facts:
        raise UsageError(f"--sources '{source}': it has no facts to calibrate on; give another")
    return sorted({min(size, len(facts)) for size in options.samples})


def calibration_report(options: CalibrationOptions, section: Section) -> StudyReport:
    """Make the study's table and picture."""
    rows = calibrated_rows(options, section)
    shown = (*quality_columns(section), time_column(PhaseName.PREPARE))
    calibrated_on = ("mode", "source", "samples", "kind", "pack", "windows", "tokens")
    leading = (*calibrated_on, "low_rank", "inputs", "condition", "balance", "balance_extreme")
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
            StudyColumn("kind", "samples are"),
            StudyColumn("windows", "samples", Form.COUNT),
            StudyColumn("tokens", "tokens", Form.COUNT),
            StudyColumn("low_rank", "low-rank inputs", Form.COUNT),
            StudyColumn("condition", "largest condition number", Form.NUMBER),
            StudyColumn("balance", "A/B balance", Form.NUMBER),
            *shown,
        ),
        figure=draw_calibration(section, rows),
        command=options.command,
        failures=tuple(remarks.failures(section)),
    )


_READING = (
    f"The first row is {REFERENCE}, which does not calibrate. kpm trains the smallest directions "
    "of W C, ipm the largest; C is the covariance of a layer's inputs over the calibration facts. "
    "A source is 'train' (the training facts) or the calibration part of a task, which is neither "
    "trained nor asked.",
    "A sample is a window of packed texts, as in CorDA's reference, or a single text: a variant, "
    "whose C is smaller because its samples are shorter. Rows that differ in this alone calibrate "
    "on the same facts.",
    "Low-rank inputs are layer inputs with fewer calibration tokens than dimensions. The largest "
    "condition number is that of W C over the target modules, where the smallest directions are "
    "trained; above 1e7, float32 does not determine them. A/B balance is ||A|| / ||B|| before "
    "training, the median over the target modules: the larger it is, the less A moves in "
    "proportion to its size, and the more B does.",
)
