"""The embedded and generated tasks: their promises, and pins against a silent change of data."""

import time
from collections import Counter

import pytest

from tasks.base import TASKS, DataAccess
from tasks.choices import CHOICES
from tasks.fact import Fact, FactPart, facts_digest
from tasks.invented import KINDS, World
from tasks.knowledge.fictional import MAX_FACTS, Fictional
from tasks.scoring import exact_match, normalise
from tasks.selection import select_facts
from tasks.table import table_facts
from tests.tasks.promises import trained_neighbours

PINNED = {
    "countries": "7811b31f89b919034d94bc37d7c31deba55a73e02125712ec551b795ffebc52b",
    "elements": "707a3fb757134eca2ee4deb77ee86fc69276b1c9c874ee0c1542961abeb620cd",
    "fictional": "425a141e3952ace4fe1449648e70c7b36394fb8fca87b8ebe5afbab9444a0795",
}


@pytest.fixture(params=sorted(PINNED), scope="module")
def loaded(request):
    task = TASKS[request.param]()
    return task, tuple(task.load(DataAccess()))


def test_the_facts_are_the_pinned_ones(loaded):
    task, facts = loaded
    assert facts_digest(facts) == PINNED[task.name], "changed facts: pin them anew, and say so"


def test_ids_and_questions_are_unique(loaded):
    _, facts = loaded
    assert len({fact.id for fact in facts}) == len(facts)
    assert len({fact.question for fact in facts}) == len(facts)


def test_every_fact_has_answers_paraphrases_and_neighbours(loaded):
    _, facts = loaded
    for fact in facts:
        assert fact.answers
        assert all(answer.strip() == answer != "" for answer in fact.answers)
        assert len({fact.question, *fact.paraphrases}) >= 3
        assert 1 <= len(fact.neighbours) <= 3
        assert fact.question not in {neighbour.question for neighbour in fact.neighbours}
        assert "{" not in fact.question + "".join(fact.paraphrases)


def test_neighbours_are_never_trained_and_ask_the_same_relation(loaded):
    task, facts = loaded
    assert trained_neighbours(task, facts) == set()
    relations = {fact.question: fact.relation for fact in facts}
    for fact in facts:
        asked = {relations.get(n.question, fact.relation) for n in fact.neighbours}
        assert asked == {fact.relation}


def test_no_paraphrase_is_a_trained_question(loaded):
    task, facts = loaded
    trained = {fact.question for fact in select_facts(task, facts, FactPart.TRAIN, None)}
    assert not trained & {wording for fact in facts for wording in fact.paraphrases}


def test_parts_are_disjoint_by_subject_and_of_their_shares(loaded):
    task, facts = loaded
    parts = {part: select_facts(task, facts, part, None) for part in FactPart}
    subjects = [{fact.subject for fact in members} for members in parts.values()]
    assert sum(map(len, subjects)) == len(set().union(*subjects))
    assert sum(map(len, parts.values())) == len(facts)
    for part, found in zip(parts, subjects, strict=True):
        share, count = getattr(task.shares, part.value), sum(map(len, subjects))
        assert abs(len(found) - share * count) <= 3 * (count * share * (1 - share)) ** 0.5


def test_choices_hold_the_answer_once_among_wrong_ones():
    facts = TASKS["elements"]().load(DataAccess())
    for fact in facts:
        assert len(set(map(normalise, fact.choices))) == CHOICES
        assert [c for c in fact.choices if exact_match(c, fact.answers)] == [fact.target]
    places = Counter(fact.choices.index(fact.target) for fact in facts)
    # 4 standard deviations of a fair die.
    spread = 4 * (len(facts) * 0.25 * 0.75) ** 0.5
    assert all(abs(places[place] - len(facts) / 4) < spread for place in range(CHOICES))


def test_some_countries_as_a_person_would_check_them():
    facts = {fact.question: fact.answers for fact in TASKS["countries"]().load(DataAccess())}
    assert facts["What is the capital of France?"] == ("Paris",)
    assert facts["What is the capital of the Netherlands?"] == ("Amsterdam",)
    assert facts["What is the internet domain of the United Kingdom?"] == (".uk", "uk")
    assert facts["What is the international calling code of France?"] == ("+33", "33")
    assert facts["What is the currency of Japan?"][0] == "Yen"
    assert "What is the capital of Singapore?" not in facts
    codes = facts["What is the international calling code of the Dominican Republic?"]
    assert codes == ("+1-809", "+1-829", "1-809", "1-829")


def test_a_relation_without_wordings_is_an_error():
    with pytest.raises(KeyError):
        table_facts("elements.json", {})


def test_many_fictional_facts_are_unique():
    facts = list(Fictional(n=100_000).load(DataAccess()))
    assert len({fact.question for fact in facts}) == 100_000
    assert len({fact.subject for fact in facts}) == 25_000
    assert {len(fact.answers) for fact in facts} == {1}


@pytest.mark.machine
def test_many_fictional_facts_are_made_quickly():
    start = time.process_time()
    list(Fictional(n=100_000).load(DataAccess()))
    assert time.process_time() - start < 10  # about 1.5: a million takes about 15


def test_the_names_of_a_whole_world_are_unique():
    world = World(seed=5)
    count = MAX_FACTS // (len(KINDS) * len(KINDS["person"])) + 1
    names = {world.name(kind, k) for kind in KINDS for k in range(count)}
    assert len(names) == count * len(KINDS)


def test_a_smaller_fictional_task_begins_a_larger_one():
    small, large = (Fictional(n=n).load(DataAccess()) for n in (40, 1_000_000))
    assert list(small) == large[:40]
    assert small[-1] == small[39]
    with pytest.raises(IndexError):
        small[40]


def test_another_seed_gives_another_world():
    first, second = (Fictional(n=400, seed=seed).load(DataAccess()) for seed in (0, 1))
    assert not {fact.subject for fact in first} & {fact.subject for fact in second}


def test_nothing_in_the_invented_world_is_a_country_or_capital():
    real = {
        text
        for fact in TASKS["countries"]().load(DataAccess())
        for text in (fact.subject, *fact.answers)
    }
    world = World(seed=0)
    assert not real & {world.place(k) for k in range(84_000)}


def test_fictional_years_do_not_contradict():
    facts = Fictional(n=6_000).load(DataAccess())
    years = {
        relation: [int(fact.target) for fact in facts if fact.relation == relation]
        for relation in ("founding_year", "birth_year", "company_year")
    }
    assert max(years["founding_year"]) < min(years["birth_year"])
    assert max(years["birth_year"]) < min(years["company_year"])


def test_a_limit_takes_a_prefix_that_does_not_hang_on_the_order():
    task = TASKS["countries"]()
    facts = task.load(DataAccess())
    eight = select_facts(task, facts, FactPart.TRAIN, 8)
    assert eight == select_facts(task, facts[::-1], FactPart.TRAIN, 16)[:8]
    assert len(eight) == 8
    assert len({fact.relation for fact in select_facts(task, facts, FactPart.TRAIN, 64)}) == 5


def test_trained_neighbours_finds_a_broken_promise():
    task = TASKS["countries"]()
    facts = task.load(DataAccess())
    trained = select_facts(task, facts, FactPart.TRAIN, 1)[0]
    neighbour = type(facts[0].neighbours[0])(trained.question, trained.answers)
    broken = Fact("x", "?", ("a",), neighbours=(neighbour,))
    assert trained_neighbours(task, [*facts, broken]) == {trained.question}
