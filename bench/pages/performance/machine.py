"""The machine that measures: its cores, its versions, and how fast it multiplies matrices."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from bench.models.device import Compute, provenance
from bench.models.loading import DType

SHAPES = ((512, 576, 1536), (2048, 2048, 2048))
"""Tokens, d_in, d_out: of an adapted layer of a small model, and of a large square product."""

SLOW = 0.5
"""Below this part of float32's speed a dtype is emulated: nobody would train in it."""

ENOUGH = 0.5
"""Seconds for which a product is repeated; where one takes longer, no larger one is tried."""


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
        return self.gemm[dtype] >= SLOW * self.gemm["float32"]


def this_machine() -> Machine:
    """Describe and measure the machine."""
    found = provenance(Compute("cpu", "float32"))
    dtypes: tuple[DType, ...] = ("float32", "bfloat16")
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
