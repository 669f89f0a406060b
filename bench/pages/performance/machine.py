"""The machine that measures, what takes its time, and what it measured in earlier runs."""

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
"""Tokens, d_in, d_out: of an adapted layer of a small model, and of a large square product."""

SLOW = 0.5
"""Below this part of float32's speed a dtype is emulated: nobody would train in it."""

ENOUGH = 0.5
"""Seconds for which a product is repeated; where one takes longer, no larger one is tried."""


LONGEST_OPERATIONS = 6
"""Operations that a profile names."""


@dataclass(frozen=True)
class Machine:
    """What a table was measured on; not its name.

    Attributes:
        processor: Model, cores and threads in use.
        memory: Bytes.
        versions: Of Python and of the packages that count.
        commit: Of this project, and whether files differed from it.
        gemm: Floating point operations a second that products reach, the best of `SHAPES`.
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
    """Describe and measure the machine."""
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
    """Return the operations a second that products of `SHAPES` reach, the best of them."""
    best = 0.0
    for rows, inner, columns in SHAPES:
        best = max(best, gemm_speed(dtype, rows, inner, columns))
        if 2 * rows * inner * columns / best > ENOUGH:
            break
    return best


def gemm_speed(dtype: DType, rows: int, inner: int, columns: int) -> float:
    """Return the operations a second of `[rows, inner] @ [inner, columns]`, the best pass."""
    kind = getattr(torch, dtype)
    left, right = torch.randn(rows, inner, dtype=kind), torch.randn(inner, columns, dtype=kind)
    best, ends = float("inf"), time.perf_counter() + ENOUGH
    while time.perf_counter() < ends or best == float("inf"):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best


def watching() -> profile:
    """Return a profiler of this thread's operations, to be started and stopped."""
    return profile(activities=[ProfilerActivity.CPU])


def shares(seen: profile) -> str:
    """Name the operations that took longest by themselves, each with its share of all."""
    spent = {event.key: float(event.self_cpu_time_total) for event in seen.key_averages()}
    longest = sorted(spent, key=lambda key: spent[key], reverse=True)[:LONGEST_OPERATIONS]
    return ", ".join(f"{key} {spent[key] / sum(spent.values()):.0%}" for key in longest)


def shares_on_one_core(run: Callable[[], object]) -> str:
    """Run something on one core, where every operation is this thread's, and name the longest."""
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
    """What an entry found, and where.

    Attributes:
        command: As it was typed.
        machine: That measured.
        seconds: The entry took.
        outcome: What it found.
    """

    command: str
    machine: Machine
    seconds: float
    outcome: Outcome


_KEPT = TypeAdapter(dict[str, Measured])


def read_kept(path: Path) -> dict[str, Measured]:
    """Return what earlier runs kept, by entry; nothing where there is no file.

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
    """Keep what was measured."""
    path.write_bytes(_KEPT.dump_json(dict(measured), indent=1) + b"\n")
