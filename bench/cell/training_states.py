"""The states of a cell's training under way, with what the cell has measured beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.config.options import Rerun
from bench.store.records import Checkpoint, Phase, PhaseName
from bench.store.store import UNFINISHED
from bench.training.resume import TrainingStates, fits_of

if TYPE_CHECKING:
    from bench.cell.running import RunningCell


def training_states(cell: RunningCell) -> TrainingStates | None:
    """Return what keeps the states of a prepared cell's training; None if none are kept.

    A training that goes on takes up the path that was measured before, and the time that it took.
    With `--rerun all` none goes on: what an earlier run has left is removed.
    """
    options = cell.context.options
    if not options.save_every or cell.cell.recipe.adapter.keeps_state(cell.attached.model):
        return None
    record, compute = cell.result.record, cell.context.compute
    parts = record.micro_batches
    names = ", ".join(map(str, cell.cell.forgetting))
    path = f"{options.checkpoints} of {names}, at most {options.forgetting_limit}"

    def aside() -> dict[str, object]:
        phases = cell.clock.so_far(PhaseName.TRAIN)
        spent = (PhaseName.TRAIN, PhaseName.FORGET)  # preparing is done again
        return {
            "path": [point.model_dump() for point in cell.path.points],
            "phases": {str(name): phases[name].model_dump() for name in spent if name in phases},
            "continued": list(cell.result.record.continued),
        }

    def take_up(done: int, kept: Mapping[str, Any]) -> None:
        steps = cell.plan.steps
        cell.progress.note(f"{cell.cell.label}: going on after step {done} of {steps}")
        cell.path.take_up([Checkpoint(**point) for point in kept["path"]])
        phases = {PhaseName(name): Phase(**one) for name, one in kept["phases"].items()}
        cell.clock.charge(phases, 1)
        cell.result.update(continued=[*kept["continued"], done])

    states = TrainingStates(
        options.out / UNFINISHED / f"{record.cell_id}-{parts}.pt",
        fits_of(record.cell_id, parts, compute.device.partition(":")[0], path),
        every=60 * options.save_every,
        say=cell.progress.note,
        aside=aside,
        take_up=take_up,
        paused=cell.clock.paused,
    )
    # Here and not when the grid is planned: this process has claimed the cell, so that nobody is
    # training from the state.
    if options.rerun is Rerun.ALL:
        states.discard()
    return states
