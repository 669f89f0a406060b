"""Why methods forget: what was lost against measures of the change of weights, cell by cell.

A row of panels for each forgetting task, drift first; a column for each measure that is drawn.
Above each panel stands how the two go together, over methods and within them.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.evaluation.why import MEASURES, Measure
from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Section
from bench.report.leaderboard.explained import association, is_explained, lost_tasks, points
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles, new_figure, shared_legend
from bench.report.statistics.correlation import Correlation
from bench.report.tables.format import MISSING

_NOTE = (
    "Each mark is a cell; small ones are candidates of a tuning. r: correlation with its 95% "
    "interval, over methods (their means) and within methods (over seeds and rates); '-' where "
    "cells are too few or all alike"
)
_PANEL = PanelSize(3.1, 3.0)
_MOST_TASKS = 3
FEW_DECADES = 300
"""Up to this ratio of its ends a logarithmic axis is marked at 1, 2 and 5 of each decade."""


@plot(
    "why",
    "What was lost against how far, and in which directions, training moved the weights "
    "(--explain).",
    order=15,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw the panels; None where no cell was run with `--explain`."""
    tasks = lost_tasks(section)[:_MOST_TASKS]
    measures = [measure for measure in MEASURES if measure.drawn]
    explained = [row for row in section.rows if is_explained(row)]
    if not tasks or not any(points(section, one, task) for one in measures for task in tasks):
        return None
    heading = "Why it was forgotten: what was lost against the change of weights"
    figure = new_figure(len(measures), section, heading, _NOTE, len(tasks), _PANEL)
    grid = figure.subplots(len(tasks), len(measures), squeeze=False, sharex="col", sharey="row")
    for line, task in zip(grid, tasks, strict=True):
        for axes, measure in zip(line, measures, strict=True):
            _panel(axes, section, measure, task, styles)
        unit = "nats per token" if task == DRIFT else "points forgotten"
        line[0].set_ylabel(f"{safe_text(task)}: {unit}")
    for axes, measure in zip(grid[-1], measures, strict=True):
        axes.set_xlabel(measure.name)
    shared_legend(figure, [row.label for row in explained], styles)
    return figure


def _panel(axes: Axes, section: Section, measure: Measure, task: str, styles: Styles) -> None:
    found = points(section, measure, task)
    for point in found:
        style, small = styles[point.row.label], point.tried
        axes.plot(
            point.value,
            point.lost if task == DRIFT else 100 * point.lost,
            color=style.color,
            marker=style.marker,
            markersize=3 if small else 5,
            alpha=0.5 if small else 0.9,
            linestyle="none",
        )
    if not measure.is_share:
        _logarithmic(axes.xaxis)
    if task == DRIFT:
        _logarithmic(axes.yaxis)
    how = association(section, measure, task)
    lines = [_told("over methods", how.over), _told("within", how.within)]
    axes.set_title("\n".join(lines), loc="left", fontsize=8)


def _logarithmic(axis: Axis) -> None:
    """Scale an axis by logarithms, with plain numbers: powers of ten need parsed mathematics."""
    scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    scale("log")
    low, high = axis.get_view_interval()
    # Over more decades the locator would label none of so many marks.
    marks = (1, 2, 5) if high < FEW_DECADES * low else (1,)
    axis.set_major_locator(LogLocator(subs=marks, numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _told(where: str, found: Correlation | None) -> str:
    if found is None:
        return f"{where}: {MISSING}"
    return f"{where}: r = {found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
