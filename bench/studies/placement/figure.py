"""The picture of the placement study: what cuts and windows learn, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.leaderboard.board import Row, Section
from bench.report.plots._style import MethodStyle, error, new_figure, settings, style_of
from bench.store.records import PhaseName
from bench.studies.placement.rows import Kind, Placed

_LEARNED = {"reliability": "all facts", "reliability_unknown": "facts the base did not answer"}
_STYLES = dict(zip(_LEARNED, map(style_of, range(2)), strict=True))
_WINDOW, _RANDOM, _CUT = style_of(2), style_of(3), style_of(6)
_APART = {"reliability": -0.12, "reliability_unknown": 0.12}
"""By how many layers marks are shifted, so that their bars do not overlap."""

_CUT_AXIS = "cut k: layers 1..k frozen"


def draw_placement(section: Section, rows: Sequence[Placed], layers: int, method: str) -> Figure:
    """Draw four panels: accuracy by cut and by window, compute and time by frozen layers.

    Args:
        section: The section of all rows.
        rows: The rows with the layers that each trained.
        layers: How many decoder layers the model has.
        method: The recipe that was placed.
    """
    note = (
        "Bars: 95% confidence intervals. Grey lines: the cuts that freeze picks, by gain; hollow "
        "marks: what it learns there. A window trains only its own layers"
    )
    with settings():
        figure = new_figure(2, section, f"Which layers to train: {method}", note, rows=2)
        grid = figure.subplots(2, 2, sharex=True)
        _learned_panel(grid[0][0], rows)
        _window_panel(grid[1][0], rows)
        _cost_panel(grid[0][1], rows, "training compute (TFLOP)", _teraflops)
        _cost_panel(grid[1][1], rows, "training time (seconds)", _seconds)
        for axes in grid.flat:
            axes.set_xlim(-0.5, layers + 0.5)
            axes.set_ylim(bottom=0)
        for axes in grid[0]:
            _freeze_lines(axes, rows)
            axes.tick_params(labelbottom=True)
        _legend(figure, grid[0])
    return figure


def _legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """Add one legend below all panels, with every series once."""
    named = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(), named.keys(), loc="outside lower left", ncols=3, frameon=False, fontsize=8
    )


def _learned_panel(axes: Axes, rows: Sequence[Placed]) -> None:
    sweep = _at_cuts(rows, Kind.CUT)
    for metric, who in _LEARNED.items():
        style = _STYLES[metric]
        _bars(axes, [(p.cut or 0, p.row) for p in sweep], metric, style, label=who)
        freeze = [(p.cut or 0, p.row) for p in _at_cuts(rows, Kind.FREEZE)]
        _bars(axes, freeze, metric, style, joined=False)
    for placed in rows:
        if placed.kind is Kind.RANDOM:
            _random_cuts(axes, placed)
    axes.set_title("accuracy by cut", loc="left")
    axes.set_xlabel(_CUT_AXIS)
    axes.set_ylabel("correct after training (% of facts)")


def _bars(
    axes: Axes,
    points: Sequence[tuple[float, Row]],
    metric: str,
    style: MethodStyle,
    *,
    label: str = "",
    joined: bool = True,
) -> None:
    """Draw a metric with its intervals, joined by a line or as separate hollow marks."""
    found = [(x, estimate) for x, row in points if (estimate := row.metrics[metric]) is not None]
    if not found:
        return
    ends = [error(estimate.value, estimate.interval) for _, estimate in found]
    axes.errorbar(
        [x + _APART[metric] for x, _ in found],
        [100 * estimate.value for _, estimate in found],
        yerr=[[100 * low for low, _ in ends], [100 * high for _, high in ends]],
        color=style.color,
        marker=style.marker,
        markersize=5,
        markerfacecolor=style.color if joined else "white",
        linestyle=style.dashes if joined else "none",
        elinewidth=0.8,
        label=label,
    )


def _random_cuts(axes: Axes, placed: Placed) -> None:
    for cell in placed.row.cells:
        notes, metrics = cell.record.notes, cell.record.metrics
        if metrics is None or metrics.reliability is None:
            continue
        axes.plot(
            notes["layers"][0],
            100 * metrics.reliability,
            color=_RANDOM.color,
            marker="x",
            markersize=8,
            markeredgewidth=2,
            linestyle="none",
            label="random cut, all facts",
        )


def _window_panel(axes: Axes, rows: Sequence[Placed]) -> None:
    for placed in _windows(rows):
        [(first, last)] = placed.ranges
        for metric in _LEARNED:
            estimate = placed.row.metrics[metric]
            if estimate is None:
                continue
            style = _STYLES[metric]
            _bars(axes, [((first + last) / 2, placed.row)], metric, style)
            axes.plot(
                [first - 0.4, last + 0.4],
                [100 * estimate.value] * 2,
                color=style.color,
                linestyle=style.dashes,
                linewidth=3,
                alpha=0.6,
            )
    axes.set_title("accuracy by window", loc="left")
    axes.set_xlabel("layers trained")
    axes.set_ylabel("correct after training (% of facts)")


def _windows(rows: Sequence[Placed]) -> list[Placed]:
    """Return the windows, and the cut whose top layers are as many: it is a window too."""
    found = [p for p in rows if p.kind is Kind.WINDOW and len(p.ranges) == 1]
    depths = {placed.trained for placed in found}
    return found + [p for p in _at_cuts(rows, Kind.CUT) if p.trained in depths]


def _cost_panel(
    axes: Axes, rows: Sequence[Placed], unit: str, cost: Callable[[Row], float | None]
) -> None:
    windows = [placed for placed in rows if placed.kind is Kind.WINDOW and placed.ranges]
    for chosen, style, label in (
        (_at_cuts(rows, Kind.CUT), _CUT, "cost of a cut"),
        (windows, _WINDOW, "cost of a window"),
    ):
        found = [(p.ranges[0][0] - 1, value) for p in chosen if (value := cost(p.row)) is not None]
        axes.plot(
            [x for x, _ in found],
            [value for _, value in found],
            color=style.color,
            marker=style.marker,
            markersize=5,
            linestyle=style.dashes if style is _CUT else "none",
            label=label,
        )
    axes.set_title(unit.partition(" (")[0], loc="left")
    axes.set_xlabel("frozen layers below the trained ones")
    axes.set_ylabel(f"{unit}, less is better")


def _freeze_lines(axes: Axes, rows: Sequence[Placed]) -> None:
    gains: dict[int, list[str]] = {}
    for placed in _at_cuts(rows, Kind.FREEZE):
        gains.setdefault(placed.cut or 0, []).append(placed.gain)
    for cut, names in gains.items():
        axes.axvline(cut, color="0.45", linewidth=1.2, linestyle=":", zorder=0)
        axes.annotate(
            f"freeze {cut}: {', '.join(names)}",
            (cut, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 3),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=7,
            color="0.35",
        )


def _at_cuts(rows: Sequence[Placed], kind: Kind) -> list[Placed]:
    """Return the rows of a kind whose cells agree on the cut."""
    return [placed for placed in rows if placed.kind is kind and placed.cut is not None]


def _teraflops(row: Row) -> float | None:
    flops = row.first("flops")
    return None if flops is None else flops / 1e12


def _seconds(row: Row) -> float | None:
    cost = row.phases.get(PhaseName.TRAIN)
    return cost.seconds if cost else None
