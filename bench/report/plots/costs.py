"""What a method costs against what it learned: parameters, operations, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bench.report.leaderboard.board import Row, Section
from bench.report.plots._kinds import plot
from bench.report.plots._labels import Named, label_points
from bench.report.plots._style import Styles, error, new_figure
from bench.report.tables import format as wording
from bench.report.tables.format import printable
from bench.store.records import PhaseName

_NOTE = "Bars: 95 % intervals. Times: as if nothing had been cached, on the machine of the run"
_DECADE = 10
_TICKS = 4


@dataclass(frozen=True, slots=True)
class CostAxis:
    """One panel: what it shows, and how its numbers are written."""

    label: str
    value: Callable[[Row], float | None]
    write: Callable[[float | None], str]


def _seconds(*phases: PhaseName) -> Callable[[Row], float | None]:
    def total(row: Row) -> float | None:
        found = [row.phases[phase].seconds for phase in phases if phase in row.phases]
        return sum(found) if len(found) == len(phases) else None

    return total


COSTS = (
    CostAxis("trainable parameters", lambda row: row.first("parameters"), wording.count),
    CostAxis("training compute", lambda row: row.first("flops"), wording.operations),
    CostAxis("training time", _seconds(PhaseName.TRAIN), wording.duration),
    CostAxis(
        "preparation and training time",
        _seconds(PhaseName.PREPARE, PhaseName.TRAIN),
        wording.duration,
    ),
)


@plot("costs", "What each method cost against what it learned; up and left is better.", order=30)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw a panel per cost that was recorded; None where none was."""
    rows = [row for row in section.done if row.metrics["reliability"] is not None]
    recorded = [cost for cost in COSTS if any(cost.value(row) for row in rows)]
    if not recorded:
        return None
    columns = min(2, len(recorded))
    high = -(-len(recorded) // columns)
    figure = new_figure(columns, section, "Cost against what was learned", _NOTE, rows=high)
    grid = figure.subplots(high, columns, squeeze=False, sharey=True)
    panels = list(zip(grid.ravel(), recorded, strict=False))
    for axes in grid.ravel()[len(recorded) :]:
        axes.remove()
    for axes, cost in panels:
        _panel(axes, cost, rows, styles)
    for axes in grid[:, 0]:
        axes.set_ylabel("reliability, % of facts (more is better)")
    label_points(
        [(axes, [_named(cost, row, styles) for row in _with(cost, rows)]) for axes, cost in panels]
    )
    return figure


def _with(cost: CostAxis, rows: list[Row]) -> list[Row]:
    return [row for row in rows if cost.value(row)]


def _panel(axes: Axes, cost: CostAxis, rows: list[Row], styles: Styles) -> None:
    shown = _with(cost, rows)
    for row in shown:
        _mark(axes, row, cost.value(row) or 0.0, styles)
    values = [cost.value(row) or 0.0 for row in shown]
    if max(values) > _DECADE * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif max(values) < 1.02 * min(values):
        axes.set_xlim(0.8 * min(values), 1.2 * max(values))
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS))
    axes.margins(x=0.2, y=0.15)
    axes.set_xlabel(f"{cost.label} (less is better)")
    axes.xaxis.set_major_formatter(lambda value, _: cost.write(value))


def _mark(axes: Axes, row: Row, across: float, styles: Styles) -> None:
    style, learned = styles[row.label], row.metrics["reliability"]
    assert learned is not None
    below, above = error(learned.value, learned.interval)
    axes.errorbar(
        across,
        100 * learned.value,
        yerr=[[100 * below], [100 * above]],
        color=style.color,
        marker=style.marker,
        markersize=6,
        elinewidth=0.8,
        alpha=0.9,
        zorder=3,
    )


def _named(cost: CostAxis, row: Row, styles: Styles) -> Named:
    learned = row.metrics["reliability"]
    assert learned is not None
    return Named(
        x=cost.value(row) or 0.0,
        y=100 * learned.value,
        name=printable(row.label),
        color=styles[row.label].color,
    )
