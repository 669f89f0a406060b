"""Measure a model without changing random states and training modes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run without gradients and in evaluation mode; restore modes and random states afterwards."""
    modes = {module: module.training for module in model.modules()}
    python, numpy_state = random.getstate(), np.random.get_state()
    # By itself fork_rng keeps the state of every GPU of the machine, and warns that this is slow.
    gpus = list({p.device for p in model.parameters() if p.device.type == "cuda"})
    model.eval()
    try:
        with torch.random.fork_rng(gpus), torch.no_grad():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        for module, training in modes.items():
            module.training = training
