"""States of a training under way, from which it goes on after its process was killed.

A state holds everything that later steps depend on: the trained parameters, the optimizer with its
schedule, the place in the order of the facts, the random states, and what was measured so far. A
training that goes on from it gives the same losses, bit for bit in float32 on a CPU.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.store import atomic

FORMAT = 1
"""Raise it when what a state holds changes: states of before are then left aside."""


@dataclass(frozen=True)
class TrainingState:
    """A training after some steps.

    Attributes:
        epoch: The epoch under way, counted from 1.
        done: How many steps of it are done.
        parameters: The trained parameters by name, on the CPU.
        updates: The state of the optimizer and its schedule.
        course: The place in the data, and what was measured.
        counted: Floating point operations so far, and those per token.
        draws: Random states.
        beside: What `counted` is, for the penalty: the pass that is counted is not bit for bit what
            it is without counting, so that none may be counted twice.
        aside: What the caller keeps with it, as plain values.
    """

    epoch: int
    done: int
    parameters: Mapping[str, Tensor]
    updates: Mapping[str, Any]
    course: Mapping[str, Any]
    counted: tuple[float, float | None]
    draws: Mapping[str, Any]
    beside: tuple[float, float | None] = (0.0, None)
    aside: Mapping[str, Any] = field(default_factory=dict)


class TrainingStates:
    """Keeps the latest state of one training in a file.

    Args:
        path: The file.
        fits: What a state must have been written with to be continued: the cell, the device, the
            versions of libraries. Plain values.
        every: Seconds of training between states; the first is written after as many.
        say: Receives lines about states that cannot be used.
        aside: Returns what the caller wants to find again beside the state, as plain values.
        take_up: Called with the steps done and those values when a training goes on.
        paused: Stops what measures the training while a state is written.
    """

    def __init__(
        self,
        path: Path,
        fits: Mapping[str, Any],
        every: float,
        say: Callable[[str], None],
        aside: Callable[[], Mapping[str, Any]] = dict,
        take_up: Callable[[int, Mapping[str, Any]], None] = lambda *_: None,
        paused: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._path, self._fits, self._every, self._say = path, fits, every, say
        self._aside, self._take_up, self._paused = aside, take_up, paused
        self._last = time.monotonic()
        self._kept = False

    def read(self) -> TrainingState | None:
        """Return the state to go on from; None if there is none, or none that fits."""
        if not self._path.is_file():
            return None
        try:
            # Tensors and plain values alone: a file from elsewhere can run no code.
            found = torch.load(self._path, map_location="cpu", weights_only=True)
            fits, values = found["fits"], found["state"]
        except Exception as error:  # whatever a damaged file makes of the reader
            self._say(
                f"the saved training in {self._path} cannot be read "
                f"({type(error).__name__}): training begins anew"
            )
            return None
        if differing := [name for name in self._fits if fits.get(name) != self._fits[name]]:
            self._say(
                f"the saved training in {self._path} is of another {differing[0]} "
                f"({fits.get(differing[0])}, now {self._fits[differing[0]]}): training begins anew"
            )
            return None
        state = TrainingState(**values)
        self._take_up(len(state.course["losses"]), state.aside)
        self._kept = True
        return state

    def discard(self) -> None:
        """Remove the state that is there: training begins anew."""
        self._path.unlink(missing_ok=True)

    def due(self, *, last: bool) -> bool:
        """Return whether a state should be written after a step.

        Args:
            last: Whether it was the last step: what follows it takes its time too, so that a
                training that has written a state writes one more.
        """
        if math.isinf(self._every):
            return False
        return self._kept if last else time.monotonic() - self._last >= self._every

    def write(self, state: Callable[[], TrainingState]) -> None:
        """Replace the state in the file; a crash leaves either one whole.

        If it cannot be written, which one line says, the training goes on without.

        Args:
            state: Returns the state of the training.
        """
        aside = dict(self._aside())
        with self._paused():
            now = state()
            values = {name: getattr(now, name) for name in TrainingState.__dataclass_fields__}
            try:
                self._replace({"fits": dict(self._fits), "state": {**values, "aside": aside}})
                self._kept = True
            except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
                self._every = math.inf
                self._say(
                    f"the state of this training cannot be saved in {self._path} "
                    f"({type(error).__name__}): training goes on without"
                )
        self._last = time.monotonic()

    def _replace(self, content: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for left in self._path.parent.glob(f".{self._path.name}.*.tmp"):
            left.unlink(missing_ok=True)  # of a process that was killed as it wrote
        with atomic.draft(self._path) as staged:
            torch.save(content, staged)
            atomic.flush(staged)
            staged.replace(self._path)


def fits_of(cell_id: str, parts: int, device: str, path: str = "") -> dict[str, Any]:
    """Return what a state must have been written with to be continued.

    Args:
        cell_id: The cell.
        parts: The number of parts in which each batch is run.
        device: The kind of device.
        path: What is measured on the path, which is kept with the state.
    """
    versions = {f"version of {name}": version(name) for name in ("torch", "transformers", "peft")}
    return {
        "format": FORMAT,
        "cell": cell_id,
        "division of batches": parts,
        "device": device,
        "set of measures after each epoch": path,
        **versions,
    }


def trained_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that require gradients, on the CPU."""
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@torch.no_grad()
def restore_parameters(model: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Write saved parameters back.

    Raises:
        ValueError: Other parameters are trained now.
    """
    present = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if present.keys() != saved.keys():
        lacking = sorted(present.keys() ^ saved.keys())
        raise ValueError(f"the saved training trains other parameters, such as {lacking[0]}")
    for name, parameter in present.items():
        parameter.copy_(saved[name])


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of all random number generators that a training may draw from.

    Args:
        device: The device of the model; other ones may be in use by others.
    """
    # The global generator, which libraries draw from.
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": (kind, torch.tensor(np.asarray(keys), dtype=torch.int64), place, has_gauss, gauss),
    }


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Set all random number generators to saved states; for the device see `random_states`."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
