"""What the parts of a recipe chose in a cell, read from its notes and put into words.

Which `Notes` a record holds is told by the names of its notes. What has another form than its class
expects, or belongs to a part that is not installed here, is not told, and never an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from bench.report.leaderboard.board import Row, Section
from bench.store.records import CellRecord
from methods.fact_filter import RemovalNotes
from methods.notes import Notes, Told, TrainedNotes
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES

N = TypeVar("N", bound=Notes)


def notes_of(record: CellRecord, kind: type[N]) -> N | None:
    """Return a record's notes of one class, without values of another form than it expects.

    None where the record has none of them, or lacks one that the class cannot do without.
    """
    values = {}
    for name in (each.name for each in fields(kind) if each.name in record.notes):
        with suppress(Exception):  # also a type of another package that pydantic cannot read
            values[name] = _form(name).validate_python(record.notes[name])
    try:
        return kind(**values) if values else None
    except TypeError:
        return None


def told(record: CellRecord) -> list[Told]:
    """Return a cell's choices in words: those of its parts, then which layers and facts."""
    owners = [Notes.owners[name] for name in record.notes if name in _owners()]
    kinds = [kind for kind in dict.fromkeys(owners) if kind is not TrainedNotes]
    trained = notes_of(record, TrainedNotes)
    found = [notes_of(record, kind) for kind in kinds]
    kept = trained.kept if trained else None
    choices: list[Told] = []
    for notes in (*found, trained):
        with suppress(Exception):  # a report of a thousand cells outlives one odd value in one
            choices += notes.told(record.spec.trained, kept) if notes else ()
    return choices


def untold(record: CellRecord) -> dict[str, Any]:
    """Return the notes that `told` leaves out, as they are stored."""
    worded = {
        each.name
        for kind in dict.fromkeys(_owners().values())
        for each in fields(kind)
        if "label" in each.metadata
    }
    return {name: value for name, value in record.notes.items() if name not in worded}


def chosen_marks(row: Row) -> list[str]:
    """Return a row's choices in a few words each; where seeds differ, as far as they agree."""
    found = [{one.label: one.mark for one in told(cell.record) if one.mark} for cell in row.cells]
    labels = dict.fromkeys(label for marks in found for label in marks)
    return [_agreed(row, [marks.get(label, "") for marks in found]) for label in labels]


def removals(section: Section) -> list[str]:
    """Return one line per row whose filter removed an interval of distances."""
    lines = []
    for row in section.done:
        record = row.cells[0].record
        removed, trained = notes_of(record, RemovalNotes), notes_of(record, TrainedNotes)
        if removed and trained:
            choices = removed.told(record.spec.trained, trained.kept)
            lines += [f"{row.label}: removed {choice.text}" for choice in choices]
    return lines


def _agreed(row: Row, texts: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    if len(distinct) == 1:
        return distinct[0]
    return "; ".join(
        f"{text} (seed {seed})" for seed, text in zip(row.seeds, texts, strict=True) if text
    )


@cache
def _form(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(Notes.owners[name])[name])


def _owners() -> dict[str, type[Notes]]:
    """Return all classes of notes, those of every installed part too."""
    for registry in (ADAPTERS, PLACEMENTS, STRATEGIES):
        registry.names()
    return Notes.owners
