"""What the parts of a recipe chose in a cell, read from its notes: cut, layers, facts.

Installed parts of other packages write notes of their own: what has another form than expected
here is not told, and never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic.functional_validators import ModelWrapValidatorHandler

from bench.report.leaderboard.board import Row, Section
from bench.store.records import CellRecord
from methods.layer_deviation import STABLE_SHARE

T = TypeVar("T")


def _none_if_unfit(value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


Noted = Annotated[T | None, WrapValidator(_none_if_unfit)]
"""A note of the expected form, else None."""


class Choices(BaseModel):
    """The notes of `bench.cell.decisions`, of `freeze` and of the filters on distance.

    Attributes:
        kept: How many facts were trained.
        layers: The decoder layers that were trained, from 0; None for all.
        layer_count: How many the base has.
        cut, cut_stability: The last frozen layer, and the share of draws that agree on it.
        layer_deviation, gain: Of latent spaces 0..L, and of layers 1..L.
        removed_interval: Lowest and highest distance of the facts that a filter removed.
        overlap_far, overlap_near: Shares of them that dropping as many farthest or nearest
            facts removes too.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kept: Noted[int] = None
    layers: Noted[tuple[int, ...]] = None
    layer_count: Noted[int] = None
    cut: Noted[int] = None
    cut_stability: Noted[float] = None
    layer_deviation: Noted[tuple[float, ...]] = None
    layer_deviation_low: Noted[tuple[float, ...]] = None
    layer_deviation_high: Noted[tuple[float, ...]] = None
    gain: Noted[tuple[float, ...]] = None
    gain_low: Noted[tuple[float, ...]] = None
    gain_high: Noted[tuple[float, ...]] = None
    removed_interval: Noted[tuple[float, float]] = None
    overlap_far: Noted[float] = None
    overlap_near: Noted[float] = None


TOLD = frozenset(Choices.model_fields)
"""The notes that `told` puts into words."""


def choices_of(record: CellRecord) -> Choices:
    """Return what was chosen in a cell."""
    return Choices.model_validate(record.notes)


def chosen_marks(row: Row) -> list[str]:
    """Return a row's choices in a few words each; where seeds differ, as far as they agree."""
    made = [(choices_of(cell.record), cell.record.spec.facts) for cell in row.cells]
    found = [[cut_text(one), _layers(one), _kept(one, facts)] for one, facts in made]
    return [text for texts in zip(*found, strict=True) if (text := _agreed(row, texts))]


def told(record: CellRecord) -> list[tuple[str, str]]:
    """Return a cell's choices as names and values to show below its setting."""
    made, facts = choices_of(record), record.spec.facts
    found = (
        ("trained facts", _kept(made, facts)),
        ("removed facts", _removed(made, facts)),
        ("cut", cut_text(made).removeprefix("cut ")),
        ("trained layers", _layers(made).removeprefix("layers ")),
    )
    return [(name, text) for name, text in found if text]


def removals(section: Section) -> list[str]:
    """Return one line per row whose filter removed an interval of distances."""
    lines = []
    for row in section.done:
        record = row.cells[0].record
        text = _removed(choices_of(record), record.spec.facts)
        if text:
            lines.append(f"{row.label}: removed {text}")
    return lines


def layer_ranges(layers: Iterable[int]) -> str:
    """Write layers, given from 0, as people count them: `1-3, 7`."""
    ordered = enumerate(sorted(set(layers)))
    groups = [[layer for _, layer in run] for _, run in groupby(ordered, lambda p: p[1] - p[0])]
    return ", ".join(
        f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in groups
    )


def _agreed(row: Row, texts: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    if len(distinct) == 1:
        return distinct[0]
    return "; ".join(
        f"{text} (seed {seed})" for seed, text in zip(row.seeds, texts, strict=True) if text
    )


def cut_text(made: Choices) -> str:
    """Write a cut with its stability: `cut 20, 83 % stable`; empty where there is none."""
    if made.cut is None:
        return ""
    if made.cut_stability is None:
        return f"cut {made.cut}"
    unstable = " unstable:" if made.cut_stability < STABLE_SHARE else ""
    return f"cut{unstable} {made.cut}, {100 * made.cut_stability:.0f} % stable"


def _layers(made: Choices) -> str:
    if made.layers is None:
        return ""
    of = f" of {made.layer_count}" if made.layer_count else ""
    some = "layer" if len(made.layers) == 1 else "layers"
    return f"{some} {layer_ranges(made.layers)}{of}"


def _kept(made: Choices, facts: int) -> str:
    return f"keeps {made.kept} of {facts}" if made.kept not in (None, facts) else ""


def _removed(made: Choices, facts: int) -> str:
    if made.removed_interval is None or made.kept is None:
        return ""
    low, high = made.removed_interval
    removed = facts - made.kept
    overlaps = [
        f"{100 * share:.0f} % of them among the {removed} {side}"
        for side, share in (("farthest", made.overlap_far), ("nearest", made.overlap_near))
        if share is not None
    ]
    return ", ".join([f"{removed} facts at distances {low:.2f} to {high:.2f}", *overlaps])
