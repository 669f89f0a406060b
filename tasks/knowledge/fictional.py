"""Invented people, places and companies: as many facts as you like that no model can know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import overload

from tasks.base import DataAccess, KnowledgeTask, task
from tasks.fact import Fact, FactPart, Neighbour, hash_fraction
from tasks.families import FamilyFacts
from tasks.invented import KINDS, World

MAX_FACTS = 1_000_000
NEIGHBOURS = 2
POOL = 200
"""Neighbours are questions about untrained subjects among the first 200 of each kind."""

_KINDS = tuple(KINDS)
_RELATIONS = {kind: tuple(relations) for kind, relations in KINDS.items()}
_PER_SUBJECT = len(_RELATIONS[_KINDS[0]])


@task("fictional")
@dataclass(frozen=True)
class Fictional(KnowledgeTask):
    """Invented people, places and companies, with four relations each.

    Attributes:
        n: Number of facts, up to a million; a smaller task is the beginning of a larger one.
        seed: Each seed gives another world.
        families: Families instead: a mother's name, her birthplace, profession and employer, with
            questions that follow for her child ("Where was the mother of ... born?") and backwards.
            All facts of a family are selected together.
    """

    source = "generated"
    licence = "CC0-1.0"
    revision = "1"

    n: int = 1000
    seed: int = 0
    families: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_FACTS:
            raise ValueError(f"n={self.n} must be between 1 and {MAX_FACTS}")

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts; each one is generated when it is accessed."""
        if self.families:
            return FamilyFacts(self.n, self.seed, lambda f: self.part_of(f) is FactPart.FORGET)
        return FictionalFacts(self)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Who or what a question is about; `draw` in [0, 1) chooses its neighbours."""

    kind: str
    name: str
    draw: float


class FictionalFacts(Sequence[Fact]):
    """The facts of a `fictional` task, generated one by one on demand."""

    def __init__(self, owner: Fictional) -> None:
        self._owner = owner
        self._world = World(owner.seed)
        self._subject = lru_cache(maxsize=1)(self._make_subject)

    def __len__(self) -> int:
        return self._owner.n

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        if isinstance(index, slice):
            return [self._fact(i) for i in range(*index.indices(len(self)))]
        return self._fact(range(len(self))[index])

    def _fact(self, index: int) -> Fact:
        number, asked = divmod(index, _PER_SUBJECT)
        subject = self._subject(number)
        relation = _RELATIONS[subject.kind][asked]
        circle = self._neighbours[relation]
        neighbours = circle[int(subject.draw * len(circle))]
        if any(subject.name in neighbour.question for neighbour in neighbours):
            neighbours = circle[int(subject.draw * len(circle)) - NEIGHBOURS]
        return self._ask(subject, relation, neighbours)

    def _make_subject(self, number: int) -> _Subject:
        k, turn = divmod(number, len(_KINDS))
        name = self._world.name(_KINDS[turn], k)
        return _Subject(_KINDS[turn], name, hash_fraction("neighbours", name))

    def _ask(
        self, subject: _Subject, relation: str, neighbours: tuple[Neighbour, ...] = ()
    ) -> Fact:
        wordings = KINDS[subject.kind][relation].wordings
        return Fact(
            id=f"{subject.name}/{relation}",
            question=wordings.question.format(subject.name),
            answers=(self._world.answer(KINDS[subject.kind][relation], relation, subject.name),),
            paraphrases=tuple(text.format(subject.name) for text in wordings.paraphrases),
            neighbours=neighbours,
            relation=relation,
            subject=subject.name,
        )

    @cached_property
    def _neighbours(self) -> dict[str, list[tuple[Neighbour, ...]]]:
        """Runs of `NEIGHBOURS` consecutive untrained questions, wrapping around, per relation."""
        return {
            relation: _runs([self._ask(subject, relation) for subject in self._untrained(kind)])
            for kind, relations in _RELATIONS.items()
            for relation in relations
        }

    def _untrained(self, kind: str) -> list[_Subject]:
        subjects = (_Subject(kind, self._world.name(kind, k), 0.0) for k in range(POOL))
        anything = _RELATIONS[kind][0]
        return [
            subject
            for subject in subjects
            if self._owner.part_of(self._ask(subject, anything)) is FactPart.FORGET
        ]


def _runs(facts: Sequence[Fact]) -> list[tuple[Neighbour, ...]]:
    circle = [Neighbour(fact.question, fact.answers) for fact in facts]
    doubled = circle + circle
    return [tuple(doubled[start : start + NEIGHBOURS]) for start in range(len(circle))]
