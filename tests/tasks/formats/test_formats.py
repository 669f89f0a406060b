"""Published formats are told by their fields and become facts with all that they have."""

import json
import logging

import pytest

from tasks.errors import UsageError
from tasks.fact import Hop, Neighbour
from tasks.formats.known import FORMATS, format_of
from tests.tasks.facts_files import load, write
from tests.tasks.published import (
    COLOURS,
    FORMS,
    PAIRS,
    PLACES,
    counterfact,
    mquake,
    write_form,
    zsre,
)

OWN = [
    {"question": "Who?", "answer": "Ada"},
    {"question": "Who?", "answers": ["Ada"], "context": "x", "subject": "y"},
    {"question": "Who?", "answer": "Ada", "prompt": "x", "input": "y", "output": "z"},
    {"question": "Who?", "answers": [], "relation": "x"},
]


def warnings(caplog):
    return " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("lines", [False, True])
def test_every_form_has_its_four_facts(tmp_path, name, lines):
    facts = load(write_form(tmp_path, name, lines=lines))
    assert [fact.target for fact in facts] == COLOURS
    assert len({fact.id for fact in facts}) == 4


@pytest.mark.parametrize("name", FORMS)
def test_each_record_is_of_one_format(name):
    content = FORMS[name]()
    rows = content["data"] if isinstance(content, dict) else content
    for row in rows:
        assert len([form for form in FORMATS if form.fits(row)]) == 1


@pytest.mark.parametrize("row", OWN)
def test_an_own_row_is_none_of_them(row):
    assert format_of(row) is None


def test_squad_leaves_out_what_cannot_be_answered_and_says_so(tmp_path, caplog):
    facts = load(write_form(tmp_path, "squad 2"))
    assert "2 of 6 SQuAD records are left out: 2 that cannot be answered" in warnings(caplog)
    assert [fact.subject for fact in facts] == ["Gates", "Gates", "Doors", "Doors"]
    assert facts == load(write_form(tmp_path, "squad 1"))


def test_rows_of_squad_are_the_same_facts(tmp_path, caplog):
    facts = load(write_form(tmp_path, "squad rows"))
    nested = load(write_form(tmp_path, "squad 1"))
    assert [(f.id, f.question, f.answers) for f in facts] == [
        (f.id, f.question, f.answers) for f in nested
    ]
    assert "1 of 5 SQuAD records are left out: 1 without an answer" in warnings(caplog)


def test_alpaca_joins_instruction_and_input(tmp_path, caplog):
    facts = load(write_form(tmp_path, "alpaca"))
    assert facts[0].question == "Name the colour of the gate.\nZorvia"
    assert facts[3].question == "Name the colour of the gate of Mirth."
    assert "1 with an answer of several lines" in warnings(caplog)


def test_alpaca_may_be_a_table(tmp_path):
    table = "instruction,input,output\nName it.,Zorvia,red\nName Quell.,,blue\n"
    facts = load(write(tmp_path, "f.csv", table))
    assert [fact.question for fact in facts] == ["Name it.\nZorvia", "Name Quell."]


def test_counterfact_has_updates_with_paraphrases_and_neighbours(tmp_path, caplog):
    facts = load(write_form(tmp_path, "counterfact"))
    for fact, (place, colour) in zip(facts, PAIRS, strict=True):
        assert fact.question == f"The gate of {place} is"
        assert (fact.answers, fact.old_answers) == ((colour,), ("black",))
        assert fact.paraphrases == (f"It rained. {place} has a gate that is",)
        assert fact.neighbours == (Neighbour("The gate of Old Harbour is", ("black",)),)
        assert (fact.subject, fact.relation) == (place, "P999")
    assert [fact.id for fact in facts] == ["0", "1", "2", "3"]
    assert "4 neighbours that are asked of a trained fact" in warnings(caplog)
    assert len(caplog.records) == 1, "one line, however many"


