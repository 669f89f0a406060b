"""Tuning curves: what each candidate learned and forgot on the tuning set, over what was tuned.

One row of panels for each tuned name. A method's line holds the candidates that differ from the
chosen one in that name alone: a cut through its candidates where several names were tuned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.planning.tuning import MEASURES, number, shown_name, value
from bench.redaction import safe_text
from bench.report.leaderboard.board import DRIFT, Row, Section, Tried
from bench.report.leaderboard.tuned_grids import in_order
from bench.report.plots._kinds import plot
from bench.report.plots._style import (
    SQUARE,
    MethodStyle,
    Styles,
    error,
    shared_legend,
    titled_figure,
)
from bench.report.statistics.intervals import Estimate
from bench.report.tables.columns import forgetting_header
from bench.report.tables.tuning import (
    EQUAL,
    equal_learning,
    score_measures,
    score_name,
    tuned_rows,
    tuning_of,
    tuning_tasks,
)

_HEADING = "Tuning: candidates on the tuning facts"
_BARS = "Bars: 95% intervals, which decide nothing"
_NO_BARS = "For intervals, see the Tuning table"
_NOTE = "Ring: chosen. Cross at the bottom: no result"
_LOG_FROM = 5.0
_DODGE = 0.015
_MOST_DODGE = 0.4
"""Part of the way from a value to the next one over which its methods lie at the most."""

MOST_WITH_BARS = 8
"""Bars of more methods would hide their lines."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel shows: a tuned name across, a score or a forgetting task up.

    Attributes:
        name: What was tuned.
        measured: A score, a forgetting task, or drift at equal learning.
        places: Where each value lies across.
    """

    name: str
    measured: str
    places: dict[str, float]

    def found(self, entry: Tried) -> Estimate | None:
        """Return what the panel shows of a candidate."""
        if self.measured in MEASURES:
            return entry.scores.get(self.measured)
        if self.measured in EQUAL:
            drift = entry.trial.lost.get(self.measured)
            return None if drift is None else Estimate(drift)
        forgotten = entry.forgetting.get(self.measured)
        return forgotten.lost if forgotten else None


@plot(
    "tuning",
    "What each candidate learned and forgot on the tuning facts; the ring marks the chosen one.",
    order=20,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw the curves of a section; None where nothing was tuned, or nothing ended well."""
    rows = [row for row in tuned_rows(section.rows) if tuning_of(row).best is not None]
    if not rows:
        return None
    tried = [entry for row in rows for entry in tuning_of(row).tried]
    names = in_order(name for row in rows for name in tuning_of(row).over)
    measured = {t for entry in tried for t, lost in entry.forgetting.items() if lost.lost}
    shown = [
        *score_measures(section),
        *equal_learning(section),
        *(task for task in tuning_tasks(section) if task in measured),
    ]
    facts = " and ".join(map(str, sorted({entry.trial.spec.facts for entry in tried})))
    seeds = sorted({cell.record.spec.seed for entry in tried for cell in entry.cells})
    word = "seed" if len(seeds) == 1 else "seeds"
    where = (
        f"{section.title}: {facts} tuning {section.asks.items}, {word} {', '.join(map(str, seeds))}"
    )
    note = f"{_BARS if len(rows) <= MOST_WITH_BARS else _NO_BARS}. {_NOTE}"
    figure = titled_figure(len(shown), len(names), SQUARE, section.worded(_HEADING), where, note)
    grid = figure.subplots(len(names), len(shown), squeeze=False)
    for line, name in zip(grid, names, strict=True):
        places = places_of([entry for row in rows for entry in curve(row, name)], name)
        for axes, what in zip(line, shown, strict=True):
            _panel(axes, Panel(name, what, places), rows, styles)
            axes.set_title(_title(section, what))
    shared_legend(figure, [row.label for row in rows], styles)
    return figure


def _title(section: Section, measured: str) -> str:
    if measured in MEASURES:
        return f"{score_name(section, measured)} (%): more is better"
    return f"{EQUAL.get(measured) or safe_text(forgetting_header(measured))}: less is better"


def curve(row: Row, name: str) -> list[Tried]:
    """Return the candidates that differ from a row's chosen one in one tuned name alone."""
    tuning = tuning_of(row)
    if tuning.best is None or name not in tuning.over:
        return []
    others = [other for other in tuning.over if other != name]
    fixed = [value(tuning.best.spec, other) for other in others]
    return [e for e in tuning.tried if [value(e.trial.spec, other) for other in others] == fixed]


def places_of(tried: Sequence[Tried], name: str) -> dict[str, float]:
    """Return where each value lies: by its logarithm where values span much, words in a row."""
    found = {value(e.trial.spec, name): number(e.trial.spec, name) for e in tried}
    numbers = [known for known in found.values() if known is not None]
    if len(numbers) < len(found):
        return {text: float(place) for place, text in enumerate(found)}
    if min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_FROM:
        return {text: math.log10(known) for text, known in found.items() if known}
    return {text: known for text, known in found.items() if known is not None}


def _panel(axes: Axes, panel: Panel, rows: Sequence[Row], styles: Styles) -> None:
    shown = [row for row in rows if curve(row, panel.name)]
    step = dodge_of(list(panel.places.values()), len(shown))
    for index, row in enumerate(shown):
        dodge = (index - (len(shown) - 1) / 2) * step
        _line(axes, panel, row, dodge, styles[row.label], bars=len(rows) <= MOST_WITH_BARS)
    axes.set_xticks(list(panel.places.values()), [safe_text(text) for text in panel.places])
    axes.set_xlabel(shown_name(panel.name))
    axes.margins(x=0.1)


def dodge_of(places: Sequence[float], count: int) -> float:
    """Return how far apart `count` methods lie at one value, in the units of `places`."""
    ordered = sorted(places)
    gaps = [right - left for left, right in pairwise(ordered)]
    wide = _DODGE * ((ordered[-1] - ordered[0]) or 1.0)
    return min(wide, _MOST_DODGE * min(gaps, default=1.0) / max(1, count - 1))


def _line(
    axes: Axes, panel: Panel, row: Row, dodge: float, style: MethodStyle, *, bars: bool
) -> None:
    scale = 1 if panel.measured == DRIFT or panel.measured in EQUAL else 100

    def across(entry: Tried) -> float:
        return panel.places[value(entry.trial.spec, panel.name)] + dodge

    entries = sorted(curve(row, panel.name), key=across)
    points = [(across(e), found) for e in entries if (found := panel.found(e)) is not None]
    errors = np.array([error(found.value, found.interval) for _, found in points])
    axes.errorbar(
        [x for x, _ in points],
        [scale * found.value for _, found in points],
        yerr=scale * errors.T if bars and points else None,
        color=style.color,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=4,
        linewidth=1.4,
        elinewidth=0.8,
    )
    for entry in entries:
        found = panel.found(entry)
        if found is not None and entry.trial is tuning_of(row).best:
            axes.plot(
                across(entry),
                scale * found.value,
                color=style.color,
                linestyle="",
                marker="o",
                markersize=11,
                markerfacecolor="none",
            )
        if entry.trial.score is None:
            bottom = axes.get_xaxis_transform()
            axes.plot(across(entry), 0.02, "x", color=style.color, transform=bottom)
