"""Choose the best candidate of a method on the tuning set, by one rule for all methods.

The candidate with the highest generality wins, or reliability if the task has no paraphrases.
Among equals it is the one with the least drift, so in a grid that measures drift, candidates need
no other forgetting task. If drift is not measured, candidates are ranked in each forgetting task
that is not at floor, and the lowest mean rank wins, so that tasks have equal weight. Then the
lowest learning rate, the fewest epochs, the smallest batch and the smallest parameters decide.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.store.records import CellRecord, CellSpec, Status
from tasks.forgetting.names import ForgettingKind

if TYPE_CHECKING:
    from bench.store.formats import CellSummary

RATE = "lr"
FIELDS = {RATE: "learning_rate", "epochs": "epochs", "batch_size": "batch_size"}
"""The run options that can be tuned, with the names of their fields in a spec."""

RECIPE_FIELDS = ("recipe", "source_digest", "calibration_digest")
"""The fields of a spec that its recipe determines."""

RUN_PARAMETERS = tuple(FIELDS)
"""The run options that can be tuned; other tuned names are parameters of a recipe's parts."""

SAME = 9
"""Scores are equal if they agree to this many digits: means depend on the order of summation."""

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


@dataclass(frozen=True)
class Trial:
    """The result of one candidate.

    Attributes:
        spec: The spec of its cell on the tuning set.
        status: How that cell ended.
        score: The share of paraphrases answered, or of facts if there are no paraphrases; None if
            the cell is not done: such a candidate is never chosen.
        measure: Which metric the score is.
        lost: Forgetting by task, including drift, without tasks at floor.
    """

    spec: CellSpec
    status: Status
    score: float | None
    measure: str
    lost: Mapping[str, float]


def trial_of(cell: CellRecord | CellSummary) -> Trial:
    """Read the result of a candidate from its record."""
    metrics = cell.metrics if cell.status is Status.DONE else None
    measure = "generality" if metrics and metrics.generality is not None else "reliability"
    score = getattr(metrics, measure) if metrics else None
    lost = {entry.task: entry.forgetting for entry in cell.forgetting if not entry.at_floor}
    return Trial(cell.spec, cell.status, score, measure, lost)


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the best candidate of one method; None if none has a score."""
    scores = [trial.score for trial in trials if trial.score is not None]
    if not scores:
        return None
    best = round(max(scores), SAME)
    equal = [t for t in trials if t.score is not None and round(t.score, SAME) == best]
    return min(equal, key=lambda trial: (_forgetting_rank(trial, equal), order(trial.spec)))


def _forgetting_rank(trial: Trial, rivals: Sequence[Trial]) -> float:
    """Return a trial's rank by drift, or the sum of its ranks in all tasks that rivals share."""
    shared = set.intersection(*(set(rival.lost) for rival in rivals))
    shared = shared & {ForgettingKind.DRIFT} or shared
    return sum(_rank(trial.lost[task], [r.lost[task] for r in rivals]) for task in shared)


def _rank(value: float, values: Sequence[float]) -> float:
    """Return the rank of a value, counted from the lowest; ties share the mean of their ranks."""
    below = sum(other < value for other in values)
    return below + sum(other == value for other in values) / 2


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
