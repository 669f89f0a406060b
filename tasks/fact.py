"""Facts, the unit of everything measured here: one question with one answer to learn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from tasks.extraction import agrees
from tasks.scoring import exact_match


class FactPart(StrEnum):
    """The disjoint parts of a task; a hash of the subject decides.

    Facts to learn are asked as they were trained. What is learned from examples or texts is asked
    of the part `test`, which only tasks with `held_out` have.
    """

    TRAIN = "train"
    TEST = "test"
    CALIBRATION = "calibration"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An untrained question of the same relation, whose answer training should not change."""

    question: str
    answers: tuple[str, ...]


class ConsequenceKind(StrEnum):
    """How something follows from a fact; a closed set.

    `multi_hop` combines the fact with others, `alias` asks for it under another name of its
    subject, `inverse` asks for the subject, given the answer, and `logical` is what else must be
    true if the fact is.
    """

    MULTI_HOP = "multi_hop"
    ALIAS = "alias"
    INVERSE = "inverse"
    LOGICAL = "logical"


@dataclass(frozen=True, slots=True)
class Hop:
    """One of the single questions that a multi-hop question is made of."""

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consequence:
    """A question that is never trained, whose answer follows from a fact that is.

    Attributes:
        kind: How it follows.
        phrasings: One question in several wordings; it counts as answered if the answer to any of
            them is right, as MQuAKE (arXiv 2305.14795) counts.
        answers: All that are right; for an alias those of the fact.
        hops: The single questions behind it, if they are known.
        needs: Ids of other facts that must be trained as well for the answer to be expected.
    """

    kind: ConsequenceKind
    phrasings: tuple[str, ...]
    answers: tuple[str, ...]
    hops: tuple[Hop, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One question with the answer to learn, and what is needed to measure the effect.

    Attributes:
        id: A name that is unique within the task.
        question: The question as it is trained.
        answers: At least one. The first is trained; each of them counts as correct.
        paraphrases: Other wordings of the question, never trained; they measure generality.
        neighbours: Untrained questions of the same relation about other subjects; they measure
            locality.
        relation: What is asked (`capital`, `symbol`, ...); empty if unknown.
        subject: What the question is about. Facts of one subject stay in one part. If it is empty,
            the id stands in for it.
        choices: Right and wrong answers for scoring as multiple choice; if empty, answers are
            generated.
        old_answers: Answers that were true before, so that learning the fact updates knowledge; if
            empty, the fact is new knowledge.
        extract: What of an answer is compared, see `tasks.extraction`; empty: all of it.
        consequences: Untrained questions whose answers follow from the fact; they measure
            portability.
        group: What belongs together: facts of one group stay in one part and are selected one
            after another. If it is empty, the subject decides the part and the id the place.
        weight: How strongly it counts in training, beside others; 1 unless its task says so.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    relation: str = ""
    subject: str = ""
    choices: tuple[str, ...] = ()
    old_answers: tuple[str, ...] = ()
    extract: str = ""
    consequences: tuple[Consequence, ...] = ()
    group: str = ""
    weight: float = 1.0

    @property
    def target(self) -> str:
        """The answer that is trained."""
        return self.answers[0]

    @property
    def unit(self) -> str:
        """What decides its part and its set: facts with the same are never separated."""
        return self.group or self.subject or self.id

    @property
    def is_text(self) -> bool:
        """Whether it is a text to read, without a question; the answer is the text."""
        return not self.question

    def accepts(self, answer: str) -> bool:
        """Return whether an answer to its question is correct."""
        if not self.extract:
            return exact_match(answer, self.answers)
        return any(agrees(self.extract, answer, accepted) for accepted in self.answers)


def facts_digest(facts: Iterable[Fact]) -> str:
    """Return a hexadecimal digest of the facts, of all their fields and their order."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(json.dumps(_content(fact), sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _content(fact: Fact) -> dict[str, object]:
    content = asdict(fact)
    # Younger than the digests of published tasks, which must not change where they are not used.
    for younger in ("old_answers", "extract", "consequences", "group"):
        if not content[younger]:
            del content[younger]
    if content["weight"] == 1:
        del content["weight"]
    return content


def hash_fraction(*keys: str) -> float:
    """Return a pseudo-random number in [0, 1) for some keys, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(keys).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
