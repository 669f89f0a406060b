"""The device, number format and cores that a run computes with."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.config.options import Executor, RunOptions
from bench.config.types import Attention, DType, Quantisation
from tasks.errors import UsageError

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux keeps the limits of a container."""


_USUAL = (Quantisation.NONE.value, Attention.AUTO.value, False)


class Compute(NamedTuple):
    """Where and how a cell computes.

    Attributes:
        device: Such as `cpu` or `cuda:0`.
        dtype: Number format of the base's weights.
        host: Name of the machine if a run uses several; else empty.
        quantisation: Of the base's linear layers.
        attention: How attention is computed.
        checkpointing: Whether the backward pass computes layers again.
    """

    device: str
    dtype: DType
    host: str = ""
    quantisation: Quantisation = Quantisation.NONE
    attention: Attention = Attention.AUTO
    checkpointing: bool = False

    @property
    def unusual(self) -> dict[str, Any]:
        """What differs from the defaults, for records: numbers of before had no name for it."""
        named = {
            "quantisation": self.quantisation.value,
            "attention": self.attention.value,
            "gradient_checkpointing": self.checkpointing,
        }
        return {name: value for name, value in named.items() if value not in _USUAL}


def choose_compute(device: str, dtype: DType, *, elsewhere: bool = False) -> Compute:
    """Resolve `auto`: a GPU with a bfloat16 base if it computes in that, else float32; or the CPU.

    Args:
        device: As in `RunOptions`.
        dtype: As in `RunOptions`.
        elsewhere: Whether other machines compute, which may have CUDA if this one has not.

    Raises:
        UsageError: This machine does not have the device, or nothing can be trained in the dtype.
    """
    if dtype == DType.FLOAT16:  # its range is narrow: gradients vanish unless the loss is scaled
        raise UsageError(
            f"--dtype {dtype}: small gradients would vanish in it; use --dtype bfloat16 or float32"
        )
    if device == "auto":
        device = "cuda" if _may_have_cuda() and _has_cuda() else "cpu"
    if device.startswith("cuda") and not elsewhere and not _has_cuda():
        raise UsageError(f"--device {device}: torch sees no CUDA device here; use --device cpu")
    if device == "cuda":
        device = "cuda:0"
    if dtype == DType.AUTO:
        on_gpu = device.startswith("cuda")
        half = on_gpu and (has_bfloat16(device) or not _has_cuda())
        dtype = DType.BFLOAT16 if half else DType.FLOAT32
    return Compute(device, dtype)


def compute_of(options: RunOptions, *, here: bool = False) -> Compute:
    """Resolve where and how a run computes.

    Args:
        options: The options of the run.
        here: Whether this process is the one that computes, on whatever machine.

    Raises:
        UsageError: This machine is to compute and does not have the device.
    """
    elsewhere = options.executor is not Executor.LOCAL and not here
    found = choose_compute(options.device, options.dtype, elsewhere=elsewhere)
    return found._replace(
        quantisation=options.quantize,
        attention=options.attention,
        checkpointing=options.gradient_checkpointing,
    )


def has_bfloat16(device: str) -> bool:
    """Return whether a GPU of this machine has units for bfloat16; others emulate it, slowly."""
    import torch

    if not _has_cuda():
        return False
    # torch.cuda.is_bf16_supported would ask the current device, and say yes to emulation.
    return bool(torch.version.hip) or torch.cuda.get_device_capability(device)[0] >= 8


def dtype_notes(options: RunOptions, compute: Compute) -> list[str]:
    """Say where `--dtype auto` chose float32 on a GPU."""
    on_gpu = compute.device.startswith("cuda")
    if not on_gpu or options.dtype != DType.AUTO or compute.dtype != DType.FLOAT32:
        return []
    return [f"{compute.device} has no units for bfloat16: the base models are in float32"]


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _may_have_cuda() -> bool:
    """Return False if there is no GPU driver, without importing torch, which takes seconds."""
    drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return not sys.platform.startswith("linux") or any(Path(path).exists() for path in drivers)


def card_memory(device: str) -> int:
    """Return the bytes that a run may use on a device: all of a GPU, or what the CPU has free."""
    if not device.startswith("cuda"):
        return free_memory()
    import torch

    # Not what is free of it: asking for that takes half a gigabyte of the GPU.
    return int(torch.cuda.get_device_properties(device).total_memory)


def free_now(device: str) -> int:
    """Return the bytes that this process could still allocate on a device it already uses."""
    if not device.startswith("cuda"):
        return free_memory()
    import torch

    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + unused)


def free_memory() -> int:
    """Return the bytes of memory that are free here; a container may see more than it may use."""
    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # without a limit the file says "max"
        limit = int((CONTAINER / "memory.max").read_text())
        free = min(free, limit - int((CONTAINER / "memory.current").read_text()))
    return free


def cores() -> int:
    """Return how many cores this process may use; a container may see more than it may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError):  # without a limit the file says "max"
        quota, period = (CONTAINER / "cpu.max").read_text().split()
        here = min(here or 1, math.ceil(int(quota) / int(period)))
    return here or 1
