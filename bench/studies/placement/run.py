"""Which layers to train: a cut swept over the layers and windows, against what `freeze` picks.

A cut k freezes layers 1..k and trains those above, as `freeze` does; a window trains layers of
its own depth anywhere. The sweep is that of 2406.04496.
"""

from __future__ import annotations

from typing import get_args

import pandas as pd

from bench.models.loading import layer_count
from bench.models.registry import resolve_model
from bench.progress.base import Progress
from bench.report.leaderboard.board import Section
from bench.report.tables import remarks
from bench.store.records import PhaseName
from bench.studies.grid_study import (
    COMPUTE,
    about_cells,
    metrics_frame,
    quality_columns,
    run_cells,
    table_names,
    time_column,
)
from bench.studies.placement.figure import draw_placement
from bench.studies.placement.rows import Kind, Placed, placed_rows
from bench.studies.placement.study import PlacementOptions
from bench.studies.study_report import Form, StudyColumn, StudyReport
from methods.layer_deviation import Gain
from tasks.errors import UsageError

SWEEP_STEPS = 6
"""The default sweep cuts after every sixth of the layers."""

LAST_SHARE = 15
"""The default sweep ends where one of so many layers is trained."""

WINDOWS, WINDOW_SHARE = 5, 3
"""So many windows, each of one of so many layers."""


def run_placement(options: PlacementOptions, progress: Progress) -> StudyReport:
    """Train every placement that is missing, and answer.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished cells are kept.
        UsageError: Wrong names, or a cut above the model's layers: before any cell.
    """
    layers = layer_count(resolve_model(options.model), progress.note)
    section = run_cells(options.grid(planned_recipes(options, layers)), progress)
    return placement_report(options, layers, section)


def planned_recipes(options: PlacementOptions, layers: int) -> list[str]:
    """Return the recipes of the study: the sweep, windows, `freeze` by gain, a random cut.

    Raises:
        UsageError: A cut that leaves no layer to train, or a model of one layer.
    """
    if layers < 2:
        raise UsageError(f"'{options.model}' has {layers} layer: there is no cut to choose")
    cuts = options.cuts or default_cuts(layers)
    if max(cuts) >= layers:
        raise UsageError(
            f"--cuts '{max(cuts)}': '{options.model}' has {layers} layers, so the highest cut is "
            f"{layers - 1}"
        )
    placements = [
        *(f"last[n={layers - cut}]" if cut else "" for cut in sorted(cuts)),
        *(
            f"window[first={first},last={last}]"
            for first, last in windows(layers)
            if last < layers or first - 1 not in cuts  # else the sweep has it already
        ),
        *(f"freeze[gain={gain}]" for gain in get_args(Gain)),
        "random_cut",
    ]
    return [f"{options.method}+{placement}".rstrip("+") for placement in placements]


def default_cuts(layers: int) -> tuple[int, ...]:
    """Return cuts spread over all depths, from 0 (all layers) to where few are trained."""
    spread = {step * layers // SWEEP_STEPS for step in range(SWEEP_STEPS)}
    return tuple(sorted(spread | {layers - max(1, layers // LAST_SHARE)}))


def windows(layers: int) -> list[tuple[int, int]]:
    """Return the first and last layer of windows of one depth, spread from bottom to top."""
    depth = max(1, layers // WINDOW_SHARE)
    starts = {1 + round(step * (layers - depth) / (WINDOWS - 1)) for step in range(WINDOWS)}
    return [(first, first + depth - 1) for first in sorted(starts)]


def placement_report(options: PlacementOptions, layers: int, section: Section) -> StudyReport:
    """Make the study's table and picture of its cells."""
    rows = placed_rows(section)
    shown = (*quality_columns(section), COMPUTE, time_column(PhaseName.TRAIN))
    names = table_names(("method", "kind", "layers", "trained", "cut", "cut_stability"), shown)
    metrics = metrics_frame(section)
    lines = [{**_where(placed), **metrics.loc[placed.row.spec.method]} for placed in rows]
    return StudyReport(
        name=options.name,
        title=f"Which of the {layers} layers to train: {options.method}, {section.title}",
        about=(*_reading(options, rows), *about_cells(options, section)),
        table=pd.DataFrame(lines)[names],
        columns=(
            StudyColumn("method", "method"),
            StudyColumn("layers", "layers trained"),
            StudyColumn("cut_stability", "cut stability %", Form.PERCENT),
            *shown,
        ),
        figure=draw_placement(section, rows, layers, options.method),
        command=options.command,
        failures=tuple(remarks.failures(section)),
    )


def _where(placed: Placed) -> dict[str, object]:
    return {
        "method": placed.row.spec.method,
        "kind": placed.kind.value,
        "layers": ", ".join(f"{first}-{last}" for first, last in placed.ranges) or None,
        "trained": placed.trained,
        "cut": placed.cut,
        "cut_stability": placed.stability,
    }


def _reading(options: PlacementOptions, rows: list[Placed]) -> list[str]:
    found = [placed for placed in rows if placed.kind is Kind.FREEZE and placed.cut is not None]
    picked = ", ".join(f"{placed.gain} {placed.cut}" for placed in found)
    lines = [
        f"A cut k freezes layers 1..k and the embeddings; {options.method} trains the layers "
        "above. A window trains its own layers alone.",
    ]
    if picked:
        lines.append(
            f"freeze cuts at layer (by gain): {picked}. Stability: the share of bootstrap draws "
            "over facts that cut at the same layer."
        )
    return lines
