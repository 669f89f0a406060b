"""The report's plots of a section, of the adapters alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from bench.findings.evidence import Setting
from bench.findings.picture import Picture, file_name
from bench.report.board import Section
from bench.report.plots import PLOTS, PlotKind
from bench.report.plots.style import styles_of


def of_sections(kind: str, settings: Iterable[Setting]) -> Iterator[Picture]:
    """Return the report's plot of a kind for each setting, where there is anything to draw."""
    [plot] = [entry for entry in PLOTS if entry.name == kind]
    for setting in settings:
        section = replace(setting.section, rows=tuple(setting.adapters().values()))
        if kind != "pareto" or section.forgetting_tasks:
            caption = f"{setting.title}. {plot.caption}"
            yield Picture(file_name(kind, setting.title), caption, partial(_draw, plot, section))


def _draw(plot: PlotKind, section: Section) -> Figure:
    figure = plot.draw(section, styles_of(row.label for row in section.rows))
    assert figure is not None, f"{plot.name} has rows to draw"
    return figure
