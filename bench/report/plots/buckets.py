"""Accuracy against the target's semantic distance, in five quantile buckets.

Facts that the base knows have short distances and are answered anyway, which hides the effect of
distance: the second panel leaves them out and forms its own buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.board import Cell, Row, Section
from bench.report.plots.style import Styles, error, new_figure, shared_legend
from bench.report.statistics import Floats, Interval, wilson

BUCKETS = 5
CAPTION = "Accuracy after training by how far the base's answer was from the target."


@dataclass(frozen=True, slots=True)
class Bucket:
    """Facts whose distance is in (low, high]; the first includes its low end."""

    low: float
    high: float
    n: int

    @property
    def label(self) -> str:
        """Range and size, for an axis."""
        low, high = f"{self.low:.2f}", f"{self.high:.2f}"
        return f"{low if low == high else f'{low}–{high}'}\nn = {self.n}"


@dataclass(frozen=True, slots=True)
class BucketAccuracy:
    """Share of a bucket's facts answered, the mean over seeds, with Wilson's interval."""

    value: float
    interval: Interval


def draw(section: Section, styles: Styles) -> Figure | None:
    """Draw both panels; None where no cell is done."""
    if not section.done:
        return None
    note = "Bars: 95 % Wilson intervals over the facts of a bucket; seeds averaged"
    figure = new_figure(2, section, "Accuracy against target distance", note)
    panels = figure.subplots(1, 2, sharey=True)
    _panel(panels[0], section, styles, unknown_only=False)
    _panel(panels[1], section, styles, unknown_only=True)
    panels[0].set_ylabel("facts answered after training, %")
    panels[0].set_ylim(-4, 104)
    shared_legend(figure, section.done, styles)
    return figure


def quantile_buckets(distances: Floats) -> list[Bucket]:
    """Return up to five buckets of nearly equal size; ties make fewer.

    Where a fifth or more share the least distance (known facts, at 0), they are a bucket alone.
    """
    if not len(distances):
        return []
    drawn = np.quantile(distances, np.linspace(0, 1, BUCKETS + 1), method="higher")
    edges = np.unique(drawn)
    if drawn[0] == drawn[1]:
        edges = np.array([drawn[0], *edges])
    sizes = np.bincount(bucket_of(distances, edges), minlength=len(edges) - 1)
    return [
        Bucket(float(low), float(high), int(n))
        for (low, high), n in zip(pairwise(edges), sizes, strict=True)
    ]


def bucket_of(distances: Floats, edges: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return the number of each distance's bucket, `[facts]`."""
    return np.clip(np.searchsorted(edges, distances, side="left") - 1, 0, len(edges) - 2)


def bucket_accuracy(row: Row, edges: Floats, unknown_only: bool) -> list[BucketAccuracy | None]:
    """Return a row's accuracy per bucket; None for a bucket without facts."""
    shares = [_shares(_chosen(cell, unknown_only), edges) for cell in row.cells]
    sizes = np.max([size for _, size in shares], axis=0)
    right = np.mean([correct for correct, _ in shares], axis=0)
    return [
        BucketAccuracy(float(c / n), wilson(float(c), int(n))) if n else None
        for c, n in zip(right, sizes, strict=True)
    ]


def _shares(rows: pd.DataFrame, edges: Floats) -> tuple[Floats, Floats]:
    """Return correct facts and all facts per bucket, each `[buckets]`."""
    places = bucket_of(rows["distance_before"].to_numpy(dtype=np.float64), edges)
    correct = rows["correct_after"].to_numpy(dtype=np.float64)
    right = np.bincount(places, correct, minlength=len(edges) - 1)
    sizes = np.bincount(places, minlength=len(edges) - 1)
    return right.astype(np.float64), sizes.astype(np.float64)


def _chosen(cell: Cell, unknown_only: bool) -> pd.DataFrame:
    rows = cell.rows[np.isfinite(cell.rows["distance_before"])]
    return rows[~rows["correct_before"].astype(bool)] if unknown_only else rows


def _panel(axes: Axes, section: Section, styles: Styles, *, unknown_only: bool) -> None:
    first = _chosen(section.done[0].cells[0], unknown_only)
    buckets = quantile_buckets(first["distance_before"].to_numpy(dtype=np.float64))
    what = "facts the base did not answer" if unknown_only else "all facts"
    axes.set_title(f"{what}, n = {len(first)}", loc="left")
    axes.set_xlabel("semantic distance of the base's answer to the target, 1 - cosine")
    if not buckets:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no such facts", transform=axes.transAxes, ha="center", color="0.4")
        return
    edges = np.array([buckets[0].low, *(bucket.high for bucket in buckets)])
    for index, row in enumerate(section.done):
        offset = _dodge(index, len(section.done))
        _series(axes, row, bucket_accuracy(row, edges, unknown_only), offset, styles)
    axes.set_xticks(range(len(buckets)), [bucket.label for bucket in buckets], fontsize=8)
    axes.set_xlim(-0.6, len(buckets) - 0.4)
    axes.grid(visible=False, axis="x")


def _dodge(index: int, count: int) -> float:
    """Return how far a method's marks are moved aside, so that bars do not cover each other."""
    return 0.0 if count == 1 else (index / (count - 1) - 0.5) * min(0.7, 0.12 * count)


def _series(
    axes: Axes, row: Row, found: list[BucketAccuracy | None], offset: float, styles: Styles
) -> None:
    style = styles[row.label]
    present = [(i, entry) for i, entry in enumerate(found) if entry is not None]
    bars = [error(entry.value, entry.interval) for _, entry in present]
    axes.errorbar(
        [i + offset for i, _ in present],
        [100 * entry.value for _, entry in present],
        yerr=100 * np.array(bars).T,
        color=style.color,
        marker=style.marker,
        linestyle="none",
        markersize=4.5,
        elinewidth=0.9,
    )
