"""The one table of measures of why a cell forgets, each computed from what `--explain` recorded.

A measure is a function of a `WeightChange`, over all of its layers or some of them. The columns of
`leaderboard.csv`, the lines of `show`, the panels of the plot and the legend follow this table: to
add a measure, write its function and a line in `MEASURES`.

CSD is PEFT-Arena's capability-conditioned drift of one linear layer, **exact** from its tool
`csd_single_checkpoint.py` at e982d19: E|dW h|^2, the same over E|W h|^2, and the same over
|dW|_F^2 E|h|^2. The means over layers are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # The report reads this table, and the command line the report, without pydantic.
    from bench.store.records import MovedOutputs, WeightChange

KNOWLEDGE, TASK = "knowledge", "task"
"""The texts that outputs are measured on: what must be kept, and what was trained."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that may say why a cell forgets.

    Attributes:
        name: Its column in `leaderboard.csv`.
        header: Heads its column where people read it.
        explanation: What it is, for the legend: no capital, no full stop.
        compute: Returns it for the changed layers of a cell, at least one; None where it has no
            value.
        is_share: Whether it lies between 0 and 1.
        drawn: Whether drift is plotted against it.
    """

    name: str
    header: str
    explanation: str
    compute: Callable[[WeightChange], float | None]
    is_share: bool = False
    drawn: bool = False

    def of(self, change: WeightChange | None) -> float | None:
        """Return its value; None for a cell that changed no weight of a linear layer."""
        return self.compute(change) if change is not None and change.layers else None


def of_layers(change: WeightChange, chosen: Sequence[int]) -> WeightChange:
    """Return what is recorded of some of the changed layers, as if there were no others.

    Args:
        change: The record.
        chosen: Their places in its lists.
    """
    from bench.store.records import MovedOutputs

    def some(values: Sequence[float]) -> list[float]:
        return [values[place] for place in chosen]

    def moved(outputs: MovedOutputs | None) -> MovedOutputs | None:
        return outputs and MovedOutputs(
            tokens=outputs.tokens,
            changed=some(outputs.changed),
            base=some(outputs.base),
            inputs=some(outputs.inputs),
        )

    return change.model_copy(
        update={
            "layers": [change.layers[place] for place in chosen],
            "linear_layers": len(chosen),
            "squared_norm": some(change.squared_norm),
            **{name: some(getattr(change, name)) for name in _SHARES},
            KNOWLEDGE: moved(change.knowledge),
            TASK: moved(change.task),
        }
    )


_SHARES = ("top_left", "top_right", "bottom_left", "bottom_right")


def _csd(texts: str, change: WeightChange) -> float | None:
    """Return E|dW h|^2, the mean over all linear layers; it is 0 in those that did not change."""
    outputs = _outputs(change, texts)
    return None if outputs is None else sum(outputs.changed) / change.linear_layers


def _relative(texts: str, change: WeightChange) -> float | None:
    """Return E|dW h|^2 / E|W h|^2, the mean over all linear layers."""
    outputs = _outputs(change, texts)
    if outputs is None:
        return None
    pairs = zip(outputs.changed, outputs.base, strict=True)
    return sum(moved / base for moved, base in pairs if base) / change.linear_layers


def _normalised(texts: str, change: WeightChange) -> float | None:
    """Return E|dW h|^2 / (|dW|_F^2 E|h|^2), the mean over the layers that changed."""
    outputs = _outputs(change, texts)
    if outputs is None:
        return None
    triples = zip(outputs.changed, change.squared_norm, outputs.inputs, strict=True)
    found = [moved / (norm * inputs) for moved, norm, inputs in triples if norm * inputs]
    return fmean(found) if found else None


def _outputs(change: WeightChange, texts: str) -> MovedOutputs | None:
    found: MovedOutputs | None = getattr(change, texts)
    return found


def _norm(change: WeightChange) -> float:
    """Return |dW|_F of all layers together."""
    return math.sqrt(sum(change.squared_norm))


def _overlap(name: str, change: WeightChange) -> float | None:
    """Return the share of |dW|_F^2 of all layers that lies in these directions of each."""
    whole = sum(change.squared_norm)
    pairs = zip(getattr(change, name), change.squared_norm, strict=True)
    return sum(share * norm for share, norm in pairs) / whole if whole else None


_ON = {
    KNOWLEDGE: "on calibration facts of the forgetting tasks",
    TASK: "on the facts that were trained",
}
_MOVES = "how far the change of weights dW moves the outputs of linear layers"
_KINDS = (
    ("csd", "moved", f"{_MOVES}, E|dW h|^2, the mean over all of them", _csd),
    (
        "csd_relative",
        "moved, relative",
        f"{_MOVES}, E|dW h|^2 / E|W h|^2, the mean over all of them",
        _relative,
    ),
    (
        "csd_normalised",
        "moved, per size",
        "how much of dW points at the inputs, E|dW h|^2 / (|dW|^2 E|h|^2), the mean over the "
        "layers that changed",
        _normalised,
    ),
)
_ENDS = {"top": "largest", "bottom": "smallest"}
_SIDES = {"left": "output", "right": "input"}

MEASURES = (
    *(
        Measure(
            f"{name}.{texts}",
            f"{header}: {texts}",
            f"{said}, {_ON[texts]}",
            partial(compute, texts),
            drawn=texts == KNOWLEDGE,
        )
        for name, header, said, compute in _KINDS
        for texts in _ON
    ),
    Measure("change_norm", "size", "|dW| over all linear layers, Frobenius", _norm, drawn=True),
    *(
        Measure(
            f"overlap_{end}_{side}",
            f"{end}, {side}",
            f"the share of |dW|^2 in the {largest} singular directions of W on its {where} side, "
            "as many as the adapter's rank (16 where it has none)",
            partial(_overlap, f"{end}_{side}"),
            is_share=True,
            drawn=side == "left",
        )
        for end, largest in _ENDS.items()
        for side, where in _SIDES.items()
    ),
)
"""In the order of `leaderboard.csv`."""
