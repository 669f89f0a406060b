"""From the cells of tuned grids to what the leaderboard shows of them: the best candidates' cells.

The candidates of a method are all its cells on one tuning set that differ in nothing but their
seeds and what was tuned. They are compared anew, from the cells alone, so that grids which tried
other values at other times count as one. Of a method's cells on the reporting set those of its best
candidate are shown; others were trained when fewer candidates had been tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from bench.evaluation.metrics import metric_table
from bench.planning.tuning import (
    FIELDS,
    MEASURES,
    RECIPE_FIELDS,
    RUN_PARAMETERS,
    Trial,
    best_trial,
    candidate_of,
    order,
    shown,
    trials_of,
)
from bench.report.leaderboard.aggregates import Aggregate, aggregates
from bench.report.leaderboard.board import Cell, Tried, Tuning
from bench.report.statistics.intervals import Estimate
from bench.store.records import CellSpec
from tasks.division import FactSet

K = TypeVar("K", bound=Hashable)


@dataclass
class Settled:
    """What a board shows of the cells of a folder.

    Attributes:
        cells: Those that were not tuned, and those of the best candidates.
        tunings: How cells that are shown were tuned, by their ids.
        untrained: Tunings that no cell on the reporting set has come of.
    """

    cells: list[Cell] = field(default_factory=list)
    tunings: dict[str, Tuning] = field(default_factory=dict)
    untrained: list[Tuning] = field(default_factory=list)


def settle(cells: Iterable[Cell]) -> Settled:
    """Choose what is shown of all cells of a folder."""
    settled = Settled()
    for place, members in _grouped(cells, _place).items():
        if place is None:
            settled.cells += members
            continue
        tuned = [cell.record.spec.tuned for cell in members]
        over = in_order(name for role in tuned if role for name in role.over)
        for group in _grouped(members, partial(_fixed, over)).values():
            _settle(group, over, settled)
    return settled


def reporting_spec(spec: CellSpec) -> CellSpec:
    """Return the spec that a candidate's cells on the reporting set have, but for their seeds."""
    tuned = spec.tuned
    if tuned is None or tuned.fact_set is FactSet.REPORTING:
        return spec
    other = {"other_digest": spec.facts_digest, "other_facts": spec.facts}
    role = tuned.model_copy(update={"fact_set": FactSet.REPORTING, **other})
    facts = {"facts_digest": tuned.other_digest, "facts": tuned.other_facts}
    return spec.model_copy(update={**facts, "tuned": role})


def _grouped(cells: Iterable[Cell], key: Callable[[CellSpec], K]) -> dict[K, list[Cell]]:
    groups: dict[K, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(key(cell.record.spec), []).append(cell)
    return groups


def _place(spec: CellSpec) -> Hashable:
    """Return what all cells of a tuned method share; None for a cell that was not tuned."""
    if spec.tuned is None:
        return None
    spec = reporting_spec(spec)
    varying = dict.fromkeys(("seed", *FIELDS.values(), *RECIPE_FIELDS, "method"), True)
    given = spec.model_dump(exclude={**varying, "after": {"cell"}})
    tuned = given.pop("tuned")
    given["after"] = str(given.get("after"))
    return (*given.values(), *(tuned[name] for name in tuned if name not in ("over", "values")))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names of what was tuned, run options first."""
    found = set(names)
    known = [name for name in RUN_PARAMETERS if name in found]
    return (*known, *sorted(found.difference(known)))


def _fixed(over: Sequence[str], spec: CellSpec) -> Hashable:
    """Return what candidates of one choice share beside their place: all that is not tuned."""
    fixed = [name for option, name in FIELDS.items() if option not in over]
    recipes = () if set(over) - set(RUN_PARAMETERS) else RECIPE_FIELDS
    return tuple(getattr(spec, name) for name in (*fixed, *recipes))


def _settle(members: Sequence[Cell], over: tuple[str, ...], settled: Settled) -> None:
    by_set = _grouped(members, lambda spec: spec.fact_set)
    reporting = _grouped(by_set.get(FactSet.REPORTING, ()), candidate_of)
    tried = _with_the_same_seeds(by_set.get(FactSet.TUNING, ()))
    trials = trials_of([[cell.record for cell in cells] for cells in tried])
    best = best_trial(trials)
    trained = best_trial([trial for trial in trials if candidate_of(trial.spec) in reporting])
    wanted = reporting if trained is None else {candidate_of(trained.spec)}
    kept = [cell for key, cells in reporting.items() if key in wanted for cell in cells]
    settled.cells += kept
    if not tried:
        return
    known = [name for name in MEASURES if name in metric_table()]
    means = aggregates(tried, known)
    others = [cells[0].record.spec for key, cells in reporting.items() if key not in wanted]
    tuning = Tuning(
        over=over,
        tried=tuple(
            Tried(trial, tuple(cells), _scores(trial, mean), mean.forgetting)
            for cells, trial, mean in zip(tried, trials, means, strict=True)
        ),
        best=best,
        trained=trained,
        earlier=tuple(shown(spec, over) for spec in sorted(others, key=order)),
    )
    settled.tunings |= {cell.record.cell_id: tuning for cell in kept}
    settled.untrained += [] if kept else [tuning]


def _scores(trial: Trial, mean: Aggregate) -> dict[str, Estimate]:
    """Return what a trial can be scored by, with intervals where its metric is known here."""
    if trial.score is None:
        return {}
    known = {name: found for name, found in mean.metrics.items() if found is not None}
    return {trial.measure: Estimate(trial.score), **known}


def _with_the_same_seeds(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells of each candidate, by their values, all with the same seeds.

    These are the seeds that most candidates have. One that lacks some, because its grid was
    interrupted, is not tried yet.
    """
    candidates = list(_grouped(cells, candidate_of).values())
    have = Counter(frozenset(c.record.spec.seed for c in group) for group in candidates)
    seeds = max(
        have, key=lambda found: (have[found], len(found), sorted(found)), default=frozenset()
    )
    tried = []
    for group in candidates:
        chosen = {c.record.spec.seed: c for c in group if c.record.spec.seed in seeds}
        if set(chosen) == seeds:
            tried.append([chosen[seed] for seed in sorted(seeds)])
    return sorted(tried, key=lambda group: order(group[0].record.spec))
