"""What follows from facts: read from files, and put together with the other facts."""

from dataclasses import replace

import pytest

from tasks.consequences import linked
from tasks.errors import UsageError
from tasks.fact import Consequence, ConsequenceKind, Fact, FactPart, Hop, facts_digest
from tasks.resolve import resolve_task
from tasks.selection import first_facts
from tests.tasks.facts_files import load, write

MULTI_HOP, ALIAS, INVERSE, LOGICAL = ConsequenceKind

LEADER = {
    "id": "leader",
    "question": "Who leads Zorvia?",
    "answer": ["Ada", "Ada Lint"],
    "aliases": ["Who leads Old Zorvia?", "Who leads the Zorvian Union?"],
    "inverse": [{"question": "Which country does Ada lead?", "answer": "Zorvia"}],
    "multi_hop": [
        {
            "questions": ["Where is the leader of Zorvia from?", "Zorvia's leader is from where?"],
            "answers": ["Quell", "Old Quell"],
            "hops": [
                {"question": "Who leads Zorvia?", "answer": "Ada Lint"},
                {"question": "Where is Ada from?", "answer": "Quell"},
            ],
        },
        {"question": "Does a woman lead Zorvia?", "answer": "yes"},
    ],
}
HOME = {"id": "home", "question": "where is  Ada from", "answer": "Quell"}


def test_a_row_has_what_follows_from_it(tmp_path):
    leader, home = load(write(tmp_path, "f.jsonl", [LEADER, HOME]))
    hops = (Hop("Who leads Zorvia?", ("Ada Lint",)), Hop("Where is Ada from?", ("Quell",)))
    asked = tuple(LEADER["multi_hop"][0]["questions"])
    assert leader.consequences == (
        Consequence(MULTI_HOP, asked, ("Quell", "Old Quell"), hops, ("home",)),
        Consequence(MULTI_HOP, ("Does a woman lead Zorvia?",), ("yes",)),
        Consequence(ALIAS, ("Who leads Old Zorvia?",), ("Ada", "Ada Lint")),
        Consequence(ALIAS, ("Who leads the Zorvian Union?",), ("Ada", "Ada Lint")),
        Consequence(INVERSE, ("Which country does Ada lead?",), ("Zorvia",)),
    )
    assert home.consequences == ()


def test_a_table_has_aliases_as_texts_and_the_others_as_json(tmp_path):
    table = (
        "question,answer,aliases,inverse\n"
        "Who leads Zorvia?,Ada,Who leads Old Zorvia?|Who leads Z?,"
        '"[{""question"": ""What does Ada lead?"", ""answer"": ""Zorvia""}]"\n'
    )
    [fact] = load(write(tmp_path, "f.csv", table))
    assert [(one.kind, one.phrasings) for one in fact.consequences] == [
        (ALIAS, ("Who leads Old Zorvia?",)),
        (ALIAS, ("Who leads Z?",)),
        (INVERSE, ("What does Ada lead?",)),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"multi_hop": "Who?"}, 'multi_hop: expected a list of {"question": ..., "answer": ...}'),
        ({"neighbours": "{}"}, 'neighbours: expected a list of {"question": ..., "answer": ...}'),
        ({"inverse": "[{]"}, "line 1, inverse: invalid JSON"),
        ({"multi_hop": [3]}, "line 1, multi_hop: expected a list of"),
        ({"inverse": [{"answer": "x"}]}, "line 1, inverse question 1, question: is missing"),
        ({"inverse": [{"question": "x?"}]}, "line 1, inverse question 1, answer: is missing"),
        ({"multi_hop": [{"questions": [], "answer": "x"}]}, "question 1, question: is missing"),
        (
            {"multi_hop": [{"question": "x?", "answer": "y", "hops": [{"question": "z?"}]}]},
            "multi_hop question 1, hop 1, answer: is missing",
        ),
        ({"aliases": [["x"]]}, "line 1, aliases: expected text"),
        ({"aliases": ["who leads zorvia"]}, "aliases: 'who leads zorvia' is also the question of"),
        ({"multi_hop": [{"question": "Where is Ada from?", "answer": "Quell"}]}, "line 2; what"),
        ({"multi_hops": []}, "did you mean multi_hop?"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, change, told):
    row = {key: value for key, value in LEADER.items() if key in ("question", "answer")} | change
    with pytest.raises(UsageError) as raised:
        load(write(tmp_path, "f.jsonl", [row, HOME]))
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_hop_that_is_trained_with_another_answer_leaves_the_question_out(tmp_path, caplog):
    elsewhere = {**HOME, "answer": "Norland"}
    leader, _ = load(write(tmp_path, "f.jsonl", [LEADER, elsewhere]))
    assert [one.phrasings[0] for one in leader.consequences if one.kind is MULTI_HOP] == [
        "Does a woman lead Zorvia?"
    ]
    assert "1 multi_hop questions" in caplog.text


def test_only_facts_among_the_hops_are_needed():
    hops = (Hop("q", ("a",)), Hop("R?", ("b",)), Hop("unknown", ("c",)))
    fact = Fact("1", "q?", ("a",), consequences=(Consequence(MULTI_HOP, ("x",), ("y",), hops),))
    found = linked([fact, Fact("2", "r", ("B.",)), Fact("3", "s", ("b",))])
    assert found.facts[0].consequences[0].needs == ("2",)
    assert found.contradicted == 0


def test_digests_change_only_where_something_follows():
    plain = Fact("1", "q?", ("a",))
    assert facts_digest([plain]).startswith("a15e2c16dd606708"), "published tasks have such digests"
    follows = replace(plain, consequences=(Consequence(ALIAS, ("x",), ("a",)),))
    grouped = replace(plain, group="g")
    weighed = replace(plain, weight=2.0)
    assert len({facts_digest([one]) for one in (plain, follows, grouped, weighed)}) == 4


def test_a_group_stays_together_in_its_part_and_in_what_is_selected():
    facts = [
        Fact(f"{g}/{n}", f"{g} {n}?", ("a",), subject=f"{g}{n}", group=g)
        for g in "abcdefghijklmnop"
        for n in range(3)
    ]
    chosen = [fact.group for fact in first_facts(facts, 12)]
    assert all(chosen.count(group) == 3 for group in chosen)
    assert [fact.id[-1] for fact in first_facts(facts, 12)] == ["0", "1", "2"] * 4
    task = resolve_task("countries", trained=True, forgotten=True)
    parts = {group: {task.part_of(f) for f in facts if f.group == group} for group in "abcdefgh"}
    assert all(len(found) == 1 for found in parts.values())
    assert {FactPart.TRAIN} in parts.values()
