"""Measuring leaves no trace: not in random states, not in training modes, not on the terminal."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run without gradients and in evaluation mode; restore modes and random states after."""
    modes = {module: module.training for module in model.modules()}
    python, numpy_state = random.getstate(), np.random.get_state()
    model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        for module, training in modes.items():
            module.training = training


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's and datasets' log lines and bars off the terminal; errors still show."""
    import datasets
    import lm_eval.api.task as task_module
    from tqdm import tqdm

    bars = datasets.utils.logging.is_progress_bar_enabled()
    building = task_module.tqdm
    with ExitStack() as stack:
        for name in ("lm_eval", "datasets", "transformers"):
            stack.enter_context(_errors_only(logging.getLogger(name)))
        # Building the requests shows a bar that no argument turns off.
        task_module.tqdm = partial(tqdm, disable=True)
        datasets.disable_progress_bars()
        try:
            yield
        finally:
            task_module.tqdm = building
            if bars:
                datasets.enable_progress_bars()


@contextmanager
def _errors_only(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
