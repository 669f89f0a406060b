"""Choose the best candidate of a method on the tuning set, by one rule for all methods.

Every candidate is tried with the same tuning seeds and judged before the ceiling: by the mean share
of facts that it has learned after half of its epochs. Where none of a method's candidates has
learned a tenth by then, they are still at the floor, and the share that they answer in the end
decides. Candidates within two points of the best cannot be told apart by that. Of these the one
with the least drift at equal learning is chosen: where the dose curve reaches 90 %, or 50 % if some
of them do not get so far. Without a path it is the final drift, without drift the mean forgetting
over the tasks that are not at floor. Then the highest generality, the lowest learning rate, the
fewest epochs, the smallest batch and the smallest parameters decide.

Where epochs are tuned, half of its own epochs counts for each candidate: what is compared are
trainings of different lengths, and a shorter one is chosen where it is as good within two points.
No standard error takes part: one of two seeds is of no use.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.evaluation.metrics.labels import AUROC
from bench.store.records import CellRecord, CellSpec, Status
from tasks.forgetting.names import ForgettingKind

if TYPE_CHECKING:
    from bench.store.formats import CellSummary

RATE = "lr"
FIELDS = {RATE: "learning_rate", "epochs": "epochs", "batch_size": "batch_size"}
"""The run options that can be tuned, with the names of their fields in a spec."""

RECIPE_FIELDS = ("recipe", "source_digest", "calibration_digest", "replay_digest")
"""The fields of a spec that its recipe determines."""

RUN_PARAMETERS = tuple(FIELDS)
"""The run options that can be tuned; other tuned names are parameters of a recipe's parts."""

FIRST_TUNING_SEED = 1000
"""Candidates are tried with this seed and those that follow, which no reporting cell may have."""

CLOSE = 0.02
"""Candidates whose score is that near to the best are as good, as far as learning goes."""

LEARNED_HALF = "learned_half"
"""The share of the kept facts that were learned within half the epochs."""

IN_THE_END = "reliability"
"""The share of the facts that were answered after all epochs."""

MEASURES = (AUROC, LEARNED_HALF, IN_THE_END)
"""What candidates are scored by: the first that all cells of a candidate have; only those of a
classification have the area under the ROC curve."""

FLOOR = 0.1
"""Candidates cannot be told apart by what they learned if none has learned this share."""

AT_EQUAL_LEARNING = ("drift_at_90", "drift_at_50")
"""Drift where a cell's dose curve reaches 90 % and 50 %, the better one first."""

SAME = 9
"""Scores are equal if they agree to this many digits: means depend on the order of summation."""

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


@dataclass(frozen=True)
class Trial:
    """The result of one candidate, as means over its seeds.

    Attributes:
        spec: The spec of its first cell on the tuning set.
        status: How its cells ended: done, or how the first that is not ended.
        score: The share learned at half the epochs, or in the end for cells without that metric
            and where all candidates are at the floor at half the epochs; of a classification the
            area under the ROC curve. None if some cell is not done: such a candidate is never
            chosen.
        measure: Which metric the score is.
        lost: Drift at equal learning, and forgetting by task, including drift, without tasks at
            floor; what every cell has measured.
        generality: The share of paraphrases answered; None without paraphrases.
    """

    spec: CellSpec
    status: Status
    score: float | None
    measure: str = LEARNED_HALF
    lost: Mapping[str, float] = field(default_factory=dict)
    generality: float | None = None


def trials_of(candidates: Sequence[Sequence[CellRecord | CellSummary]]) -> list[Trial]:
    """Read the results of a method's candidates, which are scored by one measure.

    Args:
        candidates: The cells of each, one per seed; at least one.
    """
    trials = [trial_of(cells) for cells in candidates]
    half = [t.score for t in trials if t.score is not None and t.measure == LEARNED_HALF]
    if not half or round(max(half), SAME) >= FLOOR:
        return trials
    return [trial_of(cells, (IN_THE_END,)) for cells in candidates]


def trial_of(
    cells: Sequence[CellRecord | CellSummary], measures: Sequence[str] = MEASURES
) -> Trial:
    """Read the result of a candidate.

    Args:
        cells: One per seed; at least one.
        measures: It is scored by the first of them that all cells have.
    """
    status = next((c.status for c in cells if c.status is not Status.DONE), Status.DONE)
    if status is not Status.DONE:
        return Trial(cells[0].spec, status, None)
    measure = next((name for name in measures if _mean(cells, name) is not None), measures[-1])
    equal = {name: _mean(cells, name) for name in AT_EQUAL_LEARNING}
    return Trial(
        spec=cells[0].spec,
        status=status,
        score=_mean(cells, measure),
        measure=measure,
        lost={
            **{name: value for name, value in equal.items() if value is not None},
            **_forgotten(cells),
        },
        generality=_mean(cells, "generality"),
    )


