"""Finds what a run would ask as a test although it is trained or shown under another name.

A paraphrase that is a trained question measures memory and not generality; a neighbour that is one
measures learning and not locality; a consequence that is one measures memory and not portability.
The answer to a consequence may be that of a trained fact. Texts are compared in normal form, so
another case or spacing hides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.fact import ConsequenceKind, Fact
from tasks.scoring import exact_match, normalise


class TextKind(StrEnum):
    """The texts of a fact that are asked, by the name of their field in an own facts file."""

    QUESTION = "question"
    PARAPHRASE = "paraphrases"
    NEIGHBOUR = "neighbours"
    MULTI_HOP = "multi_hop"
    ALIAS = "aliases"
    INVERSE = "inverse"
    LOGICAL = "logical"


_KINDS = {
    ConsequenceKind.MULTI_HOP: TextKind.MULTI_HOP,
    ConsequenceKind.ALIAS: TextKind.ALIAS,
    ConsequenceKind.INVERSE: TextKind.INVERSE,
    ConsequenceKind.LOGICAL: TextKind.LOGICAL,
}


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that is asked as a test, and the trained fact that gives it away.

    Attributes:
        fact: The fact that asks it.
        kind: As what: a paraphrase, a neighbour or a kind of consequence.
        text: The text.
        trained: The trained fact with the same text.
        trained_kind: What the text is there: its question or one of its paraphrases.
    """

    fact: Fact
    kind: TextKind
    text: str
    trained: Fact
    trained_kind: TextKind


@dataclass(frozen=True, slots=True)
class Unleaked:
    """Facts without what would be asked under another name.

    Attributes:
        facts: The facts, in order.
        repeated: How many facts were left out because an earlier one has their question.
        paraphrases: How many paraphrases were left out.
        neighbours: How many neighbours were left out.
        consequences: How many phrasings of consequences were left out.
    """

    facts: tuple[Fact, ...]
    repeated: int
    paraphrases: int
    neighbours: int
    consequences: int = 0

    @property
    def note(self) -> str:
        """What was left out, for the user; empty if nothing was."""
        counts = {
            "repeated questions": self.repeated,
            "paraphrases": self.paraphrases,
            "neighbours": self.neighbours,
            "phrasings of consequences": self.consequences,
        }
        left_out = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        return f"left out because they are asked elsewhere: {left_out}" if left_out else ""


def asked_forms(facts: Iterable[Fact]) -> set[str]:
    """Return the normal form of everything that facts ask, in whatever role."""
    return {
        normalise(text)
        for fact in facts
        for text in (fact.question, *(text for _, text, _ in _tests(fact)), *_hops(fact))
    }


def leaks(facts: Sequence[Fact], trained: Sequence[Fact]) -> Iterator[Leak]:
    """Yield each paraphrase, neighbour and consequence that a trained fact gives away, in order.

    A paraphrase may be neither a trained question, its own fact's included, nor a paraphrase of an
    earlier fact with other answers; nor may a consequence. A neighbour may be neither a trained
    question nor a paraphrase.

    Args:
        facts: The facts whose paraphrases, neighbours and consequences are asked.
        trained: The facts that are trained, whether or not they are among `facts`.
    """
    tested = {normalise(text) for fact in facts for _, text, _ in _tests(fact)}
    # Only what is tested is looked up: a million facts without paraphrases need no memory here.
    questions: dict[str, Fact] = {}
    paraphrases: dict[str, Fact] = {}
    for fact in trained:
        if (form := normalise(fact.question)) in tested:
            questions.setdefault(form, fact)
        for text in fact.paraphrases:
            if (form := normalise(text)) in tested:
                paraphrases.setdefault(form, fact)

    for fact in facts:
        for kind, text, answers in _tests(fact):
            form = normalise(text)
            if other := questions.get(form):
                yield Leak(fact, kind, text, other, TextKind.QUESTION)
            elif (other := paraphrases.get(form)) and not _may_share(kind, answers, other):
                yield Leak(fact, kind, text, other, TextKind.PARAPHRASE)


def without_leaks(facts: Iterable[Fact]) -> Unleaked:
    """Leave out repeated questions, and whatever else of a fact a trained fact gives away.

    This is for data that people cannot edit; their own file is refused (`tasks.file_facts`). The
    first of facts with the same question is kept.
    """
    given = tuple(facts)
    first: dict[str, Fact] = {}
    for fact in given:
        first.setdefault(normalise(fact.question), fact)
    kept = tuple(first.values())

    leaked: dict[tuple[str, TextKind], set[str]] = {}
    for leak in leaks(kept, kept):
        leaked.setdefault((leak.fact.question, leak.kind), set()).add(leak.text)
    cleaned = tuple(_without(fact, leaked) for fact in kept) if leaked else kept
    return Unleaked(
        cleaned,
        len(given) - len(kept),
        sum(len(fact.paraphrases) for fact in kept) - sum(len(f.paraphrases) for f in cleaned),
        sum(len(fact.neighbours) for fact in kept) - sum(len(f.neighbours) for f in cleaned),
        sum(map(_phrasings, kept)) - sum(map(_phrasings, cleaned)),
    )


def _tests(fact: Fact) -> Iterator[tuple[TextKind, str, tuple[str, ...]]]:
    """Yield what is asked beside the question: as what, the text, and what is right."""
    for text in fact.paraphrases:
        yield TextKind.PARAPHRASE, text, fact.answers
    for neighbour in fact.neighbours:
        yield TextKind.NEIGHBOUR, neighbour.question, neighbour.answers
    for one in fact.consequences:
        for text in one.phrasings:
            yield _KINDS[one.kind], text, one.answers


def _hops(fact: Fact) -> Iterator[str]:
    return (hop.question for one in fact.consequences for hop in one.hops)


def _phrasings(fact: Fact) -> int:
    return sum(len(consequence.phrasings) for consequence in fact.consequences)


def _may_share(kind: TextKind, answers: tuple[str, ...], other: Fact) -> bool:
    """Return whether another fact may have a text as a paraphrase: with an answer in common."""
    return kind is not TextKind.NEIGHBOUR and any(exact_match(a, other.answers) for a in answers)


def _without(fact: Fact, leaked: dict[tuple[str, TextKind], set[str]]) -> Fact:
    found = {kind: leaked.get((fact.question, kind), set()) for kind in TextKind}
    if not any(found.values()):
        return fact
    phrased = [
        replace(one, phrasings=tuple(_outside(one.phrasings, found[_KINDS[one.kind]])))
        for one in fact.consequences
    ]
    neighbours = found[TextKind.NEIGHBOUR]
    return replace(
        fact,
        paraphrases=tuple(_outside(fact.paraphrases, found[TextKind.PARAPHRASE])),
        neighbours=tuple(n for n in fact.neighbours if n.question not in neighbours),
        consequences=tuple(one for one in phrased if one.phrasings),
    )


def _outside(texts: Iterable[str], leaked: Collection[str]) -> Iterator[str]:
    return (text for text in texts if text not in leaked)
