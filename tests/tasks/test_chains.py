"""What follows from the embedded facts is right, checked against the table or the facts alone."""

import json
from collections import Counter
from importlib.resources import files

import pytest

from tasks.base import DataAccess
from tasks.fact import ConsequenceKind, FactPart, facts_digest
from tasks.resolve import resolve_task
from tasks.scoring import normalise
from tasks.selection import select_facts
from tests.tasks.promises import trained_neighbours

MULTI_HOP, ALIAS, INVERSE, LOGICAL = ConsequenceKind

PINNED = {
    "countries[hops=true]": "02350acb0e10b7fd94e2ac2a8f90ea69466e89553658c167819b62b1ae1cc206",
    "fictional[families=true]": "a5ff8556744952c38064b9ec7fbfb384ce93adce7f66e95136ba437c5695c4bc",
}


def loaded(name):
    task = resolve_task(name, trained=True, forgotten=True)
    return task, tuple(task.load(DataAccess()))


@pytest.fixture(scope="module")
def countries():
    return loaded("countries[hops=true]")


@pytest.fixture(scope="module")
def families():
    return loaded("fictional[families=true,n=2000]")


def asked(facts, kind):
    return {
        text: one.answers
        for fact in facts
        for one in fact.consequences
        if one.kind is kind
        for text in one.phrasings
    }


@pytest.mark.parametrize("name", PINNED)
def test_the_facts_are_the_pinned_ones(name):
    assert facts_digest(loaded(name)[1]) == PINNED[name], "changed facts: pin them anew, and say so"


def test_some_chains_as_a_person_would_check_them(countries):
    _, facts = countries
    chains, backwards = asked(facts, MULTI_HOP), asked(facts, INVERSE)
    yen = chains["What is the currency of the country whose capital is Tokyo?"]
    assert yen[0] == "Yen"
    assert chains["On which continent is the country whose capital is Paris?"][0] == "Europe"
    dutch = chains["Give the dialing code of the country whose capital is Amsterdam."]
    assert dutch == ("+31", "31")
    assert backwards["Which country has the capital Amsterdam?"] == ("the Netherlands",)
    assert backwards["Which country has the internet domain .fr?"] == ("France",)
    for shared in ("Euro", "Lira", "Rand"):
        assert f"Which country has the currency {shared}?" not in backwards
    assert not any("continent" in text or "calling" in text for text in backwards)


def test_every_answer_follows_from_the_table(countries):
    _, facts = countries
    table = json.loads(files("tasks").joinpath("data", "countries.json").read_text())["subjects"]
    owners = {}
    for subject, row in table.items():
        for relation, answers in row.items():
            for answer in answers:
                owners.setdefault((relation, normalise(answer)), set()).add(subject)
    counts = Counter()
    for fact in facts:
        row = table[fact.subject]
        for one in fact.consequences:
            counts[one.kind] += 1
            if one.kind is INVERSE:
                [owner] = owners[fact.relation, normalise(row[fact.relation][0])]
                assert one.answers == (owner,)
                assert all(row[fact.relation][0] in text for text in one.phrasings)
            else:
                capital = row["capital"][0]
                assert owners["capital", normalise(capital)] == {fact.subject}
                assert one.answers == tuple(row[fact.relation])
                assert all(capital in text for text in one.phrasings)
                assert [hop.answers for hop in one.hops] == [tuple(row["capital"]), one.answers]
    assert counts[MULTI_HOP] > 700
    assert counts[INVERSE] > 350


def test_they_are_the_same_facts_in_the_same_parts(countries):
    task, facts = countries
    plain, without = loaded("countries")
    assert [fact.id for fact in facts] == [fact.id for fact in without]
    assert [task.part_of(fact) for fact in facts] == [plain.part_of(fact) for fact in without]
    assert task.name == "countries[hops=true]"
    assert facts_digest(facts) != facts_digest(without)


def test_what_is_asked_of_mothers_follows_from_two_facts(families):
    _, facts = families
    by_id = {fact.id: fact for fact in facts}
    answers = {fact.question: fact.answers for fact in facts}
    chains = 0
    for fact in facts:
        for one in fact.consequences:
            if one.kind is INVERSE:
                assert one.answers == (fact.subject,)
                assert all(fact.target in text for text in one.phrasings)
                continue
            chains += 1
            [needed] = [by_id[key] for key in one.needs]
            child, mother = needed.subject, needed.target
            assert mother in fact.question
            assert all(child in text and mother not in text for text in one.phrasings)
            assert [answers[hop.question] for hop in one.hops] == [hop.answers for hop in one.hops]
            assert one.answers == fact.answers == one.hops[1].answers
    assert chains == 1500


def test_each_mother_has_one_child_and_names_are_unique(families):
    _, facts = families
    named = [fact for fact in facts if fact.relation == "mother"]
    people = [name for fact in named for name in (fact.subject, fact.target)]
    assert len(set(people)) == len(people) == 1000
    assert len({fact.question for fact in facts}) == len({fact.id for fact in facts}) == 2000


def test_families_keep_the_promises_of_tasks(families):
    task, facts = families
    assert trained_neighbours(task, facts) == set()
    assert all(len(fact.neighbours) == 2 for fact in facts)
    assert {len({task.part_of(f) for f in facts[i : i + 4]}) for i in range(0, 2000, 4)} == {1}
    small = loaded("fictional[families=true,n=40]")[1]
    assert list(small) == list(facts[:40])


@pytest.mark.parametrize("limit", [8, 64])
def test_what_is_needed_is_selected_too(limit, families):
    task, facts = families
    chosen = select_facts(task, facts, FactPart.TRAIN, limit)
    ids = {fact.id for fact in chosen}
    chains = [one for fact in chosen for one in fact.consequences if one.kind is MULTI_HOP]
    assert len(chains) == limit * 3 / 4
    assert all(set(one.needs) <= ids for one in chains)


def test_no_consequence_is_a_trained_sentence(countries, families):
    for _, facts in (countries, families):
        trained = {normalise(fact.question) for fact in facts}
        said = {normalise(text) for kind in ConsequenceKind for text in asked(facts, kind)}
        assert not said & trained
