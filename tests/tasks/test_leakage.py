"""Nothing that is asked as a test is trained or shown under another name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import TASKS, DataAccess
from tasks.errors import UsageError
from tasks.fact import Consequence, ConsequenceKind, Fact, FactPart, Hop, Neighbour
from tasks.leakage import Leak, TextKind, asked_forms, leaks, without_leaks
from tasks.prompt import BUILT_IN, DEMONSTRATIONS, RESERVE, choose_demonstrations
from tasks.scoring import normalise
from tasks.selection import first_facts, part_facts

KINDS = {
    ConsequenceKind.MULTI_HOP: TextKind.MULTI_HOP,
    ConsequenceKind.ALIAS: TextKind.ALIAS,
    ConsequenceKind.INVERSE: TextKind.INVERSE,
    ConsequenceKind.LOGICAL: TextKind.LOGICAL,
}


def fact(question, answer="a", paraphrases=(), neighbours=(), **more):
    follows = tuple(
        Consequence(kind, (text,), (answer if kind is ConsequenceKind.ALIAS else "c",))
        for kind, name in KINDS.items()
        for text in more.pop(name, ())
    )
    return Fact(
        more.pop("id", question),
        question,
        (answer,),
        tuple(paraphrases),
        tuple(Neighbour(text, ("n",)) for text in neighbours),
        consequences=follows,
        **more,
    )


ASKED = fact("Who leads Zorvia?", "Ada", ["Name Zorvia’s leader."], ["Who leads Norland?"])


def kinds(facts, trained):
    return [(leak.kind, leak.trained_kind) for leak in leaks(facts, trained)]


@pytest.mark.parametrize(
    ("trained", "found"),
    [
        (fact("who leads  NORLAND"), (TextKind.NEIGHBOUR, TextKind.QUESTION)),
        (fact("name Zorvia's leader"), (TextKind.PARAPHRASE, TextKind.QUESTION)),
        (fact("x?", "Bo", ["Who leads Norland"]), (TextKind.NEIGHBOUR, TextKind.PARAPHRASE)),
        (fact("x?", "n", ["Who leads Norland"]), (TextKind.NEIGHBOUR, TextKind.PARAPHRASE)),
        (fact("x?", "Bo", ["Name Zorvia's leader!"]), (TextKind.PARAPHRASE, TextKind.PARAPHRASE)),
    ],
)
def test_every_pair_of_texts_is_compared(trained, found):
    assert kinds([ASKED], [trained, ASKED]) == [found]
    (leak,) = leaks([ASKED], [trained])
    assert (leak.fact, leak.trained) == (ASKED, trained)


def test_a_fact_gives_its_own_paraphrases_and_neighbours_away():
    own = fact("Who?", "a", ["who", "Which one?"], ["which one", "Who ?"])
    assert list(leaks([own], [own])) == [
        Leak(own, TextKind.PARAPHRASE, "who", own, TextKind.QUESTION),
        Leak(own, TextKind.NEIGHBOUR, "which one", own, TextKind.PARAPHRASE),
        Leak(own, TextKind.NEIGHBOUR, "Who ?", own, TextKind.QUESTION),
    ]


def test_other_texts_are_no_leak():
    others = [
        fact("x?", "ada.", ["Name Zorvia's leader."]),  # The same answer: both can be right.
        fact("y?", "Bo", neighbours=["Who leads Norland?"]),
        fact("Who leads Zorvia-2?", "Cy", ["How many leads?"]),
    ]
    assert kinds([ASKED], [ASKED, *others]) == []


@pytest.mark.parametrize("kind", KINDS.values())
def test_what_follows_from_a_fact_is_neither_trained_nor_answered_otherwise(kind):
    asking = fact("Who leads Zorvia?", "Ada", **{kind: ["Who leads Old Zorvia?"]})
    trained = fact("who leads OLD Zorvia", "x")
    otherwise = fact("x?", "Bo", ["Who leads old Zorvia"])
    alike = fact("y?", "Ada" if kind is TextKind.ALIAS else "c", ["Who leads old Zorvia"])
    assert kinds([asking], [trained]) == [(kind, TextKind.QUESTION)]
    assert kinds([asking], [otherwise]) == [(kind, TextKind.PARAPHRASE)]
    assert kinds([asking], [alike]) == []
    own = fact("Who?", **{kind: ["who", "Which?"]})
    assert kinds([own], [own]) == [(kind, TextKind.QUESTION)]
    cleaned = without_leaks([own])
    assert [one.phrasings for one in cleaned.facts[0].consequences] == [("Which?",)]
    assert (cleaned.consequences, cleaned.note != "") == (1, True)


def test_a_consequence_may_have_the_answer_of_another_fact_and_shows_nothing():
    answer = fact("Where is Ada from?", "Quell")
    two = Consequence(
        ConsequenceKind.MULTI_HOP,
        ("Where is the leader of Zorvia from?",),
        ("Quell",),
        (Hop("Who leads Zorvia?", ("Ada",)), Hop("Where is Ada from?", ("Quell",))),
    )
    asking = replace(fact("Who leads Zorvia?", "Ada"), consequences=(two,))
    assert kinds([asking, answer], [asking, answer]) == []
    assert {"where is the leader of zorvia from", "where is ada from"} <= asked_forms([asking])


TEXTS = st.sampled_from(["a?", "A ?", "b?", "c", "“c”", "d?", "e?"])
FACTS = st.lists(
    st.builds(
        fact,
        TEXTS,
        st.sampled_from(["1", "2"]),
        st.lists(TEXTS, max_size=2),
        st.lists(TEXTS, max_size=2),
        multi_hop=st.lists(TEXTS, max_size=2),
        aliases=st.lists(TEXTS, max_size=1),
    ),
    max_size=5,
)


@given(FACTS)
def test_what_is_left_out_leaves_no_leak_and_only_leaks_are_left_out(facts):
    cleaned = without_leaks(facts)
    assert kinds(cleaned.facts, cleaned.facts) == []
    forms = [normalise(fact.question) for fact in cleaned.facts]
    assert forms == list(dict.fromkeys(normalise(fact.question) for fact in facts))
    assert bool(cleaned.note) is (cleaned.facts != tuple(facts))
    counts = dict.fromkeys(("repeated", "paraphrases", "neighbours", "consequences"), 0)
    assert without_leaks(cleaned.facts) == replace(cleaned, **counts)


def test_what_is_left_out_is_counted():
    found = without_leaks([ASKED, fact("Who leads Norland?"), fact("who leads zorvia", "Bo")])
    assert (found.repeated, found.paraphrases, found.neighbours) == (1, 0, 1)
    assert found.facts[0] == replace(ASKED, neighbours=())
    assert "1 repeated questions, 1 neighbours" in found.note


def test_demonstrations_are_not_asked_in_other_words_or_spelling():
    rows = [fact(f"How tall is {name}?", relation="height") for name in "ABCDEF"]
    selected = [
        fact("x?", paraphrases=["how TALL is A"], neighbours=["How tall is  B ?"]),
    ]
    shown = {question for question, _ in choose_demonstrations(rows, selected).demonstrations}
    assert shown == {f"How tall is {name}?" for name in "CDEF"}


def test_a_question_is_shown_once_and_no_selected_subject_in_another_spelling():
    rows = [fact("Q?", id="1"), fact("q ?", id="2"), *(fact(f"{n}?") for n in range(3))]
    shown = choose_demonstrations(rows, []).demonstrations
    assert len({normalise(question) for question, _ in shown}) == DEMONSTRATIONS
    rows = [fact(f"{n}?", subject=f"S{n}") for n in range(5)]
    shown = choose_demonstrations(rows, [fact("x?", subject="s0 ")]).demonstrations
    assert {question for question, _ in shown} == {"1?", "2?", "3?", "4?"}


@given(st.sets(st.sampled_from([q for q, _ in (*BUILT_IN, *RESERVE)])), st.sampled_from(TextKind))
def test_no_built_in_demonstration_is_asked(questions, kind):
    texts = [question.upper().replace(" ", "  ") for question in questions]
    if kind is TextKind.QUESTION:
        selected = [fact(text) for text in texts]
    else:
        selected = [fact("x?", **{kind: texts})]
    if len(questions) > len(BUILT_IN) + len(RESERVE) - DEMONSTRATIONS:
        with pytest.raises(UsageError, match="built-in demonstrations"):
            choose_demonstrations([], selected)
        return
    shown = choose_demonstrations([], selected).demonstrations
    assert len(shown) == DEMONSTRATIONS
    assert not asked_forms(selected) & {normalise(question) for question, _ in shown}
    assert questions & {q for q, _ in BUILT_IN} or shown == BUILT_IN


SHIPPED = [
    *("countries", "countries[hops=true]", "elements"),
    *("fictional[n=1200]", "fictional[n=400,seed=3]", "fictional[families=true]"),
    *("arithmetic", "dates", "continents"),
]


@pytest.fixture(params=SHIPPED)
def shipped(request):
    from tasks.resolve import resolve_task

    task = resolve_task(request.param, trained=True, forgotten=True)
    return task, tuple(task.load(DataAccess()))


def test_no_shipped_task_asks_what_it_trains(shipped):
    task, facts = shipped
    assert len({normalise(fact.question) for fact in facts}) == len(facts)
    trained = part_facts(task, facts, FactPart.TRAIN)
    assert list(leaks(facts, trained)) == []
    untold = [replace(fact, neighbours=()) for fact in facts]  # Neighbours are of the forget part.
    assert list(leaks(untold, facts)) == []


@pytest.mark.parametrize("limit", [1, 64, None])
def test_no_shipped_task_shows_what_it_asks(shipped, limit):
    task, facts = shipped
    selected = first_facts(part_facts(task, facts, FactPart.TRAIN), limit)
    prompt = choose_demonstrations(part_facts(task, facts, FactPart.CALIBRATION), selected)
    shown = {normalise(question) for question, _ in prompt.demonstrations}
    assert len(shown) == DEMONSTRATIONS
    assert not shown & asked_forms(part_facts(task, facts, FactPart.TRAIN))


def test_every_shipped_task_is_checked_here_or_cleans_what_it_reads():
    from tasks.documents.texts import TextTask
    from tasks.hub import HubTask
    from tasks.published import PublishedTask

    cleaning = (HubTask, PublishedTask, TextTask)  # of texts: tests/tasks/documents
    own = {name for name in TASKS.names() if not issubclass(TASKS[name], cleaning)}
    assert own == {name.partition("[")[0] for name in SHIPPED}
