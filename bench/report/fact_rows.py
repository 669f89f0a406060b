"""Fact rows of many cells: their numbers in one block, their texts only where they are read.

A frame per cell takes ten times as long as its file; of most cells the report needs numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.records import Knowledge
from bench.report.statistics import Floats

NUMBERS = (
    *("correct_before", "correct_after", "correct_plain", "f1_after", "generality", "locality"),
    *("nll_before", "nll_after", "distance_before", "distance_after"),
    *("updated", "old_before", "old_after", "prefers_new_after"),
)
"""Columns of `FactRow` that metrics average."""

COLUMNS = ("fact_id", "knowledge", *NUMBERS)
"""Columns that are read of every cell."""

Read = Callable[[Sequence[str] | None], pa.Table]

_KINDS = pa.array([kind.value for kind in Knowledge])


@dataclass(frozen=True)
class FactRows:
    """The fact rows of a cell, in the order of the facts' ids.

    Attributes:
        read: Reads some columns of `FactRow`, or without names all, in the order of the file.
        order: The place in the file of each row, `[facts]`.
        numbers: By column, `[facts]`; NaN where there is no value.
        knowledge: The place in `Knowledge` of what the base knew, `[facts]`.
    """

    read: Read
    order: NDArray[np.intp]
    numbers: Mapping[str, Floats]
    knowledge: Floats

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All columns of `FactRow`.

        Raises:
            UsageError: The file is damaged.
        """
        return self.some(None)

    def some(self, columns: Sequence[str] | None) -> pd.DataFrame:
        """Return some columns, which takes a part of the time of all, or all.

        Raises:
            UsageError: The file is damaged.
        """
        rows: pd.DataFrame = self.read(columns).take(self.order).to_pandas(use_threads=False)
        return rows


def fact_rows(tables: Sequence[pa.Table], reads: Sequence[Read]) -> list[FactRows]:
    """Return the rows of each cell; numbers of all are converted together.

    Args:
        tables: The columns `COLUMNS` of each.
        reads: Read any columns of each.
    """
    if not tables:
        return []
    whole = pa.concat_tables(tables)
    sizes = [len(table) for table in tables]
    ends = np.cumsum(sizes)
    order = _by_id(whole["fact_id"], np.repeat(np.arange(len(tables)), sizes))
    knowledge = _floats(pc.index_in(whole["knowledge"], value_set=_KINDS))[order]
    numbers = {name: _floats(whole[name])[order] for name in NUMBERS}
    parts = zip(reads, (ends - sizes).tolist(), ends.tolist(), strict=True)
    return [
        FactRows(
            read=read,
            order=order[start:end] - start,
            numbers={name: values[start:end] for name, values in numbers.items()},
            knowledge=knowledge[start:end],
        )
        for read, start, end in parts
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