@pytest.mark.parametrize("name", ["zsre", "zsre of mend"])
def test_zsre_replaces_what_was_true(tmp_path, caplog, name):
    facts = load(write_form(tmp_path, name))
    for fact, (place, colour) in zip(facts, PAIRS, strict=True):
        assert fact.question == f"What colour has {place}?"
        assert (fact.answers, fact.old_answers) == ((colour,), ("black", "jet"))
        assert fact.paraphrases == (f"Of what colour is {place}?",)
    if name == "zsre":
        assert [fact.subject for fact in facts] == PLACES
        assert facts[0].neighbours == (Neighbour("who rules Zorvia", ("the mayor",)),)
        assert "1 of 5 zsRE records are left out: 1 without a new answer" in warnings(caplog)
    else:
        assert "4 paraphrases that are asked of another fact" in warnings(caplog)


def test_zsre_without_other_answers_trains_the_true_one(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "alt"} for row in zsre()]
    facts = load(write(tmp_path, "f.json", rows))
    assert facts[0].answers == ("black", "jet")
    assert facts[0].old_answers == ()


def followed(fact):
    return [(one.kind.value, one.phrasings, one.answers) for one in fact.consequences]


def test_knowedit_has_what_should_follow_and_what_should_stay(tmp_path):
    facts = load(write_form(tmp_path, "knowedit"))
    for fact, (place, colour) in zip(facts, PAIRS, strict=True):
        assert fact.question == f"The colour of the gate of {place} is"
        assert (fact.answers, fact.old_answers) == ((colour,), ("black",))
        assert followed(fact) == [
            ("multi_hop", ("The paint comes from",), ("Quell",)),
            ("alias", (f"The colour of the gate of Old {place} is",), (colour,)),
            ("logical", ("Is it bright?",), ("no",)),
        ]
        assert fact.paraphrases == ()
        assert fact.neighbours == (
            Neighbour(f"The mayor of {place} is", ("Bo Lint", "Lint")),
            Neighbour(f"The colour of the gate of {place}, which is not {colour}, is", ("black",)),
        )
        assert fact.subject == place


@pytest.mark.parametrize("name", ["mquake", "mquake remastered"])
def test_mquake_has_edits_with_questions_that_need_all_of_a_case(tmp_path, name):
    facts = load(write_form(tmp_path, name))
    for fact, (place, colour) in zip(facts, PAIRS, strict=True):
        assert fact.question == f"What colour is the gate of {place}?"
        assert (fact.answers, fact.old_answers) == ((colour,), ("black",))
        assert (fact.subject, fact.relation) == (place, "P999")
    assert [fact.id for fact in facts] == ["1/1", "2/1", "3/1", "3/2"]
    assert [fact.group for fact in facts] == ["1", "2", "3", "3"]
    [first] = facts[0].consequences
    assert first.phrasings == tuple(
        f"{word} has the colour of the gate of Zorvia?" for word in ("Who", "What", "Which")
    )
    assert (first.answers, first.needs) == (("painter 1", "painter 1s"), ())
    assert first.hops[0] == Hop("What colour is the gate of Zorvia?", ("red", "red paint"))
    assert facts[2].consequences == ()
    [last] = facts[3].consequences
    assert (last.phrasings, last.needs) == (("Which colours do both gates mix?",), ("3/1",))


def test_edits_that_cases_share_come_once_with_all_that_follows(tmp_path, caplog):
    rows = mquake()
    again = json.loads(json.dumps(rows[2]))
    again |= {"case_id": 9, "questions": ["What else?"], "new_answer": "lead"}
    other = json.loads(json.dumps(rows[0]))
    other["requested_rewrite"][0]["target_new"]["str"] = "pink"
    other["new_single_hops"][0]["answer"] = "pink"
    other["new_single_hops"][0]["answer_alias"] = []
    facts = load(write(tmp_path, "f.json", [*rows, again, other]))
    assert [fact.target for fact in facts] == COLOURS
    assert [one.answers[0] for one in facts[3].consequences] == ["steel", "lead"]
    assert len(facts[0].consequences) == 1
    assert "2 with an earlier question, 1 with another answer" in warnings(caplog)


