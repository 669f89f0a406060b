"""Layer deviation of the pristine base and the gain of each layer, with the cuts marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.redaction import safe_text
from bench.report.leaderboard.board import Section
from bench.report.leaderboard.recipe_notes import notes_of
from bench.report.plots._kinds import plot
from bench.report.plots._style import PanelSize, Styles, new_figure, style_of
from methods.layer_deviation import CutNotes
from tasks.errors import UsageError
from tasks.notation import parse_part, split_outside_brackets

_NOTE = (
    "Bands: 95% bootstrap intervals over facts. Stable: the share of these draws that cut at the "
    "same layer. Layers up to the cut are frozen"
)
_GAINS = {
    "drop": "gain: drop of the deviation in layer k",
    "ratio": "gain: drop of ln deviation in layer k",
    "power": "gain: drop of ln deviation per ln (k + 1) - ln k",
}
_PANEL = PanelSize(5.0, 4.0)
_COLUMNS = 2
_NAMES_AT_MOST = 3
_DASH = 3


@dataclass(frozen=True, slots=True)
class Shared:
    """Rows that were cut by the same curve, and what the first of them chose."""

    names: tuple[str, ...]
    gain: str
    choices: CutNotes

    @property
    def label(self) -> str:
        """The rows' names, the first few of many."""
        shown = ", ".join(self.names[:_NAMES_AT_MOST])
        more = len(self.names) - _NAMES_AT_MOST
        return safe_text(shown + (f" and {more} more" if more > 0 else ""))


@plot(
    "layers",
    "How far each latent space of the base is from the answers, and where layers were cut.",
    order=100,
)
def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw the deviations, then a panel per gain; None where no row was cut by deviation."""
    by_gain = shared_cuts(section)
    if not by_gain:
        return None
    panels = 1 + len(by_gain)
    columns = min(_COLUMNS, panels)
    rows = math.ceil(panels / columns)
    heading = "Layer deviation of the base, and the gain of each layer"
    figure = new_figure(columns, section, heading, _NOTE, rows=rows, panel=_PANEL)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    _deviation_panel(grid[0], by_gain)
    for index, (axes, shared) in enumerate(zip(grid[1:], by_gain, strict=False)):
        _gain_panel(axes, shared, style_of(index).color)
    for axes in grid[panels:]:
        axes.remove()
    return figure


def shared_cuts(section: Section) -> list[Shared]:
    """Return the distinct curves and cuts of a section's rows, each with the rows it is of."""
    found: dict[object, Shared] = {}
    for row in section.done:
        made = notes_of(row.cells[0].record, CutNotes)
        if made and made.layer_deviation and made.gain:
            key = (made.layer_deviation, made.gain)
            names = (*(found[key].names if key in found else ()), row.label)
            found[key] = Shared(names, _gain_name(row.spec.recipe), made)
    return list(found.values())


def _gain_name(recipe: str) -> str:
    """Return the `gain` parameter of whichever part of a recipe has one."""
    try:
        parts = [parse_part(part) for part in split_outside_brackets(recipe, "+")]
    except UsageError:
        return ""
    return next((parameters["gain"] for _, parameters in parts if "gain" in parameters), "")


def _deviation_panel(axes: Axes, by_gain: Sequence[Shared]) -> None:
    first_of: dict[object, int] = {}
    for index, shared in enumerate(by_gain):
        first_of.setdefault(shared.choices.layer_deviation, index)
    for index in first_of.values():
        made, color = by_gain[index].choices, style_of(index).color
        line = (made.layer_deviation, made.layer_deviation_low, made.layer_deviation_high)
        _curve(axes, 0, *line, color if len(first_of) > 1 else "black")
    for index, shared in enumerate(by_gain):
        _cut_line(axes, shared, style_of(index).color, index, len(by_gain))
    axes.set(
        xlabel="latent space k (0: embeddings, k: after layer k)",
        ylabel="layer deviation, 1 - cosine",
    )
    axes.set_title("deviation of each latent space", loc="left")
    axes.legend(fontsize=8, loc="best", framealpha=0.9)


def _gain_panel(axes: Axes, shared: Shared, color: str) -> None:
    """Draw the gains of the layers that can be cut at; the last one's is often far above."""
    made, gain = shared.choices, shared.choices.gain or ()
    low, high = (side[:-1] if side else None for side in (made.gain_low, made.gain_high))
    _curve(axes, 1, gain[:-1], low, high, color)
    axes.axhline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=1)
    _cut_line(axes, shared, color)
    left_out = f"layer {len(gain)} is never frozen; its gain is {gain[-1]:.2g}"
    axes.set(xlabel=f"layer k ({left_out})", ylabel=_GAINS.get(shared.gain, "gain of layer k"))
    axes.set_title(f"{shared.label}\n{made.text}", loc="left")


def _curve(
    axes: Axes,
    first: int,
    values: tuple[float, ...] | None,
    low: tuple[float, ...] | None,
    high: tuple[float, ...] | None,
    color: str,
) -> None:
    places = range(first, first + len(values or ()))
    axes.plot(places, values or (), color=color, marker="o", markersize=3, linewidth=1.3)
    if low and high and len(low) == len(high) == len(places):
        axes.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _cut_line(axes: Axes, shared: Shared, color: str, index: int = 0, count: int = 1) -> None:
    """Mark a cut; the dashes of `count` lines alternate, so that equal cuts stay visible."""
    if shared.choices.cut is None:
        return
    axes.axvline(
        shared.choices.cut,
        color=color,
        linewidth=1.4,
        linestyle=(_DASH * index, (_DASH, _DASH * max(count - 1, 1))),
        label=f"{shared.label}: {shared.choices.text}",
    )
