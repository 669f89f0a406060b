"""The path of one training: what was forgotten after each epoch, beside what was learned by then.

Methods can be compared at equal learning along it, where at the end one may have learned more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from torch import nn

from bench.config.types import Checkpoints
from bench.forgetting.drift import Drift
from bench.forgetting.suite import ForgettingSuite
from bench.store.records import Checkpoint, Forgetting

Aside = Callable[[], AbstractContextManager[None]]


class ForgettingPath:
    """Measures a model in training at its checkpoints.

    Args:
        suite: The cell's forgetting tasks on its base.
        model: The model in training.
        checkpoints: What is measured.
        aside: Opens the phase to which measuring is charged.
    """

    def __init__(
        self, suite: ForgettingSuite, model: nn.Module, checkpoints: Checkpoints, aside: Aside
    ) -> None:
        self._suite, self._model, self._aside = suite, model, aside
        self._checkpoints = checkpoints
        self._drift = next((task for task in suite.tasks if isinstance(task, Drift)), None)
        every_task = checkpoints is Checkpoints.ALL and bool(suite.tasks)
        self._measures = checkpoints is not Checkpoints.LAST and bool(self._drift or every_task)
        self._points: list[Checkpoint] = []

    @property
    def points(self) -> list[Checkpoint]:
        """What was measured so far."""
        return list(self._points)

    def take_up(self, points: Sequence[Checkpoint]) -> None:
        """Begin with what a training measured before it was stopped."""
        self._points = list(points)

    def measure(self, epoch: int) -> None:
        """Measure the model after an epoch; random states and training mode stay as they are."""
        if not self._measures:
            return
        with self._aside():
            [point] = self._measured(self._model, [epoch])
        self._points.append(point)

    def _measured(self, model: nn.Module, epochs: Sequence[int]) -> list[Checkpoint]:
        """Measure a model that has done some epochs, or each member of a stack."""
        drifts: list[float | None] = [None for _ in epochs]
        forgetting: list[dict[str, float]] = [{} for _ in epochs]
        if self._checkpoints is Checkpoints.ALL:
            found = self._suite.without_drift.measure_together(model)
            forgetting = [_by_task(own) for own in found]
        if self._drift is not None:
            drifts = [*self._drift.at_checkpoint_together(self._suite.base, model)]
        return [
            Checkpoint(epoch=epoch, drift=drift, forgetting=own)
            for epoch, drift, own in zip(epochs, drifts, forgetting, strict=True)
        ]

    def ended(self, epochs: int, measured: Sequence[Forgetting]) -> list[Checkpoint]:
        """Return all checkpoints, the last from what was measured after training anyway.

        Args:
            epochs: The number of epochs done.
            measured: The cell's forgetting.
        """
        if not self._measures:
            return []
        drift, forgetting = None, dict[str, float]()
        if self._checkpoints is Checkpoints.ALL:
            forgetting = _by_task(f for f in measured if not self._is_drift(f))
        if self._drift is not None:
            items = next(f.tuned_items for f in measured if self._is_drift(f))
            drift = self._drift.at_end(items)
        return [*self._points, Checkpoint(epoch=epochs, drift=drift, forgetting=forgetting)]

    def _is_drift(self, found: Forgetting) -> bool:
        return self._drift is not None and found.task == self._drift.name


def measure_paths_together(
    paths: Sequence[ForgettingPath], model: nn.Module, epochs: Sequence[int], aside: Aside
) -> None:
    """Measure the members of a stack at once; random states and training mode stay as they are.

    Args:
        paths: The path of each member; all have the same tasks, base and checkpoints.
        model: The stack of exactly these members.
        epochs: The number of epochs that each has done.
        aside: Opens the phase to which measuring is charged.
    """
    if not paths or not paths[0]._measures:
        return
    with aside():
        points = paths[0]._measured(model, epochs)
    for path, point in zip(paths, points, strict=True):
        path._points.append(point)


def merged(earlier: Sequence[Checkpoint], now: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Join what two runs of one cell measured at its checkpoints; the later one wins.

    Both trained the same facts in the same order from the same start.
    """
    points = {point.epoch: point for point in earlier}
    for point in now:
        before = points.get(point.epoch, point)
        points[point.epoch] = Checkpoint(
            epoch=point.epoch,
            drift=before.drift if point.drift is None else point.drift,
            forgetting={**before.forgetting, **point.forgetting},
        )
    return [points[epoch] for epoch in sorted(points)]


def _by_task(measured: Iterable[Forgetting]) -> dict[str, float]:
    return {found.task: found.forgetting for found in measured}
