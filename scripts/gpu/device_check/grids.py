"""Stages `grid` and `stacked`: grids by the command line, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_check.machine import TableRow

if TYPE_CHECKING:
    from device_check.machine import Check

METHODS = "lora,dora,pissa,corda[mode=kpm],corda[mode=ipm],lora+freeze,full"
STACKED = ("lora", "rslora", "dora", "pissa")
SEEDS = 8
"""Of each stacked method: 32 cells."""


def grid(check: Check) -> None:
    """Run recipes of every kind: seconds and memory of each phase; one worker beside four."""
    size = _options(**_size(check), forgetting_limit=50)
    runs = {"all": _options(methods=METHODS, workers=1)}
    for workers in (1, 4):
        one_by_one = _options(methods="lora", seeds="0-7", workers=workers, stack=1)
        runs[f"{workers}-workers"] = one_by_one
    walls = list[TableRow]()
    for name, told in runs.items():
        out = check.out / f"grid-{name}"
        walls.append({"run": name} | _run(check, out, [*size, *told]))
        rows = [_phases(cell) for cell in _cells(out)]
        check.tell(f"Cells, {check.shape}, {name}", rows[: 7 if name == "all" else 2])
    check.tell("Whole runs", walls)


def stacked(check: Check) -> None:
    """Run 32 cells stacked, and the same one after the other: time, and how far losses differ."""
    count = len(STACKED) * SEEDS
    told = _options(
        methods=",".join(STACKED),
        seeds=f"0-{SEEDS - 1}",
        **_size(check),
        forgetting="drift",
        forgetting_limit=8,
        workers=1,
    )
    rows, curves = list[dict[str, Any]](), list[dict[str, Any]]()
    for stack in (count, 1):
        out = check.out / f"grid-stack-{stack}"
        row = {"stack": stack} | _run(check, out, [*told, *_options(stack=stack)])
        found = _cells(out)
        done = [cell for cell in found if cell["status"] == "done"]
        curves.append({cell["cell_id"]: cell["curve"] for cell in done})
        rows.append(row | {"done": len(done), "s a cell": row["wall s"] / count})
    together, alone = curves
    apart = [_apart(together[name], alone[name]) for name in together if name in alone]
    rows[0] |= {"times faster": rows[1]["wall s"] / rows[0]["wall s"]}
    rows[0] |= {"losses apart, relative": max(apart, default=float("nan"))}
    check.tell(f"{count} cells, {check.shape}", rows)
    lacking = [f"--stack {row['stack']}" for row in rows if row["done"] < count]
    if lacking:
        raise RuntimeError(f"not all of {count} cells are done with {', '.join(lacking)}")


def _size(check: Check) -> dict[str, int]:
    """Return the facts and epochs of a cell: on a CPU few, where stages are only tried."""
    return {"limit": 32, "epochs": 4} if check.on_gpu else {"limit": 4, "epochs": 2}


def _options(**values: object) -> list[str]:
    named = ((f"--{name.replace('_', '-')}", str(value)) for name, value in values.items())
    return [word for pair in named for word in pair]


def _run(check: Check, out: Path, told: Sequence[str]) -> dict[str, Any]:
    """Run a grid in a process of its own.

    Raises:
        RuntimeError: The command failed; `grid.log` has its output.
    """
    folder = check.folder(check.shape)
    where = _options(models=folder, device=check.device.split(":")[0], out=out)
    started = time.monotonic()
    with (check.out / "grid.log").open("a", encoding="utf-8") as log:
        command = [sys.executable, "-m", "bench", "run", *where, *told]
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if code not in (0, 1):  # 1: some cells failed, which their records tell
        raise RuntimeError(f"'bench run {' '.join(told)}' ended with {code}: see grid.log")
    return {"wall s": time.monotonic() - started, "exit": code}


def _cells(out: Path) -> list[dict[str, Any]]:
    paths = sorted((out / "cells").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _phases(cell: Mapping[str, Any]) -> dict[str, object]:
    """Return the seconds and the memory of each phase of a record."""
    row = {
        "method": cell["spec"]["method"],
        "status": cell["status"],
        "reason": cell["reason"][:99],
    }
    for name, phase in cell["phases"].items():
        row |= {f"{name} s": phase["seconds_cold"], f"{name} GiB": phase["peak_bytes"] / 2**30}
    return row


def _apart(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> float:
    """Return the largest relative difference of the losses of two curves."""
    pairs = zip(one, other, strict=True)
    return max(float(abs(a["loss"] - b["loss"]) / max(abs(b["loss"]), 1e-6)) for a, b in pairs)
