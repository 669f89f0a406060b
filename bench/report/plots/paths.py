"""Paths: what was forgotten on the way, against the share of facts learned by then."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.leaderboard.equal_learning import (
    SHARES,
    equal_learning_metric,
    learned_curve,
    learning_path,
    path_tasks,
)
from bench.report.plots._kinds import plot
from bench.report.plots._style import MethodStyle, Styles, ends, new_figure, shared_legend
from bench.report.statistics.equal_learning import LearningPath

_NOTE = (
    "Each point is a checkpoint, from before training on. Lines: means over seeds; thin lines: "
    "single seeds. Bars at 50% and 90%: what was lost when so much was learned, with its 95% "
    "interval. Lower is better. Drift on the way is measured on 8 of its 32 texts"
)
_FAR = 10
"""How many times the median's drift a method's is before it would flatten all others."""

_SEEDS_AT_MOST = 40
"""Thin lines of more cells than this would hide the methods' own."""


@plot(
    "paths",
    "What each method had forgotten by the time it had learned a share of the facts.",
    order=2,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw a panel for each task that was measured at checkpoints; None where none was."""
    found = {
        task: [(row, path) for row in section.done if (path := learning_path(row, task))]
        for task in reversed(path_tasks(section.done))
    }
    panels = {task: paths for task, paths in found.items() if paths}
    if not panels:
        return None
    figure = new_figure(len(panels), section, "Learned versus forgotten, on the way", _NOTE)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True)[0]
    for axes, (task, paths) in zip(grid, panels.items(), strict=True):
        thin = sum(len(path.seeds) for _, path in paths) <= _SEEDS_AT_MOST
        for index, (row, path) in enumerate(paths):
            _line(axes, path, styles[row.label], task, seeds=thin)
            _marks(axes, row, styles[row.label], task, (index - (len(paths) - 1) / 2) * 0.6)
        _finish(axes, task, section)
        if task == DRIFT:
            _compress(axes, [float(path.costs.mean(axis=0).max()) for _, path in paths])
    labels = {row.label: None for paths in panels.values() for row, _ in paths}
    shared_legend(figure, [row.label for row in section.done if row.label in labels], styles)
    return figure


def _line(axes: Axes, path: LearningPath, style: MethodStyle, task: str, *, seeds: bool) -> None:
    """Draw a method's mean path, and those of its seeds."""
    path = path.from_start
    learned, lost = 100 * learned_curve(path), _scale(task) * path.costs
    if seeds and len(path.seeds) > 1:
        for across, up in zip(learned, lost, strict=True):
            axes.plot(across, up, color=style.color, linewidth=0.6, alpha=0.35, zorder=1)
    axes.plot(
        learned.mean(axis=0),
        lost.mean(axis=0),
        color=style.color,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=3.5,
        linewidth=1.4,
        zorder=2,
    )


def _marks(axes: Axes, row: Row, style: MethodStyle, task: str, aside: float) -> None:
    """Draw what a method had lost at 50% and at 90%, moved aside so that bars do not hide."""
    for share in SHARES:
        found = row.metrics.get(equal_learning_metric(task, share))
        if found is None:
            continue
        low, high = (_scale(task) * end for end in ends(found))
        axes.vlines(100 * share + aside, low, high, color=style.color, linewidth=1.6, zorder=3)
        axes.plot(
            100 * share + aside,
            _scale(task) * found.value,
            color=style.color,
            marker=style.marker,
            markeredgecolor="black",
            markersize=6,
            zorder=4,
        )


def _scale(task: str) -> float:
    return 1.0 if task == DRIFT else 100.0


def _finish(axes: Axes, task: str, section: Section) -> None:
    for share in SHARES:
        axes.axvline(100 * share, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    learned = section.worded("learned of the facts the base did not answer, %")
    axes.set(xlim=(-2, 102), xlabel=learned)
    if task == DRIFT:
        axes.set_ylim(bottom=0)
        axes.set(ylabel="nats per token", title="drift from the base")
    else:
        axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(ylabel="percentage points", title=f"forgotten of {safe_text(task)}")


def _compress(axes: Axes, largest: Sequence[float]) -> None:
    """Draw drift above the median logarithmically where one method would flatten all others.

    Args:
        axes: The panel of drift.
        largest: The largest drift of each method on its way.
    """
    middle = median(largest)
    if not 0 < _FAR * middle < max(largest):
        return
    axes.set_yscale("symlog", linthresh=middle, linscale=2)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=middle, subs=[1, 2, 5]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, 1.3 * max(largest))
    axes.set_title(f"drift from the base, logarithmic above {middle:.2g}")
