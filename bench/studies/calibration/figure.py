"""The picture of the calibration study: each row's balance, and what it learned and forgot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Row, Section
from bench.report.plots._style import PanelSize, ends, error, new_figure, settings, style_of
from bench.report.statistics.intervals import Estimate
from bench.studies.calibration.rows import Calibrated
from bench.studies.calibration.study import REFERENCE

_WIDTH, _ROW, _LABELS = 2.9, 0.42, 1.4
"""Inches: of a panel, of a row in it, and of what stands above and below."""

_Value = Callable[[Row], Estimate | None]


def draw_calibration(section: Section, rows: Sequence[Calibrated]) -> Figure:
    """Draw a line per row, and panels for balance, epochs to learn and each forgetting task."""
    note = (
        f"Bars and bands: 95% confidence intervals. Grey: {REFERENCE}, which does not calibrate. "
        "Filled: windows of packed texts; hollow: single texts, a variant. Each source has a "
        "colour; circles: kpm; squares: ipm"
    )
    shown = [found for found in rows if found.mode]
    balanced = any(found.balance for found in shown)
    # If the base is at floor for all rows, nothing could be forgotten: the panel would be empty.
    tasks = [
        task
        for task in section.forgetting_tasks
        if any(_lost(task)(found.row) is not None for found in rows)
    ]
    size = PanelSize(_WIDTH, _LABELS + _ROW * len(shown))
    heading = "What CorDA should calibrate on, and in which samples"
    with settings():
        columns = balanced + 1 + len(tasks)
        figure = new_figure(columns, section, heading, note, panel=size)
        panels = list(figure.subplots(1, columns, squeeze=False, sharey=True)[0])
        panels[0].set_yticks(
            range(len(shown)), labels=[safe_text(r.label, breaks=True) for r in shown]
        )
        panels[0].set_ylim(len(shown) - 0.5, -0.5)
        if balanced:
            _balance_panel(panels.pop(0), shown)
        # In the end nearly all facts are learned: how soon they were tells the rows apart.
        _panel(panels[0], rows, lambda row: row.metrics["epochs_to_learn_unknown"], 1)
        panels[0].set_title("learned: unknown facts", loc="left")
        panels[0].set_xlabel("epochs to learn\nless is better")
        for axes, task in zip(panels[1:], tasks, strict=True):
            _panel(axes, rows, _lost(task), 1 if task == DRIFT else 100)
            _name_forgetting(axes, task)
    return figure


def _lost(task: str) -> _Value:
    def value(row: Row) -> Estimate | None:
        found = row.forgetting.get(task)
        return found.lost if found else None

    return value


def _balance_panel(axes: Axes, rows: Sequence[Calibrated]) -> None:
    for place, found in enumerate(rows):
        if found.balance:
            axes.plot([found.balance], [place], linestyle="", **_look(found, rows))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_title("A/B balance", loc="left")
    axes.set_xlabel("||A|| / ||B|| before training\nmedian over modules, log scale")


def _panel(axes: Axes, rows: Sequence[Calibrated], value: _Value, scale: float) -> None:
    shown = [found for found in rows if found.mode]
    for place, found in enumerate(shown):
        estimate = value(found.row)
        if estimate is None:
            continue
        below, above = error(estimate.value, estimate.interval)
        axes.errorbar(
            [scale * estimate.value],
            [place],
            xerr=[[scale * below], [scale * above]],
            elinewidth=0.8,
            **_look(found, shown),
        )
    for found in rows:
        if not found.mode and (estimate := value(found.row)) is not None:
            low, high = ends(estimate)
            line: dict[str, Any] = {"color": "0.4", "linewidth": 1, "linestyle": ":", "zorder": 0}
            axes.axvline(scale * estimate.value, **line)
            axes.axvspan(scale * low, scale * high, color="0.5", alpha=0.12, zorder=0)


def _look(found: Calibrated, rows: Sequence[Calibrated]) -> dict[str, Any]:
    """Return the marker of a row: its colour by source, its shape by mode, hollow for texts."""
    sources = list(dict.fromkeys(row.source for row in rows))
    color = style_of(sources.index(found.source)).color
    return {
        "color": color,
        "marker": "o" if found.mode == "kpm" else "s",
        "markersize": 6,
        "markerfacecolor": color if found.pack else "white",
    }


def _name_forgetting(axes: Axes, task: str) -> None:
    if task == DRIFT:
        axes.set_title("drift from the base", loc="left")
        axes.set_xlabel("mean KL (nats per token)\nless is better")
        axes.set_xlim(left=0)
    else:
        axes.set_title(f"forgotten: {safe_text(task)}", loc="left")
        axes.set_xlabel("percentage points lost\nless is better")
