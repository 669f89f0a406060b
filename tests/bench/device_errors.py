"""Errors that a forward pass may raise, and whether they must reach the runner."""

from __future__ import annotations

import torch

ERRORS = [
    (torch.OutOfMemoryError("CUDA out of memory"), True),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
    (MemoryError(), True),
    (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
    (RuntimeError("The size of tensor a must match"), False),
]


def failing(error):
    """Return a forward pre-hook that raises an error."""

    def fail(*_):
        raise error

    return fail
