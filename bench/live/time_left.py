"""How long a grid will take, judged by the cells that have ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from bench.live.folder import Look
from bench.live.shown import ShownCell, State


def seconds_left(look: Look, now: float) -> float | None:
    """Return the seconds until the last cell ends; None if nothing runs, or nothing has ended yet.

    A cell takes as long as finished ones of its kind, and all processes stay busy to the end. What
    the present runs have finished counts, and what lay in the folder before only until then: it
    may be of another machine.

    Args:
        look: What the folder says.
        now: Unix seconds.
    """
    if not look.groups:
        return None
    done = [cell for cell in look.cells.values() if cell.state is State.DONE and cell.seconds]
    since = min((plan.started for plan in look.plans), default=now)
    durations = _Durations(
        [cell for cell in done if look.written.get(cell.id, 0.0) >= since] or done
    )
    total = 0.0
    started: dict[float, float] = {}
    for cell in look.cells.values():
        if cell.state in (State.RUNNING, State.WAITING):
            expected = durations.of(cell)
            if expected is None:
                return None
            total += expected
            if cell.started is not None:  # cells that run together have the same start
                started[cell.started] = started.get(cell.started, 0.0) + expected
    begun = sum(min(expected, now - start) for start, expected in started.items())
    return max(0.0, total - begun) / look.groups


class _Durations:
    """Mean seconds of finished cells: of the same method, else of the same task, else of all."""

    def __init__(self, cells: Iterable[ShownCell]) -> None:
        seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for cell in cells:
            for kind in _kinds(cell):
                seconds[kind].append(cell.seconds or 0.0)
        self._means = {kind: fmean(values) for kind, values in seconds.items()}

    def of(self, cell: ShownCell) -> float | None:
        """Return the seconds that a cell will take; None if no cell has ended."""
        return next((self._means[kind] for kind in _kinds(cell) if kind in self._means), None)


def _kinds(cell: ShownCell) -> tuple[tuple[str, ...], ...]:
    task = (cell.stage, cell.model, cell.task)
    return (*task, cell.method), task, ()
