"""The stored trainings of the interference study, without its tasks: facts alone and in company.

What a training is follows from its specification: how many facts, and how many updates. With
batches of b, K facts take ceil(K / b) * E updates at equal exposures and E at equal updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from bench.report.statistics.intervals import Floats
from bench.store.records import CellSpec, Status
from bench.studies.interference.plan import Regime, updates
from bench.studies.interference.store import FactOutcome, Trained, stored_trainings

Outcomes = dict[str, FactOutcome]


@dataclass(frozen=True)
class InterferenceRun:
    """Trainings that differ in seed, size, regime and facts alone.

    Attributes:
        spec: Of one of them.
        before: What the pristine base says, by fact id.
        trained: All others that are done.
        seconds: Wall time of all.
    """

    spec: CellSpec
    before: Outcomes
    trained: tuple[Trained, ...]
    seconds: float

    @property
    def title(self) -> str:
        """Base, task and recipe."""
        return f"{self.spec.model} on {self.spec.task}, {self.spec.method}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of facts that were trained together, ascending, 1 left out."""
        return tuple(sorted({t.record.spec.cell.facts for t in self.trained} - {1}))

    def outcomes(self, size: int, regime: Regime, seed: int) -> Outcomes:
        """Return what was measured after training `size` facts together, by fact id."""
        found: Outcomes = {}
        for training in self.trained:
            spec = training.record.spec
            wanted = updates(size, spec.cell.batch_size, spec.cell.epochs, regime)
            if (spec.cell.facts, spec.cell.seed, spec.max_steps) == (size, seed, wanted):
                for outcome in training.outcomes:
                    found.setdefault(outcome.fact_id, outcome)
        return found

    def pairs(
        self, size: int, regime: Regime, measure: Callable[[FactOutcome], float]
    ) -> tuple[Floats, Floats] | None:
        """Return a measure of the same facts alone and in company, each `[seeds, facts]`.

        None where no fact has both in every seed that has any.
        """
        found, ids = self._both(size, regime), self.compared(size, regime)
        if not ids:
            return None
        alone, joint = (
            np.array([[measure(pair[side][fact]) for fact in ids] for pair in found])
            for side in (0, 1)
        )
        return alone, joint

    def compared(self, size: int, regime: Regime) -> tuple[str, ...]:
        """Return the ids of the facts of `pairs`, in its order."""
        found = [set(alone) & set(joint) for alone, joint in self._both(size, regime)]
        return tuple(sorted(set.intersection(*found))) if found else ()

    def _both(self, size: int, regime: Regime) -> list[tuple[Outcomes, Outcomes]]:
        """Return what was measured alone and in company, for each seed that has both."""
        found = [
            (self.outcomes(1, Regime.EXPOSURES, seed), self.outcomes(size, regime, seed))
            for seed in self.seeds
        ]
        return [(alone, joint) for alone, joint in found if alone and joint]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of any training."""
        return tuple(sorted({t.record.spec.cell.seed for t in self.trained}))


def companies(folder: Path) -> tuple[InterferenceRun, ...]:
    """Read every `trainings` folder below a folder, what is done of each."""
    found: dict[str, Trained] = {}
    for path in sorted(folder.rglob("trainings")):
        for training in stored_trainings(path.parent):
            found.setdefault(training.record.spec.digest, training)
    ordered = sorted(found.values(), key=lambda t: (_base(t), _group(t), t.record.spec.digest))
    bases = {key: _outcomes(group) for key, group in groupby(ordered, _base)}
    groups = [(key, list(members)) for key, members in groupby(_done(ordered), _group)]
    return tuple(
        InterferenceRun(
            spec=members[0].record.spec.cell,
            before=bases[_base(members[0])],
            trained=tuple(members),
            seconds=sum(member.record.seconds for member in members),
        )
        for _, members in groups
    )


def _done(trainings: Iterable[Trained]) -> list[Trained]:
    return [t for t in trainings if t.record.status is Status.DONE and t.record.spec.cell.facts]


def _outcomes(trainings: Iterable[Trained]) -> Outcomes:
    """Return what the pristine base says: the trainings of no facts."""
    return {
        outcome.fact_id: outcome
        for training in trainings
        if training.record.spec.cell.facts == 0
        for outcome in training.outcomes
    }


def _base(training: Trained) -> tuple[str, ...]:
    spec = training.record.spec.cell
    return (spec.model, spec.task, spec.model_revision, spec.dtype, spec.prompt_digest)


def _group(training: Trained) -> tuple[str, ...]:
    spec = training.record.spec.cell
    told = (spec.recipe, spec.source_digest, spec.learning_rate, spec.epochs, spec.batch_size)
    return (*_base(training), *map(str, told), spec.schedule)
