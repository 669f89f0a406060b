"""What a method costs against what it learned: parameters, operations, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bench.report.leaderboard.board import Row, Section
from bench.report.plots._kinds import plot
from bench.report.plots._labels import Named, label_points, mark_method
from bench.report.plots._learned import learned, learned_label, learned_title
from bench.report.plots._style import Styles, new_figure
from bench.report.tables import format as wording
from bench.store.records import PhaseName

_NOTE = "Bars: 95% intervals. Times: with empty caches, on the machine that ran the cells"
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


@plot(
    "costs",
    "What each method cost versus what it learned at the half dose; up and left is better.",
    order=30,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw a panel per cost that was recorded; None where none was."""
    rows = [row for row in section.done if learned(section, row) is not None]
    recorded = [cost for cost in COSTS if any(cost.value(row) for row in rows)]
    if not recorded:
        return None
    columns = min(2, len(recorded))
    high = -(-len(recorded) // columns)
    figure = new_figure(columns, section, f"Cost versus {learned_title(section)}", _NOTE, rows=high)
    grid = figure.subplots(high, columns, squeeze=False, sharey=True)
    for axes in grid.ravel()[len(recorded) :]:
        axes.remove()
    panels = zip(grid.ravel(), recorded, strict=False)
    named = [(axes, _panel(axes, cost, section, rows, styles)) for axes, cost in panels]
    for axes in grid[:, 0]:
        axes.set_ylabel(learned_label(section))
    label_points(named)
    return figure


def _panel(
    axes: Axes, cost: CostAxis, section: Section, rows: list[Row], styles: Styles
) -> list[Named]:
    shown = [(row, value) for row in rows if (value := cost.value(row))]
    named = [
        mark_method(axes, row.label, styles, value, found)
        for row, value in shown
        if (found := learned(section, row))
    ]
    values = [value for _, value in shown]
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
    return named
