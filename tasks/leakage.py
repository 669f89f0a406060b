"""Finds what a run would ask as a test although it is trained or shown under another name.

A paraphrase that is a trained question measures memory and not generality; a neighbour that is one
measures learning and not locality. Texts are compared in normal form, so another case or spacing
hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.fact import Fact
from tasks.scoring import exact_match, normalise


class TextKind(StrEnum):
    """The texts of a fact that are asked, by the name of their field."""

    QUESTION = "question"
    PARAPHRASE = "paraphrases"
    NEIGHBOUR = "neighbours"


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that is asked as a test, and the trained fact that gives it away.

    Attributes:
        fact: The fact that asks it.
        kind: As what: a paraphrase or a neighbour.
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
    """

    facts: tuple[Fact, ...]
    repeated: int
    paraphrases: int
    neighbours: int

    @property
    def note(self) -> str:
        """What was left out, for the user; empty if nothing was."""
        counts = {
            "repeated questions": self.repeated,
            "paraphrases": self.paraphrases,
            "neighbours": self.neighbours,
        }
        left_out = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        return f"left out because they are asked elsewhere: {left_out}" if left_out else ""


def asked_forms(facts: Iterable[Fact]) -> set[str]:
    """Return the normal form of everything that facts ask: questions, paraphrases, neighbours."""
    return {
        normalise(text)
        for fact in facts
        for text in (fact.question, *fact.paraphrases, *(n.question for n in fact.neighbours))
    }


def leaks(facts: Sequence[Fact], trained: Sequence[Fact]) -> Iterator[Leak]:
    """Yield each paraphrase and neighbour that a trained fact gives away, in order.

    A paraphrase may be neither a trained question, its own fact's included, nor a paraphrase of an
    earlier fact with other answers. A neighbour may be neither a trained question nor a paraphrase.

    Args:
        facts: The facts whose paraphrases and neighbours are asked.
        trained: The facts that are trained, whether or not they are among `facts`.
    """
    tested = {normalise(text) for fact in facts for _, text in _tests(fact)}
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
        for kind, text in _tests(fact):
            form = normalise(text)
            if other := questions.get(form):
                yield Leak(fact, kind, text, other, TextKind.QUESTION)
            elif (other := paraphrases.get(form)) and not _may_share(kind, fact, other):
                yield Leak(fact, kind, text, other, TextKind.PARAPHRASE)


def without_leaks(facts: Iterable[Fact]) -> Unleaked:
    """Leave out repeated questions, and paraphrases and neighbours that other facts give away.

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
    )


def _tests(fact: Fact) -> Iterator[tuple[TextKind, str]]:
    for text in fact.paraphrases:
        yield TextKind.PARAPHRASE, text
    for neighbour in fact.neighbours:
        yield TextKind.NEIGHBOUR, neighbour.question


def _may_share(kind: TextKind, fact: Fact, other: Fact) -> bool:
    """Return whether both facts may ask a text: as a paraphrase with an answer in common."""
    return kind is TextKind.PARAPHRASE and any(exact_match(a, other.answers) for a in fact.answers)


def _without(fact: Fact, leaked: dict[tuple[str, TextKind], set[str]]) -> Fact:
    paraphrases = leaked.get((fact.question, TextKind.PARAPHRASE), ())
    neighbours = leaked.get((fact.question, TextKind.NEIGHBOUR), ())
    if not paraphrases and not neighbours:
        return fact
    return replace(
        fact,
        paraphrases=tuple(text for text in fact.paraphrases if text not in paraphrases),
        neighbours=tuple(n for n in fact.neighbours if n.question not in neighbours),
    )
