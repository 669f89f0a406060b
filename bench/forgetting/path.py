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
from bench.models.capabilities import members_of
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

    def measure(self, epoch: int) -> None:
        """Measure the model after an epoch; random states and training mode stay as they are."""
        measure_paths([self], [epoch], self._model, self._aside)

    def measured(self, model: nn.Module) -> list[Checkpoint]:
        """Return what is measured of each member of a stack, or of one model, at a checkpoint."""
        members = members_of(model)
        drift: Sequence[float | None] = [None] * members
        forgetting: Sequence[dict[str, float]] = [{} for _ in range(members)]
        if self._checkpoints is Checkpoints.ALL:
            forgetting = list(map(_by_task, self._suite.without_drift.measure_together(model)))
        if self._drift is not None:
            drift = self._drift.at_checkpoint_together(self._suite.base, model)
        each = zip(drift, forgetting, strict=True)
        return [Checkpoint(epoch=0, drift=kl, forgetting=lost) for kl, lost in each]

    @property
    def measures(self) -> bool:
        """Whether there is something to measure at a checkpoint."""
        return self._measures

    def add(self, found: Checkpoint, epoch: int) -> None:
        """Add what was measured after an epoch."""
        self._points.append(found.model_copy(update={"epoch": epoch}))

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


def measure_paths(
    paths: Sequence[ForgettingPath], epochs: Sequence[int], model: nn.Module, aside: Aside
) -> None:
    """Measure members of a stack after an epoch of each, or one model.

    Args:
        paths: Their paths, whose suites are the same.
        epochs: The number of epochs that each has done.
        model: The stack of these members, in this order.
        aside: Opens the phase to which measuring is charged.
    """
    if not paths[0].measures:
        return
    with aside():
        found = paths[0].measured(model)
    for path, epoch, point in zip(paths, epochs, found, strict=True):
        path.add(point, epoch)


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
