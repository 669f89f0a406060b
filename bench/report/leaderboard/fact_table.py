"""Fact rows of many cells: their numbers in one block, their texts only where they are read.

A frame per cell takes ten times as long as its file; of most cells the report needs numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.evaluation.metrics import Metric, fact_columns
from bench.evaluation.metrics.labels import COLUMNS, SetMetric
from bench.report.statistics.intervals import Floats
from bench.store.knowledge import KnowledgeCategory

Read = Callable[[Sequence[str] | None], pa.Table]
Columns = Mapping[str, Sequence[Any]]
"""Values by column, in the order of the facts' ids."""

_KINDS = tuple(KnowledgeCategory)
_NAMES = pa.array([kind.value for kind in _KINDS])


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is read of every cell, in the order of the facts' ids.

    Attributes:
        order: The place in the file of each row, `[facts]`.
        columns: By column, `[facts]`; NaN where there is no value.
        knowledge: The place in `KnowledgeCategory` of what the base knew, `[facts]`.
        gaps: The columns in which some fact has no value.
    """

    order: NDArray[np.intp]
    columns: Mapping[str, Floats]
    knowledge: Floats
    gaps: frozenset[str]


@dataclass(frozen=True)
class FactTable:
    """The fact rows of a cell, in the order of the facts' ids.

    Attributes:
        read: Reads some columns of `FactRow`, or without names all, in the order of the file.
        given: Its numbers, where they were read together with those of other cells; else they are
            read when they are asked for.
    """

    read: Read
    given: Numbers | None = None

    def per_fact(self, metric: Metric) -> Floats:
        """Return a metric's values `[facts that count]`, those that are there, in their order.

        Of a metric over all texts at once, these are what each subject adds, `[subjects]`.
        """
        if isinstance(metric, SetMetric):
            return metric.per_subject(self._labelled)
        values, counts = self.numbers.columns[metric.column], self.counted(metric)
        return values if counts is None else values[counts]

    def counted(self, metric: Metric) -> NDArray[np.bool_] | None:
        """Return which facts count for a metric, `[facts]`; None for all."""
        if not metric.is_mean:
            return None
        counts = self._known(metric.over)
        if metric.column in self.numbers.gaps:
            there = ~np.isnan(self.numbers.columns[metric.column])
            counts = there if counts is None else there & counts
        return counts

    def _known(self, over: tuple[KnowledgeCategory, ...]) -> NDArray[np.bool_] | None:
        """Return which facts the base knew so, `[facts]`; None for all."""
        if over not in self._masks:
            mask = np.logical_or.reduce(
                [self.numbers.knowledge == _KINDS.index(kind) for kind in over]
            )
            self._masks[over] = None if mask.all() else mask
        return self._masks[over]

    @cached_property
    def _masks(self) -> dict[tuple[KnowledgeCategory, ...], NDArray[np.bool_] | None]:
        return {}

    @cached_property
    def _labelled(self) -> Columns:
        """What metrics over all texts are computed from."""
        return self.some(COLUMNS)

    @cached_property
    def numbers(self) -> Numbers:
        """What is read of every cell."""
        return self.given or _numbers([self.read(read_columns())])[0]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All columns of `FactRow`.

        Raises:
            UsageError: The file is damaged.
        """
        rows: pd.DataFrame = self.read(None).take(self.numbers.order).to_pandas(use_threads=False)
        return rows

    def some(self, columns: Sequence[str]) -> Columns:
        """Return some columns as lists, in a fraction of the time that a frame of all takes.

        Raises:
            UsageError: The file is damaged.
        """
        return self.read(columns).take(self.numbers.order).to_pydict()


def read_columns() -> tuple[str, ...]:
    """Return the columns that are read of every cell: those that metrics average."""
    return ("fact_id", "knowledge", *fact_columns())


def fact_tables(tables: Sequence[pa.Table], reads: Sequence[Read]) -> list[FactTable]:
    """Return the rows of each cell; numbers of all are converted together.

    Args:
        tables: The columns `read_columns()` of each.
        reads: Read any columns of each.
    """
    return [FactTable(*pair) for pair in zip(reads, _numbers(tables), strict=True)]


def _numbers(tables: Sequence[pa.Table]) -> list[Numbers]:
    if not tables:
        return []
    whole = pa.concat_tables(tables)
    sizes = [len(table) for table in tables]
    ends = np.cumsum(sizes)
    cells = np.repeat(np.arange(len(tables)), sizes)
    order = _by_id(whole["fact_id"], cells)
    knowledge = _floats(pc.index_in(whole["knowledge"], value_set=_NAMES))[order]
    columns = {name: _floats(whole[name])[order] for name in fact_columns()}
    gaps = {
        name: np.bincount(cells[np.isnan(values)], minlength=len(tables)).tolist()
        for name, values in columns.items()
    }
    parts = enumerate(zip((ends - sizes).tolist(), ends.tolist(), strict=True))
    return [
        Numbers(
            order=order[start:end] - start,
            columns={name: values[start:end] for name, values in columns.items()},
            knowledge=knowledge[start:end],
            gaps=frozenset(name for name in columns if gaps[name][cell]),
        )
        for cell, (start, end) in parts
    ]


def _by_id(ids: pa.ChunkedArray, cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the order that sorts rows by cell and, within it, by the fact's id."""
    coded = ids.combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    places = np.argsort(np.argsort(np.array(coded.dictionary.to_pylist(), dtype=object)))
    return np.lexsort((places[coded.indices.to_numpy(zero_copy_only=False)], cells))


def _floats(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.cast(pa.float64()).to_numpy()
    return values
