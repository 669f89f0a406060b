"""Which method to use for the facts of a section, and why, in three lines.

Among the methods within the limits, the best learner leads. A method that is not significantly
worse is preferred if it is cheaper. That test is not corrected for the number of methods, since
Holm's correction would call more methods equal, not fewer. One or two seeds separate no methods:
with them the best estimate is named, and that it decides nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.evaluation.metrics.labels import AUROC
from bench.report.leaderboard.board import DRIFT, Leaderboard, Row, Section
from bench.report.leaderboard.standings import compare_rows
from bench.report.statistics.comparison import LEVEL, Comparison
from bench.report.statistics.intervals import DECIDING_SEEDS
from bench.report.tables import format as wording
from bench.store.records import PhaseName

_NAMED = 3
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """What a method may cost; None is no limit.

    Attributes:
        memory: Highest peak over all phases, in bytes.
        forgetting: Largest share lost on any forgetting task.
    """

    memory: int | None = None
    forgetting: float | None = None


@dataclass(frozen=True)
class Choice:
    """The method to use among those that qualify.

    Attributes:
        row: The method.
        best: The one that learned most, often the same.
        tied: Others that cannot be told apart from the best, with their differences to it.
        worse: The best of those that can.
        open: The best of those that share too few seeds with the best to say either.
    """

    row: Row
    best: Row
    tied: tuple[tuple[Row, Comparison], ...]
    worse: tuple[Row, Comparison] | None
    open: tuple[Row, Comparison] | None = None


def recommendations(board: Leaderboard, limits: Limits) -> list[str]:
    """Return what to use in each section: three lines, or one where nothing qualifies."""
    return [line for section in board.sections for line in recommend(section, limits)]


def recommend(section: Section, limits: Limits) -> list[str]:
    """Return the lines of one section."""
    measured = [row for row in section.done if row.metrics[section.learned] is not None]
    obstacles = {row.label: _obstacle(section, row, limits) for row in measured}
    fit = [row for row in measured if not obstacles[row.label]]
    if not fit:
        return [f"{section.title}: no method qualifies: {_why_none(section, obstacles)}"]
    choice = choose(fit, section.learned)
    excluded = [f"{label} {why}" for label, why in obstacles.items() if why]
    return [
        f"{section.title}: use {choice.row.label}",
        f"  why: {_why(section, choice.row, limits)}",
        f"  {_against_others(choice, excluded)}",
    ]


def choose(fit: Sequence[Row], metric: str) -> Choice:
    """Choose among rows that qualify: the cheapest of those not worse than the best learner."""
    learned = {row.label: known.value for row in fit if (known := row.metrics[metric])}
    ordered = sorted(fit, key=lambda row: -learned[row.label])
    best = ordered[0]
    compared = zip(ordered, compare_rows(ordered, best, metric), strict=True)
    others = [(row, c) for row, c in compared if c is not None and row is not best]
    enough = [(row, c, c.p) for row, c in others if len(c.seeds) >= DECIDING_SEEDS]
    found = [(row, c, p) for row, c, p in enough if p is not None]
    tied = tuple((row, c) for row, c, p in found if p > LEVEL)
    worse = next(((row, c) for row, c, p in found if p <= LEVEL), None)
    few = next(((row, c) for row, c in others if len(c.seeds) < DECIDING_SEEDS), None)
    row = min([best, *(row for row, _ in tied)], key=_seconds)
    return Choice(row, best, tied, worse, few)


def _seconds(row: Row) -> float:
    """Return what making the adapter costs: preparation and training, nothing cached."""
    found = [
        row.phases[name] for name in (PhaseName.PREPARE, PhaseName.TRAIN) if name in row.phases
    ]
    return sum(phase.seconds for phase in found) if found else float("inf")


def _obstacle(section: Section, row: Row, limits: Limits) -> str:
    """Return why a row does not qualify, empty where it does."""
    peak = row.peak_bytes
    if limits.memory is not None and (peak is None or peak > limits.memory):
        return f"needs {wording.memory(peak)}" if peak else "has no measured memory of its own"
    if limits.forgetting is None:
        return ""
    tasks = [task for task in section.forgetting_tasks if task != DRIFT]
    if not tasks or any(task not in row.forgetting for task in tasks):
        return "has no measured forgetting"
    lost = {task: found for task in tasks if (found := row.forgetting[task].lost)}
    over = (task for task in lost if lost[task].value > limits.forgetting + _ROUNDING)
    task = next(over, None)
    return f"forgets {wording.points(lost[task].value)} points on {task}" if task else ""


def _why_none(section: Section, obstacles: dict[str, str]) -> str:
    if not obstacles:
        return "no cell has a result yet"
    named = [f"{label} {why}" for label, why in list(obstacles.items())[:_NAMED]]
    more = len(obstacles) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _why(section: Section, row: Row, limits: Limits) -> str:
    unknown = " that the base did not answer" if section.learned == "reliability_unknown" else ""
    learned = wording.percent_interval(row.metrics[section.learned])
    said = [f"learned {learned}% of the facts{unknown}"]
    if section.learned == AUROC:
        said = [f"AUROC {learned}%"]
    for task in section.forgetting_tasks:
        found = row.forgetting.get(task)
        if task != DRIFT and found and found.lost:
            said.append(f"forgot {wording.points_interval(found.lost)} points on {task}")
            high = found.lost.interval.high if found.lost.interval else 0.0
            if limits.forgetting is not None and high > limits.forgetting:
                said[-1] += f", so it may exceed the limit of {100 * limits.forgetting:g}"
    if row.peak_bytes:
        limit = f" (limit {wording.memory(limits.memory)})" if limits.memory is not None else ""
        said.append(f"peak memory {wording.memory(row.peak_bytes)}{limit}")
    if row.failures:
        said.append(f"but {len(row.failures)} of its cells have no result")
    return "; ".join(said)


def _against_others(choice: Choice, excluded: Sequence[str]) -> str:
    said = [_ties(choice)] if choice.tied else []
    if choice.worse is not None:
        row, comparison = choice.worse
        difference = wording.points_interval(comparison.difference)
        said.append(f"{row.label} learned less than {choice.best.label}: {difference} points")
    if choice.open is not None:
        row, comparison = choice.open
        seeds = len(comparison.seeds)
        count = "one seed cannot" if seeds == 1 else f"{seeds} seeds cannot"
        said.append(
            f"{count} separate {choice.best.label} from {row.label} "
            f"({row.label} - {choice.best.label}: "
            f"{wording.points_interval(comparison.difference)} points); "
            f"run {DECIDING_SEEDS} or more"
        )
    if excluded:
        more = f" and {len(excluded) - _NAMED} more" if len(excluded) > _NAMED else ""
        said.append(f"over the limits: {', '.join(excluded[:_NAMED])}{more}")
    return "; ".join(said) or "no other result can be compared with it"


def _ties(choice: Choice) -> str:
    rivals = [row for row in (choice.best, *(r for r, _ in choice.tied)) if row is not choice.row]
    labels = [choice.row.label, *(row.label for row in rivals)]
    listed = f"{', '.join(labels[:-1])} and {labels[-1]}"
    if len(labels) > _NAMED:
        listed = f"{', '.join(labels[:_NAMED])} and {len(labels) - _NAMED} more"
    row, comparison = next((t for t in choice.tied if t[0] is choice.row), choice.tied[0])
    gap = wording.points_interval(comparison.difference)
    said = f"no significant difference between {listed}"
    own = wording.duration(_seconds(choice.row))
    other = wording.duration(min(map(_seconds, rivals)))
    word = "cheaper" if len(rivals) == 1 else "the cheapest"
    cost = f"{word}: {own} to train instead of {other}"
    return (
        f"{said} ({row.label} - {choice.best.label}: {gap} points); {choice.row.label} is "
        f"{cost if own != other else f'as cheap as any: {own}'}"
    )
