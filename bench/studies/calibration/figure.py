"""The picture of the calibration study: what was learned and forgotten, by calibration size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.plots._style import Dashes, ends, error, new_figure, settings, style_of
from bench.report.statistics.intervals import Estimate
from bench.studies.calibration.rows import Calibrated
from bench.studies.calibration.study import REFERENCE

_DASHES: dict[str, Dashes] = {"kpm": "-", "ipm": "--"}
_APART = 1.04
"""Factor by which the lines of different sources are shifted, so that bars do not overlap."""

_Value = Callable[[Row], Estimate | None]


def draw_calibration(section: Section, rows: Sequence[Calibrated]) -> Figure:
    """Draw one panel for reliability and one per forgetting task, a line per mode and source."""
    note = (
        f"Bars and bands: 95% confidence intervals. Grey: {REFERENCE}, which does not calibrate. "
        "Solid: kpm; dashed and hollow: ipm. Marks of the same size are spread sideways"
    )
    # If the base is at floor for all rows, nothing could be forgotten: the panel would be empty.
    tasks = [
        task
        for task in section.forgetting_tasks
        if any(_lost(task)(found.row) is not None for found in rows)
    ]
    with settings():
        figure = new_figure(1 + len(tasks), section, "What CorDA should calibrate on", note)
        grid = figure.subplots(1, 1 + len(tasks), squeeze=False)[0]
        _panel(grid[0], rows, lambda row: row.metrics["reliability"], 100)
        grid[0].set_title("learned", loc="left")
        grid[0].set_ylabel("reliability (% of facts), more is better")
        for axes, task in zip(grid[1:], tasks, strict=True):
            _panel(axes, rows, _lost(task), 1 if task == DRIFT else 100)
            _name_forgetting(axes, task)
        figure.legend(handles=_handles(rows), loc="outside lower left", ncols=4, frameon=False)
    return figure


def _lost(task: str) -> _Value:
    def value(row: Row) -> Estimate | None:
        found = row.forgetting.get(task)
        return found.lost if found else None

    return value


def _panel(axes: Axes, rows: Sequence[Calibrated], value: _Value, scale: float) -> None:
    lines = _lines(rows)
    for place, (mode, source) in enumerate(lines):
        aside = _APART ** (place - (len(lines) - 1) / 2)
        points = [
            (found.samples * aside, estimate)
            for found in rows
            if (found.mode, found.source) == (mode, source)
            and found.samples is not None
            and (estimate := value(found.row)) is not None
        ]
        style = style_of(_sources(rows).index(source))
        bars = [error(estimate.value, estimate.interval) for _, estimate in points]
        axes.errorbar(
            [x for x, _ in points],
            [scale * estimate.value for _, estimate in points],
            yerr=[[scale * low for low, _ in bars], [scale * high for _, high in bars]],
            color=style.color,
            marker=style.marker,
            markersize=6,
            markerfacecolor=style.color if mode == "kpm" else "white",
            linestyle=_DASHES[mode],
            elinewidth=0.8,
        )
    _reference(axes, rows, value, scale)
    axes.set_xscale("log", base=2)
    sizes = sorted({found.samples for found in rows if found.samples is not None})
    axes.set_xticks(sizes, labels=[str(size) for size in sizes], minor=False)
    if sizes:
        axes.set_xlim(sizes[0] / 1.7, sizes[-1] * 1.7)
    axes.set_xlabel("calibration facts (log scale)")


def _reference(axes: Axes, rows: Sequence[Calibrated], value: _Value, scale: float) -> None:
    estimates = [found for row in rows if not row.mode and (found := value(row.row)) is not None]
    for estimate in estimates:
        low, high = ends(estimate)
        axes.axhline(scale * estimate.value, color="0.4", linewidth=1, linestyle=":", zorder=0)
        axes.axhspan(scale * low, scale * high, color="0.5", alpha=0.12, linewidth=0, zorder=0)


def _name_forgetting(axes: Axes, task: str) -> None:
    if task == DRIFT:
        axes.set_title("drift from the base", loc="left")
        axes.set_ylabel("mean KL (nats per token), less is better")
        axes.set_ylim(bottom=0)
    else:
        axes.set_title(f"forgotten: {safe_text(task)}", loc="left")
        axes.set_ylabel("percentage points lost, less is better")


def _lines(rows: Sequence[Calibrated]) -> list[tuple[str, str]]:
    """Return each mode and source once, in the order of the rows."""
    return list(dict.fromkeys((row.mode, row.source) for row in rows if row.mode))


def _sources(rows: Sequence[Calibrated]) -> list[str]:
    return list(dict.fromkeys(row.source for row in rows if row.mode))


def _handles(rows: Sequence[Calibrated]) -> list[Line2D]:
    handles = [Line2D([], [], color="0.4", linestyle=":", label=REFERENCE)]
    for mode, source in _lines(rows):
        style = style_of(_sources(rows).index(source))
        handles.append(
            Line2D(
                [],
                [],
                color=style.color,
                marker=style.marker,
                markerfacecolor=style.color if mode == "kpm" else "white",
                linestyle=_DASHES[mode],
                label=f"{mode} on {safe_text(source)}",
            )
        )
    return handles
