"""What parts record about their choices, and how that is shown to people.

A part returns `Notes` of its own: a frozen dataclass, one field for each thing it decided. The
fields are stored in the cell's record under their names; those declared by `note` with a label are
also shown by `show`, on the leaderboard and on its page, which find the class by its fields' names.
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
    """A choice in words.

    Attributes:
        label: What it is, left of the text in `show`.
        text: What was chosen.
        mark: What is said beside the method's name on the leaderboard; empty says nothing.
    """

    label: str
    text: str
    mark: str = ""


def note(label: str = "", text: str = "{}") -> Any:
    """Declare a field of `Notes` that is shown in words, None where there is nothing to say.

    Args:
        label: Shown with the value, as in `stages 3`. Without a label the value is not shown by
            itself, because `told` puts it into words together with others.
        text: How the value is written, a format string such as `{:.2f}`.
    """
    return field(default=None, metadata={"label": label, "text": text})


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What one part recorded in one cell, as plain JSON values.

    Attributes:
        warnings: Lines for people that go to the record's warnings.
    """

    warnings: tuple[str, ...] = ()

    owners: ClassVar[dict[str, type[Notes]]] = {}
    """Every class of notes by the names of its fields: a name means one thing in all records."""

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
        """Yield the choices in words; by default each field that has a label.

        Args:
            facts: The cell's facts.
            kept: How many of them were trained; None where the record does not say.
        """
        for each in fields(self):
            label, value = each.metadata.get("label"), getattr(self, each.name)
            if label and value is not None:
                text = each.metadata["text"].format(value)
                yield Told(label, text, f"{label} {text}")


def stored(notes: Iterable[Notes]) -> dict[str, Any]:
    """Return notes as a record keeps them: plain JSON by name, without the warnings."""
    return {
        each.name: _plain(getattr(one, each.name))
        for one in notes
        for each in fields(one)
        if each.name != "warnings"
    }


@dataclass(frozen=True)
class TrainedNotes(Notes):
    """What a cell trained, whatever its recipe.

    Attributes:
        kept: How many facts.
        layers: Which decoder layers, from 0; None for all.
        layer_count: How many the base has.
    """

    kept: int | None = note()
    layers: tuple[int, ...] | None = note()
    layer_count: int | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the layers, and how many facts were kept where some were not."""
        if self.layers is not None:
            of = f" of {self.layer_count}" if self.layer_count else ""
            some = "layer" if len(self.layers) == 1 else "layers"
            text = f"{layer_ranges(self.layers)}{of}"
            yield Told("trained layers", text, f"{some} {text}")
        if self.kept not in (None, facts):
            text = f"keeps {self.kept} of {facts}"
            yield Told("trained facts", text, text)


@dataclass(frozen=True)
class KeptFactsNotes(Notes):
    """The ids of the facts that a filter kept."""

    kept_facts: tuple[str, ...]


def layer_ranges(layers: Iterable[int]) -> str:
    """Write layers, given from 0, as people count them: `1-3, 7`."""
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
