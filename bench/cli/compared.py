"""All adapters side by side: what they train, what they need first, and where they start."""

from __future__ import annotations

from dataclasses import dataclass

from methods.identity import names_read
from methods.parts import ADAPTERS

MEASURES = {
    "gradient": "gradients on facts",
    "covariance": "layer inputs on facts",
    "calibration_batches": "layer inputs on facts",
}
"""What an adapter measures that asks for a signal or for batches, by the name of what it asks."""

COLUMNS = ("name", "trains", "data first", "starts as base", "certainty", "arXiv", "rate")


@dataclass(frozen=True)
class ComparedAdapter:
    """One adapter of the comparison.

    Attributes:
        name: Its name in recipes.
        trains: What is trained.
        needs_data: What it measures before training.
        starts_as_base: Whether it starts as the base, by definition; None if only a run can tell.
        certainty: `exact` or `rebuilt`.
        paper: The arXiv id; empty if there is none.
        learning_rate: The default.
    """

    name: str
    trains: str
    needs_data: str
    starts_as_base: bool | None
    certainty: str
    paper: str
    learning_rate: float

    @property
    def told(self) -> tuple[str, ...]:
        """Its line of the table."""
        starts = {True: "yes", False: "no", None: "a run tells"}[self.starts_as_base]
        first = (self.name, self.trains, self.needs_data, starts, self.certainty)
        return (*first, self.paper or "-", f"{self.learning_rate:g}")


def row_of(name: str) -> ComparedAdapter:
    """Return an adapter's line, read off its class."""
    kind = ADAPTERS[name]
    asked = names_read(kind)
    measured = dict.fromkeys(what for word, what in MEASURES.items() if word in asked)
    return ComparedAdapter(
        name=name,
        trains=kind.trains or ("the weights" if kind.trains_weights else "what its file says"),
        needs_data=kind.needs_data or ", ".join(measured) or "none",
        starts_as_base=kind.starts_as_base,
        certainty=kind.certainty,
        paper=kind.paper,
        learning_rate=kind.learning_rate,
    )
