"""Which cells of two results folders are the same ones, and in what their identities differ.

Cells with one id are the same. Of the others, those are the same that agree in all that a person
chose: model, task, method, settings, seed. What is left of an identity are versions: digests of
code and of facts, revisions, defaults. A cell may differ in these and still be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.store.records import CellRecord, CellSpec

_Read = Callable[[CellSpec], object]

SECTION: dict[str, _Read] = {
    "model": lambda spec: spec.model,
    "number format": lambda spec: spec.precision,
    "task": lambda spec: spec.task,
    "set of facts": lambda spec: spec.fact_set or "",
    "facts": lambda spec: spec.facts,
}
"""What rows that stand in one table have in common."""

CHOSEN: dict[str, _Read] = {
    **SECTION,
    "lessons": lambda spec: spec.lessons,
    "requested method": lambda spec: spec.asked,
    "method": lambda spec: spec.method,
    "first step": lambda spec: spec.started,
    "lr": lambda spec: f"{spec.learning_rate:g}",
    "epochs": lambda spec: spec.epochs,
    "batch size": lambda spec: spec.batch_size,
    "accumulation": lambda spec: spec.accumulation,
    "schedule": lambda spec: spec.schedule,
    "warm-up": lambda spec: f"{spec.warmup:g}",
    "train prompt": lambda spec: spec.train_prompt,
}
"""What a person chose of a cell, but for its seed."""

VERSIONS: dict[str, _Read] = {
    "model_revision": lambda spec: spec.model_revision,
    "recipe": lambda spec: spec.recipe,
    "source_digest": lambda spec: spec.source_digest,
    "optimizer": lambda spec: spec.optimizer,
    "evaluation": lambda spec: spec.evaluation,
    "facts_digest": lambda spec: spec.facts_digest,
    "lessons_digest": lambda spec: spec.lessons_digest,
    "prompt_digest": lambda spec: spec.prompt_digest,
    "calibration_digest": lambda spec: spec.calibration_digest,
    "replay_digest": lambda spec: spec.replay_digest,
    "after": lambda spec: f"{spec.after.setting} {spec.after.version}" if spec.after else "",
    "tuned": lambda spec: spec.tuned.other_digest if spec.tuned else "",
    "rescored": lambda spec: (
        f"{spec.rescored.scoring} {spec.rescored.digest}".strip() if spec.rescored else ""
    ),
}
"""The rest of an identity, by the names of a record's fields."""


@dataclass(frozen=True, slots=True)
class CellPair:
    """A cell of both folders, A and B.

    Attributes:
        a, b: Its records.
        differs: The versions in which its identities differ.
    """

    a: CellRecord
    b: CellRecord
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A cell that only one folder has.

    Attributes:
        record: The cell.
        near: The cell of the other folder that is most like it; None if none has its method.
        differs: What was chosen differently for that one, or else its other versions.
    """

    record: CellRecord
    near: CellRecord | None
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matched:
    """The cells of two folders; each is in one of these."""

    pairs: tuple[CellPair, ...]
    only_a: tuple[Unpaired, ...]
    only_b: tuple[Unpaired, ...]


def section_key(spec: CellSpec) -> tuple[str, ...]:
    """Return what is the same for all cells of one table."""
    return tuple(str(read(spec)) for read in SECTION.values())


def chosen_key(spec: CellSpec) -> tuple[str, ...]:
    """Return what a person chose of a cell, its seed included."""
    return (*(str(read(spec)) for read in CHOSEN.values()), str(spec.seed))


def differing(a: CellSpec, b: CellSpec, read: dict[str, _Read]) -> tuple[str, ...]:
    """Return in which of some parts two identities differ."""
    return tuple(name for name, of in read.items() if of(a) != of(b))


def matched(a: Sequence[CellRecord], b: Sequence[CellRecord]) -> Matched:
    """Pair the cells of two folders; which one is called A makes no difference to it."""
    by_id = {record.cell_id: record for record in b}
    same = [CellPair(one, by_id[one.cell_id]) for one in a if one.cell_id in by_id]
    taken = {pair.a.cell_id for pair in same}
    pairs = [*same, *_by_choice(_without(a, taken), _without(b, taken))]
    only_a = _without(a, {pair.a.cell_id for pair in pairs})
    only_b = _without(b, {pair.b.cell_id for pair in pairs})
    return Matched(
        pairs=tuple(sorted(pairs, key=lambda pair: chosen_key(pair.b.spec))),
        only_a=tuple(_unpaired(record, b) for record in only_a),
        only_b=tuple(_unpaired(record, a) for record in only_b),
    )


def _without(records: Iterable[CellRecord], ids: set[str]) -> list[CellRecord]:
    return [record for record in records if record.cell_id not in ids]


def _by_choice(a: Sequence[CellRecord], b: Sequence[CellRecord]) -> list[CellPair]:
    """Pair cells of which the same was chosen; of several, first those with most in common."""
    of_b: dict[tuple[str, ...], list[CellRecord]] = {}
    for record in b:
        of_b.setdefault(chosen_key(record.spec), []).append(record)
    possible = [
        CellPair(one, other, differing(one.spec, other.spec, VERSIONS))
        for one in a
        for other in of_b.get(chosen_key(one.spec), ())
    ]
    found: list[CellPair] = []
    taken: set[str] = set()
    for pair in sorted(possible, key=_unlikeness):
        ids = {pair.a.cell_id, pair.b.cell_id}
        if not ids & taken:
            found.append(pair)
            taken |= ids
    return found


def _unlikeness(pair: CellPair) -> tuple[int, list[str]]:
    return len(pair.differs), sorted([pair.a.cell_id, pair.b.cell_id])


def _unpaired(record: CellRecord, others: Sequence[CellRecord]) -> Unpaired:
    def is_like(other: CellRecord) -> bool:
        read = (SECTION["model"], SECTION["task"], CHOSEN["requested method"])
        return all(of(other.spec) == of(record.spec) for of in read)

    def distance(other: CellRecord) -> tuple[int, int, int, str]:
        parts = (differing(other.spec, record.spec, read) for read in (CHOSEN, VERSIONS))
        chosen, versions = map(len, parts)
        return chosen, abs(other.spec.seed - record.spec.seed), versions, other.cell_id

    near = min(filter(is_like, others), key=distance, default=None)
    if near is None:
        return Unpaired(record, None, ())
    differs = differing(record.spec, near.spec, CHOSEN)
    if not differs and near.spec.seed == record.spec.seed:
        differs = differing(record.spec, near.spec, VERSIONS)
    return Unpaired(record, near, differs)
