"""Nothing that is asked as a test is trained or shown under another name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import TASKS, DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart, Neighbour
from tasks.leakage import Leak, TextKind, asked_forms, leaks, without_leaks
from tasks.prompt import BUILT_IN, DEMONSTRATIONS, RESERVE, choose_demonstrations
from tasks.scoring import normalise
from tasks.selection import first_facts, part_facts


def fact(question, answer="a", paraphrases=(), neighbours=(), **more):
    return Fact(
        more.pop("id", question),
        question,
        (answer,),
        tuple(paraphrases),
        tuple(Neighbour(text, ("n",)) for text in neighbours),
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


TEXTS = st.sampled_from(["a?", "A ?", "b?", "c", "“c”", "d?", "e?"])
FACTS = st.lists(
    st.builds(
        fact,
        TEXTS,
        st.sampled_from(["1", "2"]),
        st.lists(TEXTS, max_size=2),
        st.lists(TEXTS, max_size=2),
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
    assert without_leaks(cleaned.facts) == replace(cleaned, repeated=0, paraphrases=0, neighbours=0)


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


@pytest.fixture(
    params=[
        "countries",
        "elements",
        "fictional[n=1200]",
        "fictional[n=400,seed=3]",
        "gazetteer[learn=questions]",
    ]
)
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
    from tasks.hub import HubTask

    own = {name for name in TASKS.names() if not issubclass(TASKS[name], HubTask)}
    assert own == {"countries", "elements", "fictional", "gazetteer"}
