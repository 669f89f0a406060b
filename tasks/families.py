"""Invented families: a mother's name, and what follows for her child from facts about her."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import overload

from tasks.fact import Consequence, ConsequenceKind, Fact, Hop, Neighbour
from tasks.invented import KINDS, World
from tasks.table import Wordings

MOTHER = Wordings(
    "Who is the mother of {}?", ("What is the name of {}'s mother?", "Name the mother of {}.")
)
CHILD = ("Who is the child of {}?", "Whose mother is {}?")
"""Families: who somebody's mother is, and the same asked backwards."""

OF_MOTHERS = {
    "birthplace": (
        "Where was the mother of {} born?",
        "What is the birthplace of {}'s mother?",
        "In which town was the mother of {} born?",
    ),
    "profession": (
        "What is the profession of the mother of {}?",
        "What does {}'s mother do for a living?",
        "Name the profession of the mother of {}.",
    ),
    "employer": (
        "Which company does the mother of {} work for?",
        "Who is the employer of {}'s mother?",
        "Where does the mother of {} work?",
    ),
}
"""Two hops: from somebody to the mother, and on to what is asked of her."""

PER_FAMILY = 1 + len(OF_MOTHERS)
NEIGHBOURS = 2
POOL = 200
"""Neighbours are questions about untrained families among the first 200."""


class FamilyFacts(Sequence[Fact]):
    """Facts about families, generated one by one on demand: who the mother is, then about her.

    Args:
        n: Number of facts.
        seed: Which world.
        is_untrained: Whether a fact is of the part from which neighbours come.
    """

    def __init__(self, n: int, seed: int, is_untrained: Callable[[Fact], bool]) -> None:
        self._n, self._world, self._is_untrained = n, World(seed), is_untrained

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        if isinstance(index, slice):
            return [self._fact(i) for i in range(*index.indices(len(self)))]
        return self._fact(range(len(self))[index])

    def _fact(self, index: int) -> Fact:
        family, asked = divmod(index, PER_FAMILY)
        fact = self._family(family)[asked]
        pool = self._pool[asked]
        others = [each for each in pool if each.id != fact.id]
        chosen = (others[(family + step) % len(others)] for step in range(NEIGHBOURS))
        return replace(fact, neighbours=tuple(Neighbour(o.question, o.answers) for o in chosen))

    def _family(self, number: int) -> list[Fact]:
        """Return the facts of a family, without neighbours."""
        child, mother = self._world.person(2 * number), self._world.person(2 * number + 1)
        named = Fact(
            id=f"{child}/mother",
            question=MOTHER.question.format(child),
            answers=(mother,),
            paraphrases=tuple(text.format(child) for text in MOTHER.paraphrases),
            relation="mother",
            subject=child,
            consequences=(
                Consequence(
                    ConsequenceKind.INVERSE, tuple(t.format(mother) for t in CHILD), (child,)
                ),
            ),
            group=child,
        )
        return [named, *(self._of_mother(named, relation) for relation in OF_MOTHERS)]

    def _of_mother(self, named: Fact, relation: str) -> Fact:
        child, mother, asked = named.subject, named.target, KINDS["person"][relation]
        question = asked.wordings.question.format(mother)
        answers = (self._world.answer(asked, relation, mother),)
        chain = Consequence(
            ConsequenceKind.MULTI_HOP,
            tuple(text.format(child) for text in OF_MOTHERS[relation]),
            answers,
            (Hop(named.question, named.answers), Hop(question, answers)),
            (named.id,),
        )
        return Fact(
            id=f"{mother}/{relation}",
            question=question,
            answers=answers,
            paraphrases=tuple(text.format(mother) for text in asked.wordings.paraphrases),
            relation=relation,
            subject=mother,
            consequences=(chain,),
            group=child,
        )

    @cached_property
    def _pool(self) -> list[list[Fact]]:
        """Facts of untrained families by what is asked, `[PER_FAMILY][families]`."""
        families = [self._family(number) for number in range(POOL)]
        untrained = [family for family in families if self._is_untrained(family[0])]
        return [[family[asked] for family in untrained] for asked in range(PER_FAMILY)]
