"""What was learned of each kind of held-out problem: a skill's levels of difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics import Metric, metric_table
from bench.report.leaderboard.board import Cell, Row, Section
from bench.report.statistics.intervals import SHARE, Estimate, Sample, estimates

BEFORE, AFTER = "reliability_before", "reliability"

MOST = 12
"""A table with a column for each of more relations, such as a hundred labels, tells nothing."""


@dataclass(frozen=True)
class ByRelation:
    """The relations of a section's held-out problems.

    Attributes:
        section: The section.
        names: The relations, sorted by name.
        of: The place in `names` of each problem's relation, `[problems]` by their ids.
    """

    section: Section
    names: tuple[str, ...]
    of: NDArray[np.intp]

    def size(self, name: str) -> int:
        """Return how many problems there are of a relation."""
        return int((self.of == self.names.index(name)).sum())

    @cached_property
    def before(self) -> list[Estimate | None]:
        """What the base answered of each relation, after demonstrations; it has no seed."""
        return self._estimates(self.section.done[0].cells[:1], BEFORE)

    def after(self, row: Row) -> list[Estimate | None]:
        """Return what a row's models answer of each relation on the trained prompt."""
        return self._estimates(row.cells, AFTER)

    def _estimates(self, cells: Sequence[Cell], name: str) -> list[Estimate | None]:
        metric = metric_table()[name]
        return estimates([self._sample(cells, metric, place) for place in range(len(self.names))])

    def _sample(self, cells: Sequence[Cell], metric: Metric, place: int) -> Sample:
        own = [cell.facts.numbers.columns[metric.column][self.of == place] for cell in cells]
        there = [values[~np.isnan(values)] for values in own]
        filled = [values for values in there if len(values)]
        return Sample([float(values.mean()) for values in filled], filled, SHARE)


def by_relation(section: Section) -> ByRelation | None:
    """Return the relations of a section; None for facts, and for problems of one kind or many.

    Of facts the pictures by distance say more: they are trained, so no relation is a difficulty.
    """
    if not section.done or not section.held_out:
        return None
    found = section.done[0].cells[0].facts.some(["relation"])["relation"]
    names, of = np.unique(np.array(found, dtype=object), return_inverse=True)
    if not 2 <= len(names) <= MOST:
        return None
    return ByRelation(section, tuple(map(str, names)), of)
