"""What facts lose in company, by how many are trained together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.findings.answer import Effect
from bench.findings.company import Company
from bench.findings.effects import paired, paired_nats
from bench.findings.picture import Picture, file_name
from bench.report.plots.style import (
    SQUARE,
    MethodStyle,
    error,
    shared_legend,
    style_of,
    titled_figure,
)
from bench.report.statistics import Floats
from bench.studies.interference_plan import Regime
from bench.studies.interference_store import FactOutcome

_LOOKS: dict[str, MethodStyle] = {str(r): style_of(place) for place, r in enumerate(Regime)}
_NOTE = "Bars: 95 % intervals, paired by fact and seed. Up to the batch size both are one training"
_DODGE = 1.03


class Measure(NamedTuple):
    """What is compared: of an outcome, what a point is multiplied by, and its axis."""

    of: Callable[[FactOutcome], float]
    compare: Callable[[Floats, Floats], Effect]
    scale: float
    label: str


_MEASURES = (
    Measure(
        lambda outcome: float(outcome.correct),
        lambda alone, joint: paired("", "", alone, joint),
        100.0,
        "accuracy alone - together, points",
    ),
    Measure(
        lambda outcome: outcome.nll,
        lambda alone, joint: paired_nats("", "", joint, alone),
        1.0,
        "NLL of the target together - alone, nats per token",
    ),
)


def of_companies(companies: Iterable[Company]) -> Iterator[Picture]:
    """Return a picture per base, task and recipe that has groups."""
    for company in companies:
        if any(company.compared(size, Regime.EXPOSURES) for size in company.sizes):
            caption = f"{company.title}. What facts lose when they are trained together."
            yield Picture(file_name("company", company.title), caption, partial(_draw, company))


def _draw(company: Company) -> Figure:
    seeds = ", ".join(map(str, company.seeds))
    where = f"{company.title}: seeds {seeds}"
    figure = titled_figure(2, 1, SQUARE, "Facts alone against together", where, _NOTE)
    for axes, measure in zip(figure.subplots(1, 2), _MEASURES, strict=True):
        axes.axhline(0, color="0.5", linewidth=0.8, zorder=1)
        for regime, side in zip(Regime, (1 / _DODGE, _DODGE), strict=True):
            _line(axes, company, measure, regime, side)
        axes.set(xlabel="facts trained together", ylabel=measure.label, xscale="log")
        axes.set_xticks(company.sizes, [str(size) for size in company.sizes])
        axes.xaxis.set_minor_locator(NullLocator())
    shared_legend(figure, list(_LOOKS), _LOOKS)
    return figure


def _line(axes: Axes, company: Company, measure: Measure, regime: Regime, side: float) -> None:
    """Draw one regime, a little aside of the sizes so that bars do not cover each other."""
    found = {size: company.pairs(size, regime, measure.of) for size in company.sizes}
    points = [(size, measure.compare(*pair)) for size, pair in found.items() if pair is not None]
    if not points:
        return
    style = _LOOKS[str(regime)]
    axes.errorbar(
        [size * side for size, _ in points],
        [measure.scale * effect.value for _, effect in points],
        yerr=measure.scale * np.array([error(e.value, e.estimate.interval) for _, e in points]).T,
        color=style.color,
        marker=style.marker,
        linestyle=style.dashes,
        markersize=4.5,
        elinewidth=0.9,
    )
