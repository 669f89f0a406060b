"""Pack the cells of results folders into two Parquet files each, to be committed.

    python scripts/pack_results.py results/example results/example/semantics

Of each folder `cells/*.json` becomes `cells.parquet` and `facts/*.parquet` becomes
`facts.parquet`; what was packed before stays, unless there is a loose cell of the same id. The
loose files are removed once every packed cell was read back and is equal. `report`, `show` and
`recommend` read both forms.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench.store.packed import PackedCells, write_packed
from bench.store.store import ResultsStore


def pack(folder: Path) -> int:
    """Pack a results folder and return how many cells it holds.

    Raises:
        SystemExit: It has no cells, or files that cannot be read: nothing is removed.
    """
    store = ResultsStore(folder)
    found = store.records()
    if found.problems or not found.records:
        raise SystemExit("\n".join(found.problems) or f"no cells in '{folder}'")
    ids = [record.cell_id for record in found.records]
    records = {cell_id: store.content(cell_id) for cell_id in ids}
    facts = {cell_id: store.fact_table(cell_id) for cell_id in ids}
    write_packed(folder, records, facts)

    packed = PackedCells(folder)
    if packed.records != records or any(packed.fact_table(i) != facts[i] for i in ids):
        raise SystemExit(f"'{folder}': what was packed is not what was there; nothing is removed")
    for loose in (store.cells, store.facts):
        shutil.rmtree(loose, ignore_errors=True)
    return len(ids)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for given in parser.parse_args().folders:
        print(f"{given}: {pack(given)} cells")
