"""Which layers to train: swept cuts and windows, compared with the cut that `freeze` picks.

A cut k freezes layers 1..k and trains the layers above, as `freeze` does. A window trains a fixed
number of neighbouring layers anywhere. The sweep is that of arXiv 2406.04496.
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
from bench.studies.placement.study import Equal, PlacementOptions
from bench.studies.study_report import Form, StudyColumn, StudyReport
from methods.layer_deviation import Gain
from methods.recipe import parse_recipe
from methods.targets import Modules
from tasks.errors import UsageError

SWEEP_STEPS = 6
"""By default a cut is placed after every sixth of the layers."""

LAST_SHARE = 15
"""The last default cut trains one in this many layers."""

WINDOWS, WINDOW_SHARE = 5, 3
"""The number of windows, and the share of the layers in each: one in this many."""


def run_placement(options: PlacementOptions, progress: Progress) -> StudyReport:
    """Train the missing placements and return the report.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished cells are stored.
        UsageError: Before any cell: wrong names, or a cut above the model's layers.
    """
    layers = layer_count(resolve_model(options.model), progress.note)
    section = run_cells(options.grid(planned_recipes(options, layers)), progress)
    return placement_report(options, layers, section)


def planned_recipes(options: PlacementOptions, layers: int) -> list[str]:
    """Return the study's recipes: swept cuts, windows, `freeze` with each gain, a random cut.

    With as many parameters in each they have ranks of their own, and are joined by one layer at a
    depth, the layers that occlusion chooses, and the kinds of modules in all layers.

    Raises:
        UsageError: A cut leaves no layer to train, or the model has one layer.
    """
    if layers < 2:
        raise UsageError(
            f"'{options.model}' has {layers} layer and no cut to choose; give a deeper --model"
        )
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
    if options.equal is Equal.RANK:
        return [f"{options.method}+{placement}".rstrip("+") for placement in placements]
    recipe = parse_recipe(options.method)
    spread = recipe.with_parameters({"spread": "true"})
    placed = [
        f"{spread.name}+{placement}" if placement else recipe.name
        for placement in (*placements, "depth", "occlusion")
    ]
    some = (kind for kind in Modules if kind is not Modules.ALL)
    return [*placed, *(spread.with_parameters({"modules": kind.value}).name for kind in some)]


def default_cuts(layers: int) -> tuple[int, ...]:
    """Return cuts spread over all depths, from 0 (all layers) to a few trained layers."""
    spread = {step * layers // SWEEP_STEPS for step in range(SWEEP_STEPS)}
    return tuple(sorted(spread | {layers - max(1, layers // LAST_SHARE)}))


def windows(layers: int) -> list[tuple[int, int]]:
    """Return the first and last layer of equally deep windows, from bottom to top."""
    depth = max(1, layers // WINDOW_SHARE)
    starts = {1 + round(step * (layers - depth) / (WINDOWS - 1)) for step in range(WINDOWS)}
    return [(first, first + depth - 1) for first in sorted(starts)]


def placement_report(options: PlacementOptions, layers: int, section: Section) -> StudyReport:
    """Make the study's table and picture.

    Args:
        options: The study's options.
        layers: How many decoder layers the model has.
        section: The study's cells.
    """
    rows, equal = placed_rows(section), options.equal is Equal.PARAMETERS
    shown = (*quality_columns(section), COMPUTE, time_column(PhaseName.TRAIN))
    names = table_names(("method", "kind", "layers", "trained", "cut", "cut_stability"), shown)
    metrics = metrics_frame(section)
    lines = [
        {
            "method": placed.row.spec.method,
            "kind": placed.kind.value,
            "layers": placed.layers,
            "trained": placed.trained,
            "cut": placed.cut,
            "cut_stability": placed.stability,
            **metrics.loc[placed.row.spec.method],
        }
        for placed in rows
    ]
    return StudyReport(
        name=options.name,
        title=f"Which of the {layers} layers to train: {options.method}, {section.title}",
        about=(*_reading(options, rows), *about_cells(options, section)),
        table=pd.DataFrame(lines)[names],
        columns=(
            StudyColumn("method", "method"),
            StudyColumn("layers", "layers trained"),
            StudyColumn("cut_stability", "cut stability (%)", Form.PERCENT),
            *((StudyColumn("parameters", "parameters", Form.COUNT),) if equal else ()),
            *shown,
        ),
        figure=draw_placement(section, rows, layers, options.method),
        command=options.command,
        failures=tuple(remarks.failures(section)),
    )


def _reading(options: PlacementOptions, rows: list[Placed]) -> list[str]:
    found = [placed for placed in rows if placed.kind is Kind.FREEZE and placed.cut is not None]
    picked = ", ".join(f"{placed.gain} {placed.cut}" for placed in found)
    lines = [
        f"A cut k freezes layers 1..k and the embeddings; {options.method} trains the layers "
        "above. A window trains only its own layers.",
        "Most placements learn every fact in the end: epochs to learn and the share learned at "
        "half of the epochs tell them apart, both of the facts that the base did not answer. "
        "Robustness asks in a context that training did not see: it tells what is carried over.",
    ]
    if options.equal is Equal.PARAMETERS:
        lines.append(
            "Every placement trains about as many parameters: where fewer modules are trained, the "
            "rank is higher, up to the smaller side of each weight. Depth, occlusion and kinds of "
            "modules are in the table alone."
        )
    if picked:
        lines.append(
            f"freeze cuts at layer (by gain): {picked}. Cut stability is the share of bootstrap "
            "draws over facts that cut at the same layer."
        )
    return lines
