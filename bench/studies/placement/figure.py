"""The picture of the placement study: what cuts and windows learn, forget and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.plots._style import (
    MethodStyle,
    PanelSize,
    error,
    new_figure,
    settings,
    style_of,
)
from bench.report.statistics.intervals import Estimate
from bench.store.records import CellRecord, PhaseName
from bench.studies.grid_study import LEARNED_HALF
from bench.studies.placement.rows import Kind, Placed

_PANEL = PanelSize(3.6, 3.4)
_EPOCHS = "epochs_to_learn_unknown"
_SHARES = {
    LEARNED_HALF: "learned at half of the epochs, unknown facts",
    "reliability": "learned at the end, all facts",
    "robustness.few_shot": "answered with demonstrations, all facts",
}
_STYLES = dict(zip(_SHARES, (style_of(1), style_of(0), style_of(4)), strict=True))
_DOSE, _DRIFT, _COST = style_of(2), style_of(3), style_of(6)
_SIDE = {name: (place - 1) * 0.15 for place, name in enumerate(_SHARES)}
"""By how many layers marks are shifted, so that their bars do not overlap."""

_CUT_AXIS = "cut k: layers 1..k frozen"
_WINDOW_AXIS = "layers trained"


class Value(NamedTuple):
    """What a panel shows.

    Attributes:
        of_row: Over the seeds of a row.
        of_cell: Of one cell, for rows whose seeds were placed differently.
    """

    of_row: Callable[[Row], Estimate | None]
    of_cell: Callable[[CellRecord], float | None]


def draw_placement(section: Section, rows: Sequence[Placed], layers: int, method: str) -> Figure:
    """Draw cuts above and windows below: the dose, what was learned, drift, and what it costs.

    Args:
        section: The section of all rows.
        rows: The rows with the layers that each trained.
        layers: How many decoder layers the model has.
        method: The recipe that was placed.
    """
    note = (
        "Bars: 95% confidence intervals. Grey lines: the cuts that freeze picks, by gain; hollow "
        "marks: what it learns there; crosses: random cuts. A window trains only its own layers"
    )
    with settings():
        heading = f"Which layers to train: {method}"
        figure = new_figure(4, section, heading, note, rows=2, panel=_PANEL)
        grid = figure.subplots(2, 4, sharex=True)
        for axes, windows in ((grid[0], False), (grid[1], True)):
            _dose_panel(axes[0], rows, windows=windows)
            _shares_panel(axes[1], rows, windows=windows)
            _drift_panel(axes[2], rows, windows=windows)
        _cost_panel(grid[0][3], rows, "training compute (TFLOP)", _teraflops)
        _cost_panel(grid[1][3], rows, "training time (seconds)", _seconds)
        for axes in grid.flat:
            axes.set_xlim(-0.5, layers + 0.5)
            axes.set_ylim(bottom=0)
        for axes in grid[0]:
            _freeze_lines(axes, rows)
            axes.tick_params(labelbottom=True)
        _legend(figure, (grid[0][1], grid[0][3]))
    return figure


def _dose_panel(axes: Axes, rows: Sequence[Placed], *, windows: bool) -> None:
    _series(axes, rows, _metric(_EPOCHS), _DOSE, windows=windows)
    axes.set_title("epochs to learn, unknown facts", loc="left")
    axes.set_ylabel("epochs, less is better")


def _shares_panel(axes: Axes, rows: Sequence[Placed], *, windows: bool) -> None:
    for name, label in _SHARES.items():
        style, side = _STYLES[name], _SIDE[name]
        _series(
            axes, rows, _metric(name), style, windows=windows, scale=100, side=side, label=label
        )
    axes.set_title("learned and carried over", loc="left")
    axes.set_ylabel("% of facts, more is better")


def _drift_panel(axes: Axes, rows: Sequence[Placed], *, windows: bool) -> None:
    _series(axes, rows, Value(_drift_of_row, _drift_of_cell), _DRIFT, windows=windows)
    axes.set_title("drift from the base", loc="left")
    axes.set_ylabel("mean KL (nats per token), less is better")


def _metric(name: str) -> Value:
    return Value(lambda row: row.metrics[name], lambda record: getattr(record.metrics, name, None))


def _drift_of_row(row: Row) -> Estimate | None:
    found = row.forgetting.get(DRIFT)
    return found.lost if found else None


def _drift_of_cell(record: CellRecord) -> float | None:
    return next((found.forgetting for found in record.forgetting if found.task == DRIFT), None)


def _series(
    axes: Axes,
    rows: Sequence[Placed],
    value: Value,
    style: MethodStyle,
    *,
    windows: bool,
    scale: float = 1.0,
    side: float = 0.0,
    label: str = "",
) -> None:
    """Draw one value of the windows, or of the cuts, of freeze and of random cuts.

    Args:
        axes: The panel.
        rows: All rows.
        value: What is drawn of a row.
        style: Its look.
        windows: Whether windows are drawn, else cuts.
        scale: What values are multiplied by.
        side: By how many layers marks are shifted.
        label: The series in the legend.
    """
    axes.set_xlabel(_WINDOW_AXIS if windows else _CUT_AXIS)
    if windows:
        for placed in _windows(rows):
            [(first, last)] = placed.ranges
            estimate = value.of_row(placed.row)
            _bars(axes, [((first + last) / 2 + side, estimate)], style, scale)
            if estimate is not None:
                height = [scale * estimate.value] * 2
                axes.plot([first - 0.4, last + 0.4], height, color=style.color, alpha=0.5)
        return
    for kind in (Kind.CUT, Kind.FREEZE):
        points = [((p.cut or 0) + side, value.of_row(p.row)) for p in _at_cuts(rows, kind)]
        _bars(axes, points, style, scale, kind=kind, label=label if kind is Kind.CUT else "")
    # Each seed draws a cut of its own, so that a mean over them has no place on the axis.
    cells = [cell.record for p in rows if p.kind is Kind.RANDOM for cell in p.row.cells]
    drawn = [(record.notes["layers"][0] + side, value.of_cell(record)) for record in cells]
    crosses = [(x, None if found is None else Estimate(found)) for x, found in drawn]
    _bars(axes, crosses, style, scale, kind=Kind.RANDOM)


def _bars(
    axes: Axes,
    points: Sequence[tuple[float, Estimate | None]],
    style: MethodStyle,
    scale: float,
    *,
    kind: Kind = Kind.CUT,
    label: str = "",
) -> None:
    """Draw values with their intervals: joined, or as hollow marks, or as crosses."""
    found = [(x, estimate) for x, estimate in points if estimate is not None]
    if not found:
        return
    bars = [error(estimate.value, estimate.interval) for _, estimate in found]
    axes.errorbar(
        [x for x, _ in found],
        [scale * estimate.value for _, estimate in found],
        yerr=[[scale * low for low, _ in bars], [scale * high for _, high in bars]],
        color=style.color,
        marker="x" if kind is Kind.RANDOM else style.marker,
        markersize=5,
        markerfacecolor="white" if kind is Kind.FREEZE else style.color,
        linestyle=style.dashes if kind is Kind.CUT else "none",
        elinewidth=0.8,
        label=label,
    )


def _legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """Add one legend below all panels, with every series once."""
    named = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(), named.keys(), loc="outside lower left", ncols=3, frameon=False, fontsize=8
    )


def _windows(rows: Sequence[Placed]) -> list[Placed]:
    """Return the windows, and the cut whose top layers are as many: it is a window too."""
    found = [p for p in rows if p.kind is Kind.WINDOW and len(p.ranges) == 1]
    depths = {placed.trained for placed in found}
    return found + [p for p in _at_cuts(rows, Kind.CUT) if p.trained in depths]


def _cost_panel(
    axes: Axes, rows: Sequence[Placed], unit: str, cost: Callable[[Row], float | None]
) -> None:
    windows = [placed for placed in rows if placed.kind is Kind.WINDOW and placed.ranges]
    for chosen, style, label in (
        (_at_cuts(rows, Kind.CUT), _COST, "cost of a cut"),
        (windows, _DOSE, "cost of a window"),
    ):
        found = [(p.ranges[0][0] - 1, value) for p in chosen if (value := cost(p.row)) is not None]
        axes.plot(
            [x for x, _ in found],
            [value for _, value in found],
            color=style.color,
            marker=style.marker,
            markersize=5,
            linestyle=style.dashes if style is _COST else "none",
            label=label,
        )
    axes.set_title(unit.partition(" (")[0], loc="left")
    axes.set_xlabel("frozen layers below the trained ones")
    axes.set_ylabel(f"{unit}, less is better")


def _freeze_lines(axes: Axes, rows: Sequence[Placed]) -> None:
    gains: dict[int, list[str]] = {}
    for placed in _at_cuts(rows, Kind.FREEZE):
        gains.setdefault(placed.cut or 0, []).append(placed.gain)
    for cut, names in gains.items():
        axes.axvline(cut, color="0.45", linewidth=1.2, linestyle=":", zorder=0)
        axes.annotate(
            f"freeze {cut}: {', '.join(names)}",
            (cut, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 3),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=7,
            color="0.35",
        )


def _at_cuts(rows: Sequence[Placed], kind: Kind) -> list[Placed]:
    """Return the rows of a kind whose cells agree on the cut."""
    return [placed for placed in rows if placed.kind is kind and placed.cut is not None]


def _teraflops(row: Row) -> float | None:
    flops = row.first("flops")
    return None if flops is None else flops / 1e12


def _seconds(row: Row) -> float | None:
    cost = row.phases.get(PhaseName.TRAIN)
    return cost.seconds if cost else None
