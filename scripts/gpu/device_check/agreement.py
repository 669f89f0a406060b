"""Stage `same`: every adapter on a CPU, and on a GPU in float32 and in bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import runner
from bench.cell.context import CellContext
from bench.models.device import Compute
from bench.progress.base import Silent
from bench.store.store import ResultsStore
from device_check.machine import TableRow, planned

if TYPE_CHECKING:
    from bench.store.records import CellRecord
    from device_check.machine import Check

METHODS = (
    "lora",
    "dora",
    "rslora",
    "pissa",
    "milora",
    "olora",
    "corda[mode=kpm]",
    "corda[mode=ipm]",
    "eva",
    "astra",
    "sc_lora",
    "lora_null[variant=v2]",
    "mica",
    "oplora",
    "corda_pp",
    "lora_ga",
    "lora_one",
    "keep_lora",
    "kasa",
    "osf",
    "full",
    "lora+freeze",
    "lora+filter[centred=true]",
    "lora+reweight[refresh=2]",
)


def same(check: Check) -> None:
    """Run the same cells of a small model everywhere: what must agree stands side by side."""
    folder, rows = str(check.folder("tiny")), list[TableRow]()
    places = (("cpu", "float32"), (check.device, "float32"), (check.device, check.dtype))
    for device, dtype in dict.fromkeys(places):
        options, cells = planned(
            check,
            folder,
            METHODS,
            device=device,
            dtype=dtype,
            lr="1e-3",
            limit=16,
            epochs=8,
            out=check.out / f"same-{device.replace(':', '')}-{dtype}",
        )
        context = CellContext(options, Compute(device, options.dtype), print)
        for cell in cells:
            result = runner.run_cell(cell, context, Silent())
            record = result.record
            ResultsStore(options.out).write(record, result.rows)
            check.keep(record.traceback)
            rows.append({"method": cell.spec.method, "on": f"{device} {dtype}"} | _found(record))
    check.tell("The same cells", sorted(rows, key=lambda row: str(row["method"])))


def _found(record: CellRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "status": record.status.value,
        "moved at init": record.init_difference,
    }
    if record.curve:
        row |= {"first loss": record.curve[0].loss, "last loss": record.curve[-1].loss}
    if record.metrics:
        row |= {"nll": record.metrics.nll_after}
    row |= {found.task: found.forgetting for found in record.forgetting}
    return row | {"reason": record.reason[:150]}
