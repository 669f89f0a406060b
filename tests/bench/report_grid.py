"""A results folder as a large grid leaves it: many finished cells, written in bulk.

Cells are as large as real ones: 64 facts, 200 items of a forgetting task, drift, notes of layers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.store.formats import PARQUET, arrow_table
from tests.bench.report_cells import (
    cell_id_of,
    make_cell,
    make_drift,
    make_forgetting,
    make_spec,
    metrics_of,
)

ITEMS = 200
LAYERS = 30


@dataclass(frozen=True)
class GridShape:
    """How many of each axis; their product is the number of cells."""

    models: int
    tasks: int
    methods: int
    seeds: int

    @property
    def cells(self) -> int:
        return self.models * self.tasks * self.methods * self.seeds


def write_grid(folder: Path, shape: GridShape, variants: int = 8) -> Path:
    """Write every cell of a grid as done.

    Each method and seed has answers of its own, drawn from `variants` tables per method's level;
    facts of different tasks have different ids and questions.
    """
    (folder / "cells").mkdir(parents=True)
    (folder / "facts").mkdir()
    tables = [_variant(number / max(variants - 1, 1), number) for number in range(variants)]
    for task in range(shape.tasks):
        named = [(record, _of_task(table, f"task-{task:02d}")) for record, table in tables]
        _write_task(folder, shape, f"task-{task:02d}", named)
    return folder


def _write_task(folder: Path, shape: GridShape, task: str, variants: list) -> None:
    stored = [(record, _parquet(table)) for record, table in variants]
    for model, method, seed in product(
        range(shape.models), range(shape.methods), range(shape.seeds)
    ):
        record, parquet = stored[(method + 3 * seed + model) % len(stored)]
        spec = make_spec(
            model=f"model-{model:02d}",
            task=task,
            facts_digest=f"{task:0<64}",
            method=f"lora[r={method + 1}]" if method else "lora",
            seed=seed,
        )
        cell_id = cell_id_of(spec)
        content = {**record, "cell_id": cell_id, "spec": spec.model_dump()}
        (folder / "cells" / f"{cell_id}.json").write_text(json.dumps(content, indent=1))
        (folder / "facts" / f"{cell_id}.parquet").write_bytes(parquet)


def _variant(level: float, seed: int) -> tuple[dict, pa.Table]:
    """Return one outcome of training, its record as JSON and its fact rows."""
    record, rows = make_cell(
        accuracy=0.5 + 0.45 * level,
        spec={"seed": seed},
        forgetting=[
            make_forgetting(lost=0.02 * (1 + seed), seed=seed, n=ITEMS),
            make_drift(seed=seed),
        ],
        notes={"layer_deviation": list(np.linspace(0.9, 0.3, LAYERS)), "layer_count": LAYERS},
        provenance={"git": "0" * 40, "packages": {f"package-{i}": "1.2.3" for i in range(12)}},
    )
    assert record.metrics == metrics_of(rows)
    order = np.random.default_rng(3).permutation(len(rows))  # Files are not sorted by fact id.
    return record.model_dump(mode="json"), arrow_table(rows).take(order)


def _of_task(table: pa.Table, task: str) -> pa.Table:
    for name in ("fact_id", "question"):
        texts = [f"{task}: {text}" for text in table[name].to_pylist()]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(texts))
    return table


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **PARQUET)
    return sink.getvalue().to_pybytes()
