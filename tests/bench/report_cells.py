"""Synthetic cells for the tests of the store and the report."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from bench.evaluation.metrics import summarise
from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.fact_table import fact_tables, read_columns
from bench.store.formats import arrow_table, selected
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import (
    CellRecord,
    CellSpec,
    Checkpoint,
    Epoch,
    FactRow,
    Forgetting,
    MovedOutputs,
    Phase,
    PhaseName,
    Status,
    WeightChange,
)
from bench.store.store import ResultsStore


def make_spec(**changes) -> CellSpec:
    method = changes.get("method", "lora")
    values = {
        "model": "smollm2-135m",
        "model_revision": "wheel-0.1.2",
        "dtype": "float32",
        "task": "countries",
        "facts_digest": "f" * 64,
        "facts": 64,
        "prompt_digest": "a" * 64,
        "calibration_digest": "",
        "method": method,
        "recipe": f"{method}[r=16]" if "[" not in method else method,
        "source_digest": "c" * 64,
        "learning_rate": 1e-3,
        "epochs": 8,
        "batch_size": 8,
        "schedule": "cosine",
        "optimizer": "adamw",
        "seed": 0,
        "evaluation": 1,
    }
    return CellSpec(**{**values, **changes})


def cell_id_of(spec: CellSpec) -> str:
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:32]


CONTEXTS = {"few_shot": 0.1, "chat": 0.3, "bare": 0.5}
"""By context that training did not see the share of learned facts that are lost in it."""


def make_rows(
    n: int,
    seed: int = 0,
    accuracy: float = 0.9,
    known: float = 0.27,
    epochs: int = 8,
    updates: int = 0,
    relations: int = 1,
) -> list[FactRow]:
    """Facts whose base answers do not depend on the seed; far targets are learned less often.

    Every third fact that the base does not answer is a maybe. The first `updates` facts replace
    an old answer, which the base gave where it did not know the new one; of these facts the wrong
    ones keep it. A fact that is answered was learned after an epoch that grows with its distance
    and shrinks with `accuracy`; others are not learned at all. Half of the wrong answers in a
    context that training did not see are another fact's target.
    """
    base, run = np.random.default_rng(7), np.random.default_rng(1000 + seed)
    dose = np.random.default_rng(2000 + seed)
    rows = []
    for i in range(n):
        was_known = bool(base.random() < known)
        distance = 0.0 if was_known else float(base.uniform(0.1, 1.0))
        update = i < updates
        right = bool(run.random() < accuracy - (0.25 * (distance - 0.5) if accuracy < 1 else 0))
        learned = _epoch(dose, right, distance, accuracy, epochs)
        rise = np.linspace(0.3, 0.9, epochs) + run.normal(0, 0.1, epochs)
        rise = np.clip([0.3, *rise], 0, 0.95)
        curve = np.where(np.arange(epochs + 1) >= learned, 1.0, rise)
        unsure = KnowledgeCategory.MAYBE if i % 3 == 0 else KnowledgeCategory.UNKNOWN
        old, still_old = f"Place {i}", not right if update else None
        after = f"City {i}" if right else old if still_old else f"Spot {i % 3}"
        elsewhere = {name: right and dose.random() >= lost for name, lost in CONTEXTS.items()}
        said = {
            name: f"City {i}" if there else f"City {i + 1}" if dose.random() < 0.5 else "Nowhere"
            for name, there in elsewhere.items()
        }
        rows.append(
            FactRow(
                fact_id=f"fact-{i:04d}",
                question=f"What is the capital of country {i}?",
                target=f"City {i}",
                answers=[f"City {i}", f"Town {i}"],
                relation=("capital", "currency", "calling code")[i % relations],
                subject=f"country {i}",
                answer_before=f"City {i}" if was_known else f"Place {i}",
                answer_before_trained="" if i % 4 else f"Place {i}",
                answer_after=after,
                answer_plain=after,
                **{f"answer_{name}": text for name, text in said.items()},
                **{f"correct.{name}": there for name, there in elsewhere.items()},
                **{
                    f"confusion.{name}": None if there else said[name] == f"City {i + 1}"
                    for name, there in elsewhere.items()
                },
                **{"correct.plain": None, "confusion.plain": None if right else False},
                correct_before=was_known,
                knowledge=KnowledgeCategory.KNOWN if was_known else unsure,
                correct_after=right,
                epochs_to_learn=learned,
                learned_half=learned <= epochs / 2,
                f1_before=float(was_known),
                f1_after=float(right),
                distance_before=distance,
                distance_few_shot=0.0 if elsewhere["few_shot"] else 0.5,
                distance_before_trained=None if i % 4 else 0.8,
                distance_after=0.0 if right else 0.4,
                movement=abs(distance - (0.0 if right else 0.4)),
                nll_before=2.0,
                nll_after=0.2,
                generality=float(right) * (1.0 if run.random() < 0.8 else 0.5),
                locality=None if i % 3 == 0 else float(run.random() < 0.9),
                empty_before=False,
                empty_few_shot=False,
                empty_after=False,
                weight=1.0,
                kept=True,
                curve=curve.tolist(),
                old_answers=[old] if update else [],
                old_before=not was_known if update else None,
                old_after=still_old,
                updated=right if update else None,
                old_nll_before=1.0 if update else None,
                old_nll_after=0.1 + 0.2 * right if update else None,
                prefers_new_after=right if update else None,
            )
        )
    return rows


def _epoch(
    dose: np.random.Generator, right: bool, distance: float, accuracy: float, epochs: int
) -> int:
    """Return after how many epochs a fact is learned."""
    slow = 1 + distance * epochs / 2 + (1 - accuracy) * epochs / 2
    drawn = 1 + int(dose.poisson(slow - 1))
    return min(drawn, epochs) if right else epochs + 1


def metrics_of(rows: list[FactRow]):
    return summarise(rows)


def make_path(drift: float, epochs: int, task: str = "") -> list[Checkpoint]:
    """A checkpoint after each epoch; drift and what is lost of the task grow evenly."""
    return [
        Checkpoint(
            epoch=epoch,
            drift=drift * epoch / epochs,
            forgetting={task: 0.1 * epoch / epochs} if task else {},
        )
        for epoch in range(1, epochs + 1)
    ]


def make_forgetting(
    task: str = "elements",
    lost: float = 0.05,
    seed: int = 0,
    n: int = 100,
    at_floor: bool = False,
) -> Forgetting:
    base = (np.arange(n) % 2).astype(float)
    tuned = base.copy()
    hit = np.random.default_rng(seed).permutation(np.flatnonzero(base))[: round(lost * n)]
    tuned[hit] = 0.0
    return Forgetting(
        task=task,
        metric="acc",
        base=base.mean(),
        tuned=tuned.mean(),
        base_items=base.tolist(),
        tuned_items=tuned.tolist(),
        forgetting=base.mean() - tuned.mean(),
        at_floor=at_floor,
        digest="e" * 64,
        limit=n,
    )


def make_drift(mean: float = 0.1, seed: int = 0, n: int = 32) -> Forgetting:
    items = np.random.default_rng(seed).gamma(4.0, mean / 4, n)
    return Forgetting(
        task="drift",
        metric="kl",
        base=0.0,
        tuned=items.mean(),
        base_items=[0.0] * n,
        tuned_items=items.tolist(),
        forgetting=items.mean(),
        at_floor=False,
        digest="d" * 64,
        limit=n,
    )


def make_change(size: float = 1.0, layers: int = 2, directions: int = 16) -> WeightChange:
    """What `--explain` records of a change whose |dW|_F^2 is `size` in each of two modules a layer.

    Later layers are moved more; knowledge is moved half as much as the task.
    """
    names = [f"model.layers.{n}.{m}" for n in range(layers) for m in ("mlp.up", "mlp.down")]
    count = len(names)

    def moved(factor: float, tokens: int) -> MovedOutputs:
        changed = [factor * size * (1 + place) for place in range(count)]
        return MovedOutputs(
            tokens=tokens, changed=changed, base=[10.0] * count, inputs=[4.0] * count
        )

    return WeightChange(
        layers=names,
        linear_layers=count,
        directions=directions,
        knowledge_digest="k" * 64,
        squared_norm=[size] * count,
        top_left=[0.5] * count,
        top_right=[0.4] * count,
        bottom_left=[0.1] * count,
        bottom_right=[0.05] * count,
        knowledge=moved(0.5, 4096),
        task=moved(1.0, 1024),
    )


def make_cell(
    n: int = 64,
    accuracy: float = 0.9,
    lost: float = 0.05,
    drift: float = 0.1,
    known: float = 0.27,
    updates: int = 0,
    relations: int = 1,
    spec: dict | None = None,
    **changes,
) -> tuple[CellRecord, list[FactRow]]:
    """A done cell with its rows; `spec` and other keywords change single fields."""
    cell_spec = make_spec(facts=n, **(spec or {}))
    seed = cell_spec.seed
    rows = make_rows(n, seed, accuracy, known, cell_spec.epochs, updates, relations)
    steps = np.linspace(0, 1, cell_spec.epochs)
    values = {
        "cell_id": cell_id_of(cell_spec),
        "spec": cell_spec,
        "status": Status.DONE,
        "metrics": metrics_of(rows),
        "forgetting": [make_forgetting(lost=lost, seed=seed), make_drift(drift, seed)],
        "curve": [
            Epoch(
                epoch=i + 1,
                loss=float(3 * np.exp(-4 * accuracy * x) + 0.02 * seed),
                token_accuracy=float(0.3 + (accuracy - 0.3) * x),
            )
            for i, x in enumerate(steps)
        ],
        "phases": {
            PhaseName.PREPARE: Phase(seconds=0.1, seconds_cold=12.5, peak_bytes=900_000_000),
            PhaseName.TRAIN: Phase(seconds=48.0, seconds_cold=48.0, peak_bytes=1_500_000_000),
            PhaseName.EVALUATE: Phase(seconds=20.0, seconds_cold=21.0, peak_bytes=1_200_000_000),
            PhaseName.FORGET: Phase(seconds=9.0, seconds_cold=31.0, peak_bytes=1_100_000_000),
        },
        "parameters": 4_884_480,
        "parameters_total": 134_515_008,
        "flops": 3.2e12,
        "init_difference": 0.0,
        "identity": True,
        "path": make_path(drift, cell_spec.epochs),
    }
    return CellRecord(**{**values, **changes}), rows


def as_read(record: CellRecord, rows: list[FactRow]) -> Cell:
    """The cell as the report has it, without a folder."""
    table = arrow_table(rows)

    def read(names):
        return selected(table, names)

    return Cell(record, *fact_tables([read(read_columns())], [read]))


def failed_cell(
    reason: str = "out of memory at step 3", **spec
) -> tuple[CellRecord, list[FactRow]]:
    cell_spec = make_spec(**spec)
    record = CellRecord(
        cell_id=cell_id_of(cell_spec), spec=cell_spec, status=Status.OUT_OF_MEMORY, reason=reason
    )
    return record, []


def fill(folder: Path, cells) -> Path:
    store = ResultsStore(folder)
    for record, rows in cells:
        store.write(record, rows)
    return folder
