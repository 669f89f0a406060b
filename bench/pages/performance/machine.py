"""The measuring machine, profiles of what takes its time, and stored measurements."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from pydantic import TypeAdapter, ValidationError
from torch.profiler import ProfilerActivity, profile

from bench.config.types import DType
from bench.models.device import Compute
from bench.models.provenance import provenance
from bench.pages.performance.clock import Stamps
from bench.pages.performance.entries import Outcome
from tasks.errors import UsageError

SHAPES = ((512, 576, 1536), (2048, 2048, 2048))
"""Tokens, d_in and d_out of an adapted layer of a small model, and of a large square product."""

GPU_SHAPES = (*SHAPES, (8192, 8192, 8192))
"""The same on a GPU, which a smaller product does not fill."""

SLOW = 0.5
"""Below this share of float32's speed a dtype is emulated, and nobody would train in it."""

ENOUGH = 0.5
"""Seconds for which a product is repeated; if one takes longer, no larger one is tried."""


CPU = "cpu"

LONGEST_OPERATIONS = 6
"""How many operations a profile names."""


@dataclass(frozen=True)
class Machine:
    """The machine that a table was measured on, without its host name.

    Attributes:
        processor: Model, cores and threads in use; of a GPU its model.
        memory: Bytes; of a GPU its own.
        versions: Versions of Python and of the relevant packages.
        commit: This project's commit, and whether files differed from it.
        gemm: Floating point operations per second of matrix products, the best of `SHAPES`.
        device: The kind of device, `cpu` or `cuda`.
    """

    processor: str
    memory: int
    versions: dict[str, str]
    commit: str
    gemm: dict[DType, float]
    device: str = CPU

    def has_units(self, dtype: DType) -> bool:
        """Whether products in `dtype` are about as fast as in float32, or faster."""
        return self.gemm[dtype] >= SLOW * self.gemm[DType.FLOAT32]


def this_machine(device: str = CPU) -> Machine:
    """Describe this machine, or its GPU, and measure the speed of its matrix products."""
    found = provenance(Compute(device, DType.FLOAT32))
    on_gpu = device != CPU
    dtypes: tuple[DType, ...] = (DType.FLOAT32, DType.BFLOAT16)
    memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else _memory()
    threads = f", {found['threads']} thread{'' if found['threads'] == 1 else 's'}"
    return Machine(
        processor=found["device_name"] + ("" if on_gpu else threads),
        memory=memory,
        versions={"python": found["python"], **found["packages"]},
        commit=f"{found['git_commit'][:12]}{' and changes' if found['git_dirty'] else ''}",
        gemm={dtype: best_speed(dtype, device) for dtype in dtypes},
        device=torch.device(device).type,
    )


def _memory() -> int:
    total: int = psutil.virtual_memory().total
    return total


def best_speed(dtype: DType, device: str = CPU) -> float:
    """Return the best operations per second over products of `SHAPES`."""
    best = 0.0
    for rows, inner, columns in SHAPES if device == CPU else GPU_SHAPES:
        best = max(best, gemm_speed(dtype, rows, inner, columns, device))
        if 2 * rows * inner * columns / best > ENOUGH:
            break
    return best


def gemm_speed(dtype: DType, rows: int, inner: int, columns: int, device: str = CPU) -> float:
    """Return the best operations per second of `[rows, inner] @ [inner, columns]`.

    Args:
        dtype: The number format of both matrices.
        rows: Rows of the left matrix.
        inner: Columns of the left matrix and rows of the right one.
        columns: Columns of the right matrix.
        device: Where they are multiplied.
    """
    kind = {"dtype": getattr(torch, dtype), "device": device}
    left, right = torch.randn(rows, inner, **kind), torch.randn(inner, columns, **kind)
    best, ends = float("inf"), time.perf_counter() + ENOUGH
    while time.perf_counter() < ends or best == float("inf"):
        stamps = Stamps(device)
        stamps.stamp()
        left @ right
        stamps.stamp()
        best = min(best, stamps.gap())
    return 2 * rows * inner * columns / best


def watching(device: str = CPU) -> profile:
    """Return a profiler of this thread's operations, or a GPU's; start and stop it yourself."""
    on_gpu = torch.device(device).type == "cuda"
    return profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU])


def shares(seen: profile, device: str = CPU) -> str:
    """Name the operations that took longest, each with its share of the total time."""
    kind = "self_device_time_total" if device != CPU else "self_cpu_time_total"
    spent = {event.key: float(getattr(event, kind)) for event in seen.key_averages()}
    total = sum(spent.values())
    longest = sorted(spent, key=lambda key: spent[key], reverse=True)[:LONGEST_OPERATIONS]
    return ", ".join(f"{key} {spent[key] / total:.0%}" for key in longest if total)


def shares_on_one_core(run: Callable[[], object], device: str = CPU) -> str:
    """Run something on one core, so that this thread sees every operation; name the longest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with watching(device) as seen:
            run()
    finally:
        torch.set_num_threads(threads)
    return shares(seen, device)


@dataclass(frozen=True)
class Measured:
    """What an entry found, and how it was measured.

    Attributes:
        command: The command as it was typed.
        machine: The machine that measured.
        seconds: How long the entry took.
        outcome: What it found.
    """

    command: str
    machine: Machine
    seconds: float
    outcome: Outcome


Kept = dict[str, dict[str, Measured]]
"""Measurements by the kind of device and then by entry."""

_KEPT = TypeAdapter(Kept)


def read_kept(path: Path) -> Kept:
    """Return stored measurements; an empty mapping if there is no file.

    Raises:
        UsageError: The file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return _KEPT.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"'{path}' does not hold measurements: {where}: {first['msg']}") from None


def write_kept(path: Path, measured: Kept) -> None:
    """Store measurements for later runs."""
    path.write_bytes(_KEPT.dump_json(measured, indent=1) + b"\n")
