"""What parts record about their choices, and how people see it.

A part returns `Notes` of its own: a frozen dataclass with one field for each thing it decided. The
fields are stored in the cell's record under their names. Fields that `note` declares with a label
also appear in `show`, on the leaderboard and on its page, which find the class by its field names.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Any, ClassVar

from tasks.errors import UsageError


@dataclass(frozen=True)
class Told:
    """One choice in words.

    Attributes:
        label: What was decided; stands left of the text in `show`.
        text: What was chosen.
        mark: Shown beside the method's name on the leaderboard; empty shows nothing.
    """

    label: str
    text: str
    mark: str = ""


def note(label: str = "", text: str = "{}") -> Any:
    """Declare a field of `Notes` whose default is None, which is never shown.

    Args:
        label: Shown with the value, as in `stages 3`. A field without a label is not shown by
            itself; `told` may describe it together with others.
        text: A format string for the value, such as `{:.2f}`.
    """
    return field(default=None, metadata={"label": label, "text": text})


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What one part recorded in one cell, as plain JSON values.

    Attributes:
        warnings: Lines for people, which become warnings of the cell's record.
    """

    warnings: tuple[str, ...] = ()

    owners: ClassVar[dict[str, type[Notes]]] = {}
    """The class that declares each field name; a name has one meaning in all records."""

    def __init_subclass__(cls) -> None:
        for name in inspect.get_annotations(cls):
            present = Notes.owners.setdefault(name, cls)
            if (present.__module__, present.__qualname__) != (cls.__module__, cls.__qualname__):
                raise UsageError(
                    f"the note '{name}' is declared twice: by {present.__module__}."
                    f"{present.__qualname__} and {cls.__module__}.{cls.__qualname__}; rename one"
                )
            Notes.owners[name] = cls

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the choices in words; by default, one for each field that has a label.

        Args:
            facts: Number of facts in the cell.
            kept: How many of them were trained; None if the record does not say.
        """
        for each in fields(self):
            label, value = each.metadata.get("label"), getattr(self, each.name)
            if label and value is not None:
                text = each.metadata["text"].format(value)
                yield Told(label, text, f"{label} {text}")


def stored(notes: Iterable[Notes]) -> dict[str, Any]:
    """Return notes as a record stores them: plain JSON values by field name, without warnings."""
    return {
        each.name: _plain(getattr(one, each.name))
        for one in notes
        for each in fields(one)
        if each.name != "warnings"
    }


@dataclass(frozen=True)
class TrainedNotes(Notes):
    """What a cell trained; recorded for every recipe.

    Attributes:
        kept: Number of facts that were trained.
        layers: Indices of the decoder layers that were trained, from 0; None for all.
        layer_count: Number of decoder layers of the base.
    """

    kept: int | None = note()
    layers: tuple[int, ...] | None = note()
    layer_count: int | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the trained layers if not all, and the number of trained facts if not all."""
        if self.layers is not None:
            of = f" of {self.layer_count}" if self.layer_count else ""
            some = "layer" if len(self.layers) == 1 else "layers"
            text = f"{layer_ranges(self.layers)}{of}"
            yield Told("trained layers", text, f"{some} {text}")
        if self.kept not in (None, facts):
            text = f"{self.kept} of {facts}"
            yield Told("trained facts", text, f"keeps {text} facts")


@dataclass(frozen=True)
class KeptFactsNotes(Notes):
    """Which facts a filter kept, by id."""

    kept_facts: tuple[str, ...]


def layer_ranges(layers: Iterable[int]) -> str:
    """Write layer indices, which start at 0, as people count layers: `1-3, 7`."""
    ordered = enumerate(sorted(set(layers)))
    groups = [[layer for _, layer in run] for _, run in groupby(ordered, lambda p: p[1] - p[0])]
    return ", ".join(
        f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in groups
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return value
