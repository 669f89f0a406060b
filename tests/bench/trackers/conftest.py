"""A results folder of two methods, two seeds and a cell that failed."""

from __future__ import annotations

import pytest

from bench.config.types import pieces
from bench.store.store import ResultsStore
from bench.trackers.log import tracker_log
from bench.trackers.numbers import FACT_COLUMNS
from bench.trackers.registry import destinations
from bench.trackers.tracked_run import tracked_run
from tests.bench.report_cells import failed_cell, fill, make_cell


@pytest.fixture
def results(tmp_path):
    cells = [
        make_cell(
            n=24,
            accuracy=0.9 - 0.1 * seed,
            drift=0.1 + 0.05 * seed,
            spec={"method": method, "seed": seed},
            provenance={"finished": "2026-01-02T03:04:05+00:00", "device": "cpu"},
        )
        for method in ("lora", "pissa")
        for seed in (0, 1)
    ]
    return fill(tmp_path / "results", [*cells, failed_cell(method="dora", facts=24)])


@pytest.fixture
def log(results):
    """Logs all cells of the results folder as the command does; returns what it told."""

    def run(to: str) -> list[str]:
        told = []
        store = ResultsStore(results)
        with tracker_log(destinations(pieces(to)), store, told.append) as opened:
            opened.log(record.cell_id for record in store.records().records)
        return [*told, *opened.told]

    return run


@pytest.fixture
def expected(results):
    """What is to be logged, in the order of the cells' ids."""

    def read():
        store = ResultsStore(results)
        return [
            tracked_run(record, store.fact_table(record.cell_id, FACT_COLUMNS))
            for record in store.records().records
        ]

    return read
