"""Stage `machine`: the speed of products and of memory, which nothing can exceed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from device_check.timing import timed

if TYPE_CHECKING:
    from device_check.machine import Check


def machine(check: Check) -> None:
    """Measure products and copies; later stages name their share of the product."""
    n, size = (8192, 2**30) if check.on_gpu else (512, 2**24)
    kind = getattr(torch, check.dtype)
    a, b = (torch.randn(n, n, device=check.device).to(kind) for _ in range(2))
    x, y = (torch.empty(size, dtype=torch.uint8, device=check.device) for _ in range(2))
    d = a[: n // 2, : n // 2].double()
    check.flops = 2 * n**3 / timed(check, lambda: a @ b, 10)
    name = torch.cuda.get_device_name(check.device) if check.on_gpu else "CPU"
    row = {
        "device": name,
        "torch": torch.__version__,
        f"{check.dtype} TFLOP/s": check.flops / 1e12,
        "float64 TFLOP/s": n**3 / 4e12 / timed(check, lambda: d @ d),
        "copy TB/s": 2e-12 * size / timed(check, lambda: y.copy_(x), 10),
    }
    check.tell("Machine", [row])
