"""Learned against forgotten: one panel per forgetting task, drift included.

Learned is what was learned at the half dose, and drift is taken where each method had learned 90%,
wherever some method got there: at the end of training most have learned everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.leaderboard.equal_learning import equal_learning_metric
from bench.report.plots._kinds import plot
from bench.report.plots._labels import Named, label_points, mark_method
from bench.report.plots._learned import learned, learned_label
from bench.report.plots._style import Styles, ends, error, new_figure
from bench.report.statistics.intervals import Estimate

_ROOM = 0.12
_BELOW_ZERO = 4.0


@dataclass(frozen=True, slots=True)
class Point:
    """One method: learned (a share) against lost (a share, or nats for drift)."""

    row: Row
    learned: Estimate
    lost: Estimate


@plot(
    "pareto",
    "What was learned at the half dose versus what was forgotten; up and left is better.",
    order=10,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw the front per forgetting task; None where nothing was measured."""
    panels = {task: _points(section, task) for task in section.forgetting_tasks}
    panels = {task: points for task, points in panels.items() if points}
    if not panels:
        return None
    note = (
        "Bars: 95% intervals. Hollow: dominated at all values within the intervals. Grey: the front"
    )
    figure = new_figure(len(panels), section, "Learned at the half dose versus forgotten", note)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    shares = [ends(point.learned) for points in panels.values() for point in points]
    low, high = 100 * min(low for low, _ in shares), 100 * max(high for _, high in shares)
    room = _ROOM * max(high - low, 1.0)  # for labels
    grid[0].set_ylim(max(low - room, -_BELOW_ZERO), high + room)
    named = [
        (axes, _panel(axes, section, task, points, styles))
        for axes, (task, points) in zip(grid, panels.items(), strict=True)
    ]
    grid[0].set_ylabel(learned_label(section))
    label_points(named)
    return figure


def dominated(point: Point, others: Sequence[Point]) -> bool:
    """Return whether another point is better even at the worst ends of both intervals."""
    low, high = ends(point.lost)[0], ends(point.learned)[1]
    return any(
        ends(other.learned)[0] >= high
        and ends(other.lost)[1] <= low
        and (ends(other.learned)[0] > high or ends(other.lost)[1] < low)
        for other in others
    )


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in both values, by growing loss."""
    ordered = sorted(points, key=lambda point: (point.lost.value, -point.learned.value))
    kept: list[Point] = []
    for point in ordered:
        if not kept or point.learned.value > kept[-1].learned.value:
            kept.append(point)
    return kept


def _points(section: Section, task: str) -> list[Point]:
    found = ((row, learned(section, row), _lost(section, row, task)) for row in section.done)
    return [Point(row, r, lost) for row, r, lost in found if r is not None and lost is not None]


_DRIFT_AT_90 = equal_learning_metric(DRIFT, 0.9)


def _lost(section: Section, row: Row, task: str) -> Estimate | None:
    if _at_equal_learning(section, task):
        return row.metrics.get(_DRIFT_AT_90)
    found = row.forgetting.get(task)
    return found.lost if found else None


def _at_equal_learning(section: Section, task: str) -> bool:
    """Return whether a panel shows drift where 90% was learned."""
    return task == DRIFT and any(row.metrics.get(_DRIFT_AT_90) for row in section.done)


def _panel(
    axes: Axes, section: Section, task: str, points: list[Point], styles: Styles
) -> list[Named]:
    scale = 1.0 if task == DRIFT else 100.0
    named = [
        mark_method(
            axes,
            point.row.label,
            styles,
            scale * point.lost.value,
            point.learned,
            bars=[scale * end for end in error(point.lost.value, point.lost.interval)],
            hollow=dominated(point, points),
        )
        for point in points
    ]
    axes.margins(x=0.2)
    unit = "nats per token" if task == DRIFT else "percentage points forgotten"
    axes.set_xlabel(f"{safe_text(task)}: {unit} (less is better)")
    if task == DRIFT:
        axes.set_xlim(left=0)
        axes.set_title(_drift_title(section, points), loc="left")
    else:
        axes.axvline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
        base = 100 * next(p.row.forgetting[task].base for p in points)
        axes.set_title(f"{safe_text(task)}, base {base:.0f}%", loc="left")
    _front(axes, points, scale)
    return named


def _drift_title(section: Section, points: list[Point]) -> str:
    if not _at_equal_learning(section, DRIFT):
        return "drift from the base"
    shown = {point.row.label for point in points}
    never = [row.label for row in section.done if row.label not in shown]
    title = section.worded("drift when 90% of unknown facts were learned")
    if not never:
        return title
    more = f" and {len(never) - 2} more" if len(never) > 2 else ""
    return f"{title}\n(never: {safe_text(', '.join(never[:2]))}{more})"


def _front(axes: Axes, points: list[Point], scale: float) -> None:
    # The edge of what the front dominates, out to the panel's sides.
    best = front(points)
    axes.autoscale(enable=False, axis="x")
    across = [scale * point.lost.value for point in best]
    up = [100 * point.learned.value for point in best]
    axes.step(
        [across[0], *across, axes.get_xlim()[1]],
        [axes.get_ylim()[0], *up, up[-1]],
        where="post",
        color="0.6",
        linestyle="--",
        linewidth=1,
        zorder=1,
    )
