"""The measuring machine, profiles of what takes its time, and stored measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from pydantic import TypeAdapter, ValidationError
from torch.profiler import ProfilerActivity, profile

from bench.config.types import DType
from bench.models.device import Compute
from bench.models.provenance import provenance
from bench.pages.performance.entries import Outcome
from tasks.errors import UsageError

SHAPES = ((512, 576, 1536), (2048, 2048, 2048))
"""Tokens, d_in and d_out of an adapted layer of a small model, and of a large square product."""

SLOW = 0.5
"""Below this share of float32's speed a dtype is emulated, and nobody would train in it."""

ENOUGH = 0.5
"""Seconds for which a product is repeated; if one takes longer, no larger one is tried."""


LONGEST_OPERATIONS = 6
"""How many operations a profile names."""


@dataclass(frozen=True)
class Machine:
    """The machine that a table was measured on, without its host name.

    Attributes:
        processor: Model, cores and threads in use.
        memory: Bytes.
        versions: Versions of Python and of the relevant packages.
        commit: This project's commit, and whether files differed from it.
        gemm: Floating point operations per second of matrix products, the best of `SHAPES`.
    """

    processor: str
    memory: int
    versions: dict[str, str]
    commit: str
    gemm: dict[DType, float]

    def has_units(self, dtype: DType) -> bool:
        """Whether products in `dtype` are about as fast as in float32, or faster."""
        return self.gemm[dtype] >= SLOW * self.gemm[DType.FLOAT32]


def this_machine() -> Machine:
    """Describe this machine and measure the speed of its matrix products."""
    found = provenance(Compute("cpu", DType.FLOAT32))
    dtypes: tuple[DType, ...] = (DType.FLOAT32, DType.BFLOAT16)
    return Machine(
        processor=f"{found['device_name']}, {found['threads']} threads",
        memory=psutil.virtual_memory().total,
        versions={"python": found["python"], **found["packages"]},
        commit=f"{found['git_commit'][:12]}{' and changes' if found['git_dirty'] else ''}",
        gemm={dtype: best_speed(dtype) for dtype in dtypes},
    )


def best_speed(dtype: DType) -> float:
    """Return the best operations per second over products of `SHAPES`."""
    best = 0.0
    for rows, inner, columns in SHAPES:
        best = max(best, gemm_speed(dtype, rows, inner, columns))
        if 2 * rows * inner * columns / best > ENOUGH:
            break
    return best


def gemm_speed(dtype: DType, rows: int, inner: int, columns: int) -> float:
    """Return the best operations per second of `[rows, inner] @ [inner, columns]`."""
    kind = getattr(torch, dtype)
    left, right = torch.randn(rows, inner, dtype=kind), torch.randn(inner, columns, dtype=kind)
    best, ends = float("inf"), time.perf_counter() + ENOUGH
    while time.perf_counter() < ends or best == float("inf"):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best


def watching() -> profile:
    """Return a profiler of this thread's operations; start and stop it yourself."""
    return profile(activities=[ProfilerActivity.CPU])


def shares(seen: profile) -> str:
    """Name the operations that took longest, each with its share of the total time."""
    spent = {event.key: float(event.self_cpu_time_total) for event in seen.key_averages()}
    longest = sorted(spent, key=lambda key: spent[key], reverse=True)[:LONGEST_OPERATIONS]
    return ", ".join(f"{key} {spent[key] / sum(spent.values()):.0%}" for key in longest)


def shares_on_one_core(run: Callable[[], object]) -> str:
    """Run something on one core, so that this thread sees every operation; name the longest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with watching() as seen:
            run()
    finally:
        torch.set_num_threads(threads)
    return shares(seen)


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


_KEPT = TypeAdapter(dict[str, Measured])


def read_kept(path: Path) -> dict[str, Measured]:
    """Return stored measurements by entry; an empty mapping if there is no file.

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


def write_kept(path: Path, measured: Mapping[str, Measured]) -> None:
    """Store measurements for later runs."""
    path.write_bytes(_KEPT.dump_json(dict(measured), indent=1) + b"\n")