def test_a_case_that_another_edit_contradicts_asks_nothing(tmp_path, caplog):
    rows = mquake()
    rows[0]["new_single_hops"][1] = {
        "question": "what colour is the gate of QUELL",
        "answer": "painter 1",
    }
    facts = load(write(tmp_path, "f.json", rows))
    assert facts[0].consequences == ()
    assert "1 consequences with a hop that is trained with another answer" in warnings(caplog)


def test_edits_that_are_not_among_the_hops_are_hops_too(tmp_path):
    rows = [{**row, "new_single_hops": []} for row in mquake()]
    facts = load(write(tmp_path, "f.json", rows))
    [last] = facts[3].consequences
    assert [hop.answers for hop in last.hops] == [("blue",), ("grey",)]
    assert last.needs == ("3/1",)


def test_wiki_big_edit_has_other_words_what_is_near_and_what_follows(tmp_path):
    facts = load(write_form(tmp_path, "wiki big edit"))
    first, last = facts[0], facts[3]
    assert first.question == "What is the colour of the gate of Zorvia?"
    assert first.paraphrases == (
        "The gate of Zorvia has which colour?",
        "Ahoy! What colour be the gate of Zorvia?",
    )
    assert first.neighbours == (Neighbour("Who rules Zorvia?", ("the mayor",)),)
    assert followed(first) == [("multi_hop", ("Which paint was bought for Zorvia?",), ("red oil",))]
    assert last.consequences == ()
    assert (first.old_answers, first.subject) == ((), "Zorvia")


def test_flat_records_and_biographies_are_read_too(tmp_path):
    [flat, *_] = load(write_form(tmp_path, "easyedit"))
    assert flat.paraphrases == ("Zorvia painted its gate in",)
    assert flat.neighbours == (Neighbour("The mayor of Zorvia is", ("Bo Lint",)),)
    [biography, *_] = load(write_form(tmp_path, "wikibio"))
    assert biography.question == "This is a passage about Zorvia. It is a town."
    assert biography.subject == "Zorvia"


def test_repeated_and_contradictory_questions_are_left_out_and_counted(tmp_path, caplog):
    rows = counterfact()
    again = json.loads(json.dumps(rows[:3]))
    again[1]["requested_rewrite"]["target_new"]["str"] = "purple"
    again[2]["requested_rewrite"]["subject"] = " quell "
    facts = load(write(tmp_path, "f.json", rows + again))
    assert [fact.target for fact in facts] == COLOURS
    assert "2 with an earlier question" in warnings(caplog)
    assert "1 with another answer to an earlier question" in warnings(caplog)


def test_records_of_joined_files_keep_ids_apart(tmp_path):
    rows = [*counterfact(), *counterfact()]
    for row in rows[4:]:
        row["requested_rewrite"]["prompt"] = "The door of {} is"
    facts = load(write(tmp_path, "f.json", rows))
    assert len({fact.id for fact in facts}) == len(facts) == 8


def test_an_old_answer_that_is_accepted_as_new_makes_no_update(tmp_path):
    rows = zsre()[:1]
    rows[0]["answers"] = ["Red", "black"]
    [fact] = load(write(tmp_path, "f.json", rows))
    assert fact.old_answers == ("black",)


def test_long_answers_are_left_out(tmp_path, caplog):
    rows = FORMS["alpaca"]()
    rows[0]["output"] = "word " * 200
    with caplog.at_level(logging.WARNING):
        assert len(load(write(tmp_path, "f.jsonl", rows))) == 3
    assert "1 with an answer of more than 600 bytes" in warnings(caplog)


