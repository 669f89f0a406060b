"""Pack the cells of results folders into two Parquet files each, to be committed.

    python scripts/pack_results.py results/example results/example/semantics

In each folder, `cells/*.json` becomes `cells.parquet` and `facts/*.parquet` becomes
`facts.parquet`. Cells that were packed before stay, unless a loose cell has the same id. Loose
files are removed only after every packed cell was read back and found equal. `report`, `show` and
`recommend` read both forms. The trainings of a study become `trainings.parquet`.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.store.formats import arrow_table
from bench.store.packed import CELLS, FACTS, PackedCells
from bench.store.store import ResultsStore
from bench.studies.interference.store import TrainingStore
from bench.studies.order.store import OrderStore
from bench.studies.sequence.store import SequenceStore
from tasks.errors import UsageError

STUDIES = {"interference": TrainingStore, "order": OrderStore, "sequence": SequenceStore}
"""Studies with trainings of their own, by the name of their folder."""


def pack(folder: Path) -> int:
    """Pack a results folder and return how many cells, or trainings of a study, it holds.

    Raises:
        SystemExit: It has no cells, or files that cannot be read: nothing is removed.
    """
    if (folder / "trainings").is_dir():
        if folder.name not in STUDIES:
            raise SystemExit(f"'{folder}': trainings are of a study: {', '.join(STUDIES)}")
        return STUDIES[folder.name](folder).pack()
    store = ResultsStore(folder)
    try:
        found = store.records()
    except UsageError as error:
        raise SystemExit(str(error)) from None
    if found.problems or not found.records:
        raise SystemExit("\n".join(found.problems) or f"no cells in '{folder}'")
    ids = [record.cell_id for record in found.records]
    records = {cell_id: store.content(cell_id) for cell_id in ids}
    facts = {cell_id: store.fact_table(cell_id) for cell_id in ids}
    write_packed(folder, records, facts)

    packed = PackedCells(folder)
    if packed.records != records or any(packed.fact_table(i) != facts[i] for i in ids):
        raise SystemExit(f"'{folder}': what was packed is not what was there; nothing is removed")
    for cell_id in ids:
        (store.cells / f"{cell_id}.json").unlink(missing_ok=True)
        (store.facts / f"{cell_id}.parquet").unlink(missing_ok=True)
    for loose in (store.cells, store.facts):
        with suppress(OSError):  # something else lies there, such as a damaged cell set aside
            loose.rmdir()
    return len(ids)


def write_packed(folder: Path, records: dict[str, bytes], facts: dict[str, pa.Table]) -> None:
    """Write the two files; what was packed before is replaced.

    Args:
        folder: The results folder.
        records: By cell id the JSON of the record.
        facts: By cell id its fact rows.
    """
    ids = sorted(records)
    texts = [records[cell_id].decode() for cell_id in ids]
    rows = [
        facts[cell_id].append_column("cell_id", pa.array([cell_id] * len(facts[cell_id])))
        for cell_id in ids
        if len(facts[cell_id])
    ]
    no_rows = arrow_table([]).append_column("cell_id", pa.array([], pa.string()))
    # Facts first: a record that is there has its rows.
    _write(folder / FACTS, pa.concat_tables([no_rows, *rows], promote_options="default"))
    _write(folder / CELLS, pa.table({"cell_id": ids, "record": texts}))


def _write(path: Path, table: pa.Table) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, staged, compression="zstd", compression_level=19, store_schema=False)
    os.replace(staged, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for given in parser.parse_args().folders:
        print(f"{given}: {pack(given)} packed")
