"""Pairs of results folders that differ in known ways."""

from __future__ import annotations

from bench.report.changes.build import changes_between
from tests.bench.report_cells import fill, make_cell, metrics_of

SEEDS = (0, 1, 2)


def cells_of(method, accuracy=0.9, seeds=SEEDS, lost=0.05, drift=0.1, spec=None, **changes):
    """Return a cell of a method for each seed."""
    return [
        make_cell(
            accuracy=accuracy,
            lost=lost,
            drift=drift,
            spec={"method": method, "seed": seed, **(spec or {})},
            **changes,
        )
        for seed in seeds
    ]


def two_folders(tmp_path, a, b):
    """Write the cells of folders A and B; return their paths."""
    return fill(tmp_path / "a", a), fill(tmp_path / "b", b)


def compared(tmp_path, a, b):
    """Return what changed between folders of these cells."""
    return changes_between(*two_folders(tmp_path, a, b))


def answered(cell, fact, **values):
    """Return a cell of which one fact has other values."""
    record, rows = cell
    rows = [*rows[:fact], rows[fact].model_copy(update=values), *rows[fact + 1 :]]
    return record.model_copy(update={"metrics": metrics_of(rows)}), rows
