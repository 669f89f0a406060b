"""Pictures of what lies behind an answer: how soon groups of facts were learned, and shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from bench.pages.findings.answer import Picture
from bench.pages.findings.claim import Effect
from bench.redaction import safe_text
from bench.report.plots._style import (
    PanelSize,
    draw_curve,
    error,
    shared_legend,
    style_of,
    titled_figure,
)
from bench.report.plots.learning_curves import dose_curve
from bench.report.statistics.intervals import Floats

_PANEL = PanelSize(6.3, 3.2)
_LINE, _HEAD = 0.27, 0.7

Group = Floats | Sequence[Floats]
"""Epochs to learn of a group of facts, `[seeds, facts]`, or of each seed's own facts."""


def learning(
    name: str, heading: str, where: str, groups: Mapping[str, Group], epochs: int
) -> Picture:
    """Return a picture of the share of facts learned after each epoch, a line for each group.

    Args:
        name: Of its file.
        heading: What it shows.
        where: Base, task and number of facts.
        groups: By name.
        epochs: How many there are.
    """

    def draw() -> Figure:
        note = (
            "Lines: means over seeds. Bars: 95% confidence intervals of each group, not of "
            "differences, after the last epoch"
        )
        figure = titled_figure(1, 1, _PANEL, heading, where, note)
        [[axes]] = figure.subplots(1, 1, squeeze=False)
        styles = {label: style_of(index) for index, label in enumerate(groups)}
        for number, (label, values) in enumerate(groups.items()):
            same = isinstance(values, np.ndarray)
            curve = dose_curve(list(values), epochs, same=same)
            draw_curve(axes, curve, styles[label], 100, bar=number)
        axes.set_ylabel("learned, %")
        axes.set_ylim(-3, 103)
        shared_legend(figure, list(groups), styles)
        return figure

    return Picture(name, f"{heading}: the share of facts that are learned after each epoch.", draw)


def means(
    name: str,
    heading: str,
    where: str,
    series: Mapping[str, Mapping[str, Effect]],
    *,
    expected: str = "",
    outcome: str = "share of facts, %",
    most: float | None = None,
) -> Picture:
    """Return a picture of means with their intervals, a line for each group.

    Args:
        name: Of its file.
        heading: What it shows.
        where: Base, task and number of facts.
        series: By name, and in each by group, the means. They have the same groups, from the top.
        expected: The series that was computed and not seen, if there is one: it is grey.
        outcome: What the means are of, with its unit.
        most: The value of what was not learned, which is drawn as a dotted line.
    """

    def draw() -> Figure:
        groups = list(dict.fromkeys(group for of_series in series.values() for group in of_series))
        panel = PanelSize(5.6, _HEAD + _LINE * len(groups) * max(1.0, 0.75 * len(series)))
        dotted = f". Dotted: not learned, which counts as {most:g}" if most else ""
        lacks = any(of_series.keys() != set(groups) for of_series in series.values())
        absent = ". Where a marker is absent there is no value" if lacks else ""
        note = f"Bars: 95% confidence intervals{dotted}{absent}"
        figure = titled_figure(1, 1, panel, heading, where, note)
        [[axes]] = figure.subplots(1, 1, squeeze=False)
        styles = {label: style_of(index) for index, label in enumerate(series)}
        if expected:
            styles[expected] = replace(styles[expected], color="0.5", marker="D")
        for number, (label, of_series) in enumerate(series.items()):
            shift = 0.22 * (number - (len(series) - 1) / 2)
            for group, effect in of_series.items():
                ends = error(effect.estimate.value, effect.estimate.interval)
                axes.errorbar(
                    effect.unit.written(effect.value),
                    groups.index(group) + shift,
                    xerr=[[effect.unit.written(end)] for end in ends],
                    color=styles[label].color,
                    marker=styles[label].marker,
                    markersize=5,
                )
        axes.set_yticks(range(len(groups)), list(map(safe_text, groups)), fontsize=8)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.set_xlim(right=1.02 * most if most else None)
        axes.set_xlim(left=-0.012 * axes.get_xlim()[1])  # so that a marker at 0 is whole
        if most:
            axes.axvline(most, color="0.4", linestyle=":", linewidth=1.2)
        axes.set_xlabel(outcome)
        axes.grid(visible=False, axis="y")
        if len(series) > 1:
            shared_legend(figure, list(series), styles)
        return figure

    return Picture(name, f"{heading}, with intervals.", draw)
