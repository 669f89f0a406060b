"""One sequence: attach, train the parts one after another, and ask about all facts after each."""

from __future__ import annotations

from dataclasses import asdict

import torch

from bench.cell.context import CellContext
from bench.models.loading import Base
from bench.progress.base import Progress
from bench.store.records import PhaseName, Status
from bench.studies.learner import FactAnswers, drift_items, learner, refuse_changed
from bench.studies.sequence.plan import PlannedSequence
from bench.studies.sequence.store import SequenceRecord, StageOutcome, Trained
from bench.studies.trainings import ending


def run_training(
    planned: PlannedSequence, base: Base, bench: CellContext, progress: Progress
) -> Trained:
    """Train a sequence on a borrowed base and measure it; errors end up in the record.

    Args:
        planned: The sequence.
        base: The resident base.
        bench: What sequences share.
        progress: Shows its steps.
    """
    try:
        return _trained(planned, base, bench, progress)
    except Exception as error:  # a sequence that raises loses its own results only
        status, reason = ending(error)
        return Trained(SequenceRecord(spec=planned.spec, status=status, reason=reason))


def _trained(
    planned: PlannedSequence, base: Base, bench: CellContext, progress: Progress
) -> Trained:
    spec, facts = planned.spec, planned.facts
    part_of = {fact.id: n for n, part in enumerate(planned.parts, start=1) for fact in part}
    # The recipe starts from the first part alone: it cannot know what will follow.
    trained = learner(planned.cell, spec.cell, planned.parts[0], facts, base, bench)

    def stage(number: int, answers: list[FactAnswers]) -> list[StageOutcome]:
        return [
            StageOutcome(**asdict(said), stage=number, part=part_of[said.fact_id])
            for said in answers
        ]

    outcomes, drift, done = stage(0, trained.answers()), list[list[float]](), 0
    for number, part in enumerate(planned.parts, start=1):
        progress.phase(PhaseName.TRAIN, planned.steps)
        torch.manual_seed(spec.cell.seed)  # as if this part's training began with a saved adapter
        log = trained.train(trained.plan(part), progress.step, done=done)
        done += len(log.losses)
        refuse_changed(trained, bench)
        progress.phase(PhaseName.EVALUATE)
        outcomes += stage(number, trained.answers())
        drift.append(drift_items(trained, bench))
    record = SequenceRecord(
        spec=spec,
        status=Status.DONE,
        updates=done,
        exposures=float(spec.cell.epochs),
        drift=drift,
    )
    return Trained(record, tuple(outcomes))
