"""What each adapter answers at default and at tuned learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.findings.evidence import Setting
from bench.findings.picture import Picture, file_name
from bench.report.plots.style import PanelSize, error, shared_legend, style_of, titled_figure
from bench.report.wording import printable

_LOOKS = {"default rate": style_of(1), "tuned rate": style_of(0)}
_BARS = "Bars: 95 % intervals"
_BOTH = f"{_BARS}. The two rates are reported on different facts of the task"
_ASIDE = 0.16


def of_adapters(settings: Iterable[Setting]) -> Iterator[Picture]:
    """Return a picture per base and task, both kinds of rates where both were run."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        spec = setting.spec
        title = f"{spec.model} on {spec.task}, {spec.facts} facts"
        groups.setdefault(title, []).append(setting)
    for title, members in groups.items():
        kinds = " and at ".join(_kinds(members))
        caption = f"{title}. Facts answered by each adapter, at {kinds}s."
        yield Picture(file_name("rates", title), caption, partial(_draw, title, members))


def _draw(title: str, settings: Sequence[Setting]) -> Figure:
    methods = sorted({method for setting in settings for method in setting.adapters()})
    panel = PanelSize(7.5, 0.9 + 0.34 * len(methods))
    kinds = _kinds(settings)
    note = _BOTH if len(kinds) > 1 else _BARS
    figure = titled_figure(1, 1, panel, "Adapters and learning rates", title, note)
    axes = figure.subplots()
    for setting in settings:
        _marks(axes, setting, methods)
    axes.set_yticks(range(len(methods)), [printable(method) for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_xlabel("facts answered, % (more is better)")
    shared_legend(figure, kinds, _LOOKS)
    return figure


def _kinds(settings: Sequence[Setting]) -> list[str]:
    """Return which kinds of rates were run, in the order of the legend."""
    found = {_kind(setting) for setting in settings}
    return [kind for kind in _LOOKS if kind in found]


def _kind(setting: Setting) -> str:
    return "tuned rate" if setting.tuned else "default rate"


def _marks(axes: Axes, setting: Setting, methods: Sequence[str]) -> None:
    style = _LOOKS[_kind(setting)]
    for method, row in setting.adapters().items():
        found = row.metrics["reliability"]
        if found is None:
            continue
        below, above = error(found.value, found.interval)
        axes.errorbar(
            100 * found.value,
            methods.index(method) + (_ASIDE if setting.tuned else -_ASIDE),
            xerr=[[100 * below], [100 * above]],
            color=style.color,
            marker=style.marker,
            markersize=5,
            elinewidth=0.9,
        )
