"""Where a run computes, in which precision, and with what: for cells and their provenance."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from bench import ROOT
from bench.config.options import Executor, RunOptions
from bench.config.types import DType
from tasks.errors import UsageError

PACKAGES = ("torch", "transformers", "peft", "lm-eval", "datasets", "numpy", "tokenizers")


class Compute(NamedTuple):
    """Where a cell computes.

    Attributes:
        device: Such as `cpu` or `cuda:0`.
        dtype: Of the base's weights.
        host: The machine, where a run has several.
    """

    device: str
    dtype: DType
    host: str = ""


def choose_compute(device: str, dtype: DType, *, elsewhere: bool = False) -> Compute:
    """Resolve `auto`: CUDA with a bfloat16 base where there is one, else the CPU in float32.

    Args:
        device: As in `RunOptions`.
        dtype: As in `RunOptions`.
        elsewhere: Whether other machines compute, which may have CUDA where this one has none.

    Raises:
        UsageError: A device that this machine does not have.
    """
    if device == "auto":
        device = "cuda" if _may_have_cuda() and _has_cuda() else "cpu"
    if device.startswith("cuda") and not elsewhere and not _has_cuda():
        raise UsageError(f"--device {device}: torch sees no CUDA device here; use --device cpu")
    if device == "cuda":
        device = "cuda:0"
    if dtype == DType.AUTO:
        dtype = DType.BFLOAT16 if device.startswith("cuda") else DType.FLOAT32
    return Compute(device, dtype)


def compute_of(options: RunOptions) -> Compute:
    """Resolve the device and the dtype of a run's options."""
    elsewhere = options.executor is not Executor.LOCAL
    return choose_compute(options.device, options.dtype, elsewhere=elsewhere)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _may_have_cuda() -> bool:
    """Return False where no driver of a GPU is there: torch takes seconds to import."""
    drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return not sys.platform.startswith("linux") or any(Path(path).exists() for path in drivers)


def provenance(compute: Compute) -> dict[str, Any]:
    """Return what a cell ran on: commit, versions, device, threads."""
    import torch

    return {
        **_git_state(ROOT),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": compute.device,
        "device_name": _device_name(compute.device),
        "dtype": compute.dtype,
        "threads": torch.get_num_threads(),
        **({"host": compute.host} if compute.host else {}),
    }


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return _cpu_name()
    import torch

    return torch.cuda.get_device_name(device) if _has_cuda() else ""


MEASURED = ("results", "docs/performance*")
"""What runs write: whether it is committed changes no number."""


def _git_state(folder: Path) -> dict[str, Any]:
    if not (folder / ".git").exists():
        return {"git_commit": "", "git_dirty": None}
    commit = _git(folder, "rev-parse", "HEAD")
    sources = [".", *(f":!{measured}" for measured in MEASURED)]
    changed = _git(folder, "status", "--porcelain", "--", *sources)
    return {"git_commit": commit, "git_dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores"
