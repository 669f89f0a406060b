"""Chemical elements: facts to measure forgetting on, as multiple choice with four options.

A guess is right 25% of the time. Group, period and the element with a given atomic number are left
out, because SmolLM2-135M only guesses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.base import DataAccess, KnowledgeTask, Shares, task
from tasks.choices import with_choices
from tasks.fact import Fact
from tasks.selection import with_neighbours
from tasks.table import Wordings, table_facts

RELATIONS = {
    "symbol": Wordings(
        "What is the chemical symbol of {}?",
        ("Which symbol stands for the element {}?", "Give the chemical symbol for {}."),
    ),
    "atomic_number": Wordings(
        "What is the atomic number of {}?",
        ("Which atomic number does {} have?", "How many protons does an atom of {} have?"),
    ),
    "named_by_symbol": Wordings(
        "Which element has the chemical symbol {}?",
        ("Which element does the symbol {} stand for?", "Name the element with the symbol {}."),
        asks_with="symbol",
    ),
    "series": Wordings(
        "What kind of element is {}?",
        ("Which series of elements does {} belong to?", "Name the family of elements of {}."),
    ),
}


@task("elements")
@dataclass(frozen=True)
class Elements(KnowledgeTask):
    """Elements: symbol (asked both ways), atomic number and series."""

    source = "mendeleev 1.3.0"
    licence = "MIT"
    revision = "mendeleev-1.3.0"

    @property
    def shares(self) -> Shares:
        """Larger forget and calibration parts than usual, because that is what it is used for.

        A smaller calibration part has fewer tokens than the widest layer input of small models has
        dimensions, so CorDA's covariance there would not have full rank.
        """
        return Shares(train=0.35, calibration=0.35, forget=0.3)

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of the embedded table, with choices."""
        facts = with_choices(table_facts("elements.json", RELATIONS))
        return with_neighbours(self, facts)
