"""What a cell was measured with: commit, versions, device and threads, stored in its record."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.models.device import Compute, cores

PACKAGES = ("torch", "transformers", "peft", "lm-eval", "datasets", "numpy", "tokenizers")

WRITTEN = ("results", "docs/performance*", "docs/findings*", "README.md")
"""What commands write, as path patterns of git: it does not count as an uncommitted change."""


def provenance(compute: Compute) -> dict[str, Any]:
    """Return what a cell runs with: commit, versions, device, threads."""
    import torch

    on_gpu = compute.device.startswith("cuda")
    gpu = torch.cuda.get_device_name(compute.device) if on_gpu and torch.cuda.is_available() else ""
    return {
        **_git_state(ROOT),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": compute.device,
        "device_name": gpu if on_gpu else _cpu_name(),
        "dtype": compute.dtype,
        **compute.unusual,
        "threads": torch.get_num_threads(),
        **({"host": compute.host} if compute.host else {}),
    }


def _git_state(folder: Path) -> dict[str, Any]:
    if not (folder / ".git").exists():
        return {"git_commit": "", "git_dirty": None}
    commit = _git(folder, "rev-parse", "HEAD")
    sources = [".", *(f":!{path}" for path in WRITTEN)]
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
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"
