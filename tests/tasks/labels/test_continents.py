"""The embedded classification task keeps its promises."""

from collections import Counter

from tasks.base import TASKS, DataAccess
from tasks.fact import FactPart, facts_digest
from tasks.selection import part_facts

TASK = TASKS["continents"]()
FACTS = TASK.load(DataAccess())
DIGEST = "31db4ea9f8338ad57243446b3a4f9e3565e9880685df3801ea7180f5804587db"


def _part(part):
    return part_facts(TASK, FACTS, part)


def test_the_texts_are_the_pinned_ones():
    assert facts_digest(FACTS) == DIGEST, "changed texts: pin them anew, and say so"


def test_no_country_is_trained_and_asked():
    trained, asked = _part(FactPart.TRAIN), _part(FactPart.TEST)
    assert trained
    assert asked
    assert not {fact.subject for fact in trained} & {fact.subject for fact in asked}
    assert not {fact.question for fact in trained} & {fact.question for fact in asked}


def test_a_country_is_asked_about_once_and_trained_in_every_wording():
    assert set(Counter(fact.subject for fact in _part(FactPart.TEST)).values()) == {1}
    assert set(Counter(fact.subject for fact in _part(FactPart.TRAIN)).values()) == {2}


def test_no_text_names_its_country_capital_or_label():
    named = {fact.subject for fact in TASKS["countries"]().load(DataAccess())}
    for fact in FACTS:
        assert fact.subject not in fact.question
        assert not [label for label in fact.choices if label in fact.question]
    assert len(named) > 100


def test_every_label_is_trained_and_asked_and_labels_are_not_equally_frequent():
    labels = set(FACTS[0].choices)
    assert all(set(fact.choices) == labels and fact.target in labels for fact in FACTS)
    for part in (FactPart.TRAIN, FactPart.TEST):
        counts = Counter(fact.target for fact in _part(part))
        assert set(counts) == labels
        assert max(counts.values()) >= 2 * min(counts.values())
