"""What each choice of layers answers, against what its training costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.findings.evidence import Setting, adapter_name
from bench.findings.picture import Picture, file_name
from bench.report.board import Row
from bench.report.choices import choices_of, layer_ranges
from bench.report.plots.labels import Named, label_points
from bench.report.plots.style import PanelSize, error, style_of, titled_figure
from bench.report.wording import printable

_NOTE = "Bars: 95 % intervals of reliability over seeds and facts"
_PANEL = PanelSize(7.5, 4.6)


def of_layers(settings: Iterable[Setting]) -> Iterator[Picture]:
    """Return a picture per setting and adapter that has a placement."""
    for setting in settings:
        adapters = sorted({adapter_name(row) for row in setting.rows.values()} - {""})
        for adapter in adapters:
            rows = _rows(setting, adapter)
            if any(_placed(setting, row) for row in rows):
                caption = f"{setting.title}, {adapter}. Facts answered against training compute."
                name = file_name("layers", adapter, setting.title)
                yield Picture(name, caption, partial(_draw, setting, adapter, rows))


def _rows(setting: Setting, adapter: str) -> list[Row]:
    """Return the rows of an adapter alone or with a placement and nothing else."""
    found = [(row, setting.recipe(row)) for row in setting.rows.values()]
    return [
        row
        for row, recipe in found
        if recipe is not None
        and adapter_name(row) == adapter
        and not (recipe.filter or recipe.weights)
        and _flops(row)
        and row.metrics["reliability"]
    ]


def _placed(setting: Setting, row: Row) -> bool:
    recipe = setting.recipe(row)
    return recipe is not None and recipe.placement is not None


def _draw(setting: Setting, adapter: str, rows: list[Row]) -> Figure:
    heading = f"Which layers to train: {adapter}"
    figure = titled_figure(1, 1, _PANEL, heading, setting.title, _NOTE)
    axes = figure.subplots()
    points = [_mark(axes, row, place) for place, row in enumerate(rows)]
    axes.set(
        xlabel="training compute, TFLOP (less is better)",
        ylabel="facts answered, % (more is better)",
    )
    axes.set_xlim(left=0)
    axes.margins(x=0.15, y=0.15)
    label_points([(axes, points)])
    return figure


def _mark(axes: Axes, row: Row, place: int) -> Named:
    found = row.metrics["reliability"]
    assert found is not None, "rows without reliability are left out"
    x, y, style = _flops(row) / 1e12, 100 * found.value, style_of(place)
    below, above = error(found.value, found.interval)
    axes.errorbar(
        x,
        y,
        yerr=[[100 * below], [100 * above]],
        color=style.color,
        marker=style.marker,
        markersize=6,
        elinewidth=0.9,
    )
    return Named(x, y, printable(_name(row)), style.color)


def _flops(row: Row) -> float:
    """Return the mean over seeds, which may train other layers each; 0 where none was recorded."""
    found = [cell.record.flops for cell in row.cells if cell.record.flops]
    return fmean(found) if found else 0.0


def _name(row: Row) -> str:
    chosen = {choices_of(cell.record).layers for cell in row.cells}
    if len(chosen) > 1:
        return f"{row.spec.method}: by seed"
    layers = chosen.pop()
    return f"{row.spec.method}: {layer_ranges(layers)}" if layers else f"{row.spec.method}: all"
