"""Synthetic cells with planted effects, for the tests of the findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from zlib import crc32

import numpy as np
from scipy.special import ndtr

from bench.pages.findings.evidence import Evidence, settings_of
from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.build import build_leaderboard
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import (
    CellRecord,
    FactRow,
    MovedOutputs,
    Phase,
    PhaseName,
    Status,
    Tuned,
    WeightChange,
)
from methods.recipe import parse_recipe
from tasks.division import FactSet
from tests.bench.report_cells import (
    as_read,
    cell_id_of,
    make_drift,
    make_forgetting,
    make_path,
    make_rows,
    make_spec,
    metrics_of,
)

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Plan:
    """What a method's cells hold.

    `correct` is the chance of each fact, `[facts]` or a number, `distances` and `after` likewise;
    without an `after` it is 0 for right answers and the distance before for wrong ones. Methods
    of the same `luck` share theirs. `tuned` are the rates tried on other facts, the best first.
    `epochs` are those after which a fact is learned, `[facts]`, give or take one; drift grows
    evenly up to `drift`. After demonstrations the share `away` of facts, `[facts]`, strays and the
    rest stay where they were, or answers are as far away as `few_shot` says. `bare` is the chance
    of each fact without a prompt, `contained` that of an answer that contains it, as high unless
    given, and `csd` how far the change of weights moves outputs.
    """

    method: str
    correct: object = 0.9
    n: int = 64
    seeds: tuple[int, ...] = SEEDS
    task: str = "countries"
    distances: object = None
    after: object = None
    known: object = None
    kept: object = None
    weights: object = 1.0
    notes: dict | None = None
    lost: dict | None = None
    flops: float = 4e12
    seconds: float = 40.0
    spec: dict | None = None
    luck: str = ""
    tuned: tuple[float, ...] = ()
    epochs: object = None
    relations: object = None
    drift: float = 0.0
    away: object = None
    few_shot: object = None
    bare: object = None
    contained: object = None
    csd: float | None = None


def cells_of(plan: Plan) -> list[Cell]:
    return [_cell(plan, seed) for seed in plan.seeds] + [_cell(p, 0) for p in _tried(plan)]


def _tried(plan: Plan) -> list[Plan]:
    """The candidates on the tuning set, each later one a little worse."""
    if not plan.tuned:
        return []
    chances = [np.asarray(plan.correct) - 0.2 * place for place in range(len(plan.tuned))]
    role = {"tuned": _role(plan, FactSet.TUNING), "facts_digest": "tuning"}
    return [
        replace(plan, correct=chance, tuned=(), spec={**role, "learning_rate": rate})
        for chance, rate in zip(chances, plan.tuned, strict=True)
    ]


def _role(plan: Plan, fact_set: FactSet) -> Tuned:
    other = "reporting" if fact_set is FactSet.TUNING else "tuning"
    method = parse_recipe(plan.method).name
    return Tuned(
        fact_set=fact_set, method=method, other_digest=other, other_facts=plan.n, over=("lr",)
    )


def record_and_rows(plan: Plan, seed: int):
    chance = np.broadcast_to(plan.correct, plan.n)
    # A fact is as hard in every cell and seed, with some luck of each method and seed.
    hard = np.random.default_rng(5).normal(size=plan.n)
    luck = np.random.default_rng([seed, crc32((plan.luck or plan.method).encode())]).normal(
        size=plan.n
    )
    right = ndtr(np.sqrt(0.8) * hard + np.sqrt(0.2) * luck) < chance
    distances = _spread(plan.n) if plan.distances is None else np.asarray(plan.distances)
    known = distances == 0 if plan.known is None else np.broadcast_to(plan.known, plan.n)
    after = np.where(right, 0.0, distances) if plan.after is None else plan.after
    after = np.broadcast_to(np.asarray(after, dtype=float), plan.n)
    kept = np.broadcast_to(True if plan.kept is None else plan.kept, plan.n)
    columns = {
        "correct_after": right.tolist(),
        "distance_before": distances.tolist(),
        "distance_after": after.tolist(),
        "correct_before": known.tolist(),
        "knowledge": [
            KnowledgeCategory.KNOWN if flag else KnowledgeCategory.UNKNOWN for flag in known
        ],
        "kept": kept.tolist(),
        "weight": np.broadcast_to(plan.weights, plan.n).tolist(),
    }
    if plan.epochs is not None:
        jitter = np.random.default_rng([seed, 3, crc32(plan.method.encode())]).integers(
            -1, 2, plan.n
        )
        found = np.clip(np.broadcast_to(plan.epochs, plan.n) + jitter, 1, 9)
        columns["epochs_to_learn"] = [int(epoch) for epoch in found]
    if plan.few_shot is not None:
        columns["distance_few_shot"] = np.asarray(plan.few_shot).tolist()
    if plan.away is not None:
        lot = np.random.default_rng([seed, 4]).uniform(size=plan.n)
        moved = distances + 0.1 * (lot < np.broadcast_to(plan.away, plan.n))
        columns["distance_few_shot"] = moved.tolist()
    if plan.bare is not None:
        own = crc32(str(plan.spec).encode())
        lot = np.random.default_rng([seed, own]).uniform(size=plan.n)
        columns["correct.bare"] = [float(flag) for flag in lot < plan.bare]
        contained = plan.bare if plan.contained is None else plan.contained
        columns["contained.bare"] = [float(flag) for flag in lot < contained]
    if plan.relations is not None:
        columns["relation"] = list(plan.relations)
    rows = [
        row.model_copy(update=dict(zip(columns, values, strict=True)))
        for row, *values in zip(_facts(plan.n), *columns.values(), strict=True)
    ]
    recipe = parse_recipe(plan.method)
    settings = {
        "method": recipe.name,
        "recipe": recipe.full_name,
        "learning_rate": recipe.adapter.learning_rate,
        "task": plan.task,
        "seed": seed,
        "facts": plan.n,
    }
    if plan.tuned:
        settings |= {
            "tuned": _role(plan, FactSet.REPORTING),
            "facts_digest": "reporting",
            "learning_rate": plan.tuned[0],
        }
    spec = make_spec(**{**settings, **(plan.spec or {})})
    lost = {"elements": 0.05} if plan.lost is None else plan.lost
    forgetting = [make_forgetting(task, share, seed) for task, share in lost.items()]
    if plan.csd is not None:
        forgetting.append(make_drift(plan.drift * (1 + 0.02 * seed), seed))
    record = CellRecord(
        cell_id=cell_id_of(spec),
        spec=spec,
        status=Status.DONE,
        metrics=metrics_of(rows),
        forgetting=forgetting,
        phases={
            PhaseName.TRAIN: Phase(seconds=plan.seconds, seconds_cold=plan.seconds, peak_bytes=1)
        },
        flops=plan.flops,
        path=make_path(plan.drift * (1 + 0.02 * seed), spec.epochs) if plan.drift else [],
        notes={"kept": int(kept.sum()), "layer_count": 30, **(plan.notes or {})},
        change=None if plan.csd is None else _change(plan.csd * (1 + 0.03 * seed)),
    )
    return record, rows


def _change(csd: float) -> WeightChange:
    moved = MovedOutputs(tokens=100, changed=[csd], base=[1.0], inputs=[1.0])
    return WeightChange(layers=["one"], linear_layers=1, squared_norm=[1.0], knowledge=moved)


@cache
def _facts(n: int) -> tuple[FactRow, ...]:
    return tuple(make_rows(n))


def _cell(plan: Plan, seed: int) -> Cell:
    return as_read(*record_and_rows(plan, seed))


def _spread(n: int) -> np.ndarray:
    """A quarter known, at 0; the others between 0.1 and 1."""
    return np.where(np.arange(n) % 4 == 0, 0.0, np.linspace(0.1, 1.0, n))


def evidence_of(*plans: Plan) -> Evidence:
    cells = [cell for plan in plans for cell in cells_of(plan)]
    board = build_leaderboard(cells)
    return Evidence(settings_of(board), tuple(cell.record for cell in cells))