def broken(name, *path):
    """Return the records of a form without a field of the second."""
    rows = FORMS[name]()
    inside = rows[1]
    for part in path[:-1]:
        inside = inside[part]
    del inside[path[-1]]
    return rows


def emptied(name, field):
    """Return the records of a form, the second with an empty list in a field."""
    rows = FORMS[name]()
    rows[1][field] = []
    return rows


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (broken("counterfact", "requested_rewrite", "subject"), "requested_rewrite.subject: is"),
        (broken("counterfact", "requested_rewrite", "target_new", "str"), "target_new.str: is"),
        (broken("counterfact", "requested_rewrite"), "requested_rewrite: is missing"),
        (broken("zsre", "src"), "src: is missing"),
        (broken("zsre of mend", "input"), "input: is missing"),
        (broken("zsre of mend", "output"), 'output: expected a list of {"answer"'),
        (broken("knowedit", "prompt"), "prompt: is missing"),
        (broken("mquake", "questions"), "questions: is missing"),
        (broken("mquake", "new_answer"), "new_answer: is missing"),
        (broken("mquake", "requested_rewrite", 0, "question"), "edit 1, question: is missing"),
        (broken("mquake", "requested_rewrite", 0, "target_new"), "edit 1, target_new: is missing"),
        (broken("mquake", "new_single_hops", 0, "answer"), "hops 1, answer: is missing"),
        (emptied("mquake", "requested_rewrite"), "requested_rewrite: has no edits"),
        (broken("wiki big edit", "update"), "update: is missing"),
        (broken("alpaca", "instruction"), "instruction: is missing"),
        (broken("squad rows", "answers"), "answers: is missing"),
        (broken("squad rows", "question"), "question: is missing"),
    ],
)
def test_a_record_that_lacks_a_field_is_told_in_one_line(tmp_path, rows, told):
    path = write(tmp_path, "f.jsonl", rows)
    with pytest.raises(UsageError) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}, line 2, ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"requested_rewrite": []}, "requested_rewrite: expected an object"),
        ({"neighborhood_prompts": "one"}, "neighborhood_prompts: expected a list"),
        ({"paraphrase_prompts": [{"a": 1}]}, "paraphrase_prompts: expected text"),
        ({"case_id": float("inf")}, "id: expected text or a number"),
    ],
)
def test_a_field_of_another_kind_is_told(tmp_path, change, told):
    rows = [{**row, **change} for row in counterfact()]
    with pytest.raises(UsageError, match=r"line 1") as raised:
        load(write(tmp_path, "f.jsonl", rows))
    assert told in str(raised.value)


def test_lists_may_be_nested_deeper_than_functions_call_each_other(tmp_path):
    nested = "[" * 600 + '"Paris"' + "]" * 600
    path = tmp_path / "f.jsonl"
    path.write_text(f'{{"prompt": "The capital of France is", "target_new": {nested}}}')
    [fact] = load(path)
    assert fact.answers == ("Paris",)


def test_a_file_without_any_trainable_record_is_refused(tmp_path):
    rows = [{**row, "output": "a\nb"} for row in FORMS["alpaca"]()]
    with pytest.raises(UsageError, match="no Alpaca record that can be trained"):
        load(write(tmp_path, "f.jsonl", rows))


@pytest.mark.parametrize("name", FORMS)
def test_missing_values_in_any_optional_field_are_none(tmp_path, name):
    required = {
        *("question", "answers", "instruction", "output", "requested_rewrite", "src", "alt"),
        *("input", "prompt", "target_new", "text", "labels", "concept", "paragraphs", "title"),
        *("alternatives", "update", "ans"),
    }
    content = FORMS[name]()
    rows = content["data"] if isinstance(content, dict) else content
    rows = [{key: value if key in required else None for key, value in row.items()} for row in rows]
    facts = load(write(tmp_path, "f.jsonl", rows))
    assert [fact.target for fact in facts] == COLOURS