def _mean(cells: Sequence[CellRecord | CellSummary], metric: str) -> float | None:
    """Return the mean of a metric over cells; None if some cell lacks it."""
    found = [getattr(cell.metrics, metric, None) for cell in cells]
    values = [value for value in found if value is not None]
    return sum(values) / len(values) if len(values) == len(found) else None


def _forgotten(cells: Sequence[CellRecord | CellSummary]) -> dict[str, float]:
    """Return the mean forgetting of the tasks that are at floor in no cell."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        for entry in cell.forgetting:
            if not entry.at_floor:
                found.setdefault(entry.task, []).append(entry.forgetting)
    return {
        task: sum(losses) / len(losses)
        for task, losses in found.items()
        if len(losses) == len(cells)
    }


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the best candidate of one method; None if none has a score."""
    scored = [trial for trial in trials if trial.score is not None]
    best = next((name for name in MEASURES if any(t.measure == name for t in scored)), "")
    scored = [trial for trial in scored if trial.measure == best]
    close = as_good(scored)
    if not close:
        return None
    compares = all(trial.generality is not None for trial in close)
    return min(
        close,
        key=lambda trial: (
            round(_loss(trial, close), SAME),
            -round(trial.generality or 0.0, SAME) if compares else 0.0,
            order(trial.spec),
        ),
    )


def as_good(trials: Sequence[Trial]) -> list[Trial]:
    """Return the candidates that learned as much as the best, within `CLOSE`."""
    scores = [trial.score for trial in trials if trial.score is not None]
    least = round(max(scores, default=0.0) - CLOSE, SAME)
    return [t for t in trials if t.score is not None and round(t.score, SAME) >= least]


def _loss(trial: Trial, rivals: Sequence[Trial]) -> float:
    """Return what a candidate lost, by the best measure that all rivals have."""
    for name in (*AT_EQUAL_LEARNING, ForgettingKind.DRIFT.value):
        if all(name in rival.lost for rival in rivals):
            return trial.lost[name]
    shared = set.intersection(*(set(rival.lost) for rival in rivals))
    tasks = sorted(shared.difference(AT_EQUAL_LEARNING))
    return sum(trial.lost[task] for task in tasks) / len(tasks) if tasks else 0.0


def order(spec: CellSpec) -> tuple[object, ...]:
    """Return a key that sorts candidates of one method, with numbers in recipes by value."""
    pieces = _NUMBER.split(spec.recipe)
    recipe = [float(piece) if place % 2 else piece for place, piece in enumerate(pieces)]
    return (spec.learning_rate, spec.epochs, spec.batch_size, recipe)


def candidate_of(spec: CellSpec) -> Hashable:
    """Return a key that all cells of one candidate share, on both sets of facts."""
    return tuple(getattr(spec, name) for name in (*FIELDS.values(), *RECIPE_FIELDS))


def edges(trials: Sequence[Trial], chosen: Trial) -> list[str]:
    """Write which of the best values is the smallest or the largest that was tried."""
    said = []
    for name in chosen.spec.tuned.over if chosen.spec.tuned else ():
        found = [number(trial.spec, name) for trial in trials]
        best = number(chosen.spec, name)
        known = [value for value in found if value is not None]
        if best is None or len(known) < len(found) or min(known) == max(known):
            continue
        if best in (min(known), max(known)):
            end = "smallest" if best == min(known) else "largest"
            said.append(
                f"the best {shown_name(name)} is the {end} tried, {value(chosen.spec, name)}"
            )
    return said


def tuned_fields(spec: CellSpec) -> tuple[str, ...]:
    """Return the fields of a spec that are tuned."""
    over = spec.tuned.over if spec.tuned else ()
    fields = [FIELDS.get(name, "recipe") for name in over]
    return tuple(dict.fromkeys(fields))


def value(spec: CellSpec, name: str) -> str:
    """Return a candidate's value of a tuned name, as users write it; empty if it has none."""
    if spec.tuned and name in spec.tuned.values:
        return spec.tuned.values[name]
    if name == RATE:
        return f"{spec.learning_rate:g}"
    if name in RUN_PARAMETERS:
        return str(getattr(spec, name))
    # Of an older record, or of a grid that tuned other things: its recipe has every parameter.
    parts = (part.partition("[")[2].rstrip("]") for part in spec.recipe.split("+"))
    pairs = (pair.partition("=") for part in parts for pair in part.split(","))
    return next((value for key, _, value in pairs if key == name), "")


def number(spec: CellSpec, name: str) -> float | None:
    """Return that value as a number; None if it is not one."""
    try:
        return float(value(spec, name))
    except ValueError:
        return None


def shown_name(name: str) -> str:
    """Write the name of something tuned as it is shown: `batch size`."""
    return name.replace("_", " ")


def shown(spec: CellSpec, over: Sequence[str]) -> str:
    """Write a candidate's tuned values: `lr 0.0003, r 8`."""
    return ", ".join(f"{shown_name(name)} {value(spec, name)}" for name in over)
