"""A person's own facts file: what is read, and the one line for each thing that is wrong."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import FactPart, facts_digest
from tasks.files import FileRole, FileTask
from tasks.selection import select_facts
from tests.tasks.facts_files import load, write

ROWS = [
    {
        "id": "a",
        "question": "Who leads Zorvia?",
        "answers": ["Ada Quill", "Quill"],
        "paraphrases": ["Name Zorvia's leader.", "Who is at the head of Zorvia?"],
        "neighbours": [{"question": "Who leads Norland?", "answer": "Bo Lint"}],
        "relation": "leader",
        "subject": "Zorvia",
    },
    {"id": "b", "question": "How many moons has Zorvia?", "answers": ["2"]},
]
CSV = (
    "id,question,answers,paraphrases,neighbours,relation,subject\n"
    'a,Who leads Zorvia?,Ada Quill|Quill,"[""Name Zorvia\'s leader."", '
    '""Who is at the head of Zorvia?""]",'
    '"[{""question"": ""Who leads Norland?"", ""answer"": ""Bo Lint""}]",leader,Zorvia\n'
    "b,How many moons has Zorvia?,2,,,,\n"
)


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_three_formats_give_the_same_facts(tmp_path):
    lines = load(write(tmp_path, "f.jsonl", as_lines(ROWS)))
    array = load(write(tmp_path, "f.json", json.dumps(ROWS)))
    table = load(write(tmp_path, "f.csv", CSV))
    assert lines == array == table
    assert lines[0].answers == ("Ada Quill", "Quill")
    assert lines[0].neighbours[0].answers == ("Bo Lint",)
    assert lines[1].paraphrases == ()


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.CSV"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path, name):
    content = {
        "f.jsonl": as_lines(ROWS),
        "f.json": json.dumps(ROWS, indent=1),
        "f.CSV": CSV,
    }[name].replace("\n", "\r\n")
    assert len(load(write(tmp_path, name, b"\xef\xbb\xbf" + content.encode()))) == 2


def test_answer_may_be_a_list_a_number_or_stand_beside_answers(tmp_path):
    rows = [
        {"question": "a?", "answer": ["x", "y", "x"]},
        {"question": "b?", "answer": 42},
        {"question": "c?", "answer": "x", "answers": ["y"]},
    ]
    facts = load(write(tmp_path, "f.jsonl", as_lines(rows)))
    assert [fact.answers for fact in facts] == [("x", "y"), ("42",), ("x", "y")]


def test_a_three_column_table_with_a_column_of_its_own_warns(tmp_path, caplog):
    path = write(tmp_path, "f.csv", "question,answer,topic\nWho?,Ada | Bo,people\n")
    with caplog.at_level(logging.WARNING):
        (fact,) = load(path)
    assert fact.answers == ("Ada | Bo",)
    assert "ignored: topic" in caplog.text


def test_a_near_name_beside_the_right_one_is_no_misspelling(tmp_path):
    path = write(tmp_path, "f.csv", "question_id,question,answer,gold_answer\n1,Who?,Ada,Bo\n")
    (fact,) = load(path)
    assert (fact.answers, fact.old_answers) == (("Ada",), ())


def test_an_old_answer_makes_an_update_and_a_blank_one_none(tmp_path):
    rows = [
        {"question": "a?", "answer": "x", "old_answer": "w"},
        {"question": "b?", "answer": "x", "old_answers": ["v", "w"], "old_answer": "w"},
        {"question": "c?", "answer": "x", "old_answer": ""},
        {"question": "d?", "answer": "x", "old_answers": None},
    ]
    table = "question,answer,old_answer,old_answers\na?,x,w,\nb?,x,w,v|w\nc?,x,,\nd?,x, ,\n"
    facts = load(write(tmp_path, "f.jsonl", as_lines(rows)))
    assert [fact.old_answers for fact in facts] == [("w",), ("w", "v"), (), ()]
    assert load(write(tmp_path, "f.csv", table)) == facts
    one = load(write(tmp_path, "one.csv", "question,answer,old_answer\nq?,x,a | b\n"))
    assert one[0].old_answers == ("a | b",), "one text is taken as it stands"


def test_an_old_answer_that_differs_in_a_point_or_sign_is_an_update(tmp_path):
    pairs = [("11.1", "1.11"), ("7", "-7"), ("C", "C++"), ("1.10", "1.1"), ("5%", "5")]
    rows = [{"question": f"{n}?", "answer": a, "old_answer": b} for n, (a, b) in enumerate(pairs)]
    facts = load(write(tmp_path, "f.jsonl", as_lines(rows)))
    assert [(fact.target, *fact.old_answers) for fact in facts] == pairs


def test_what_is_asked_of_several_facts_without_being_trained_is_accepted(tmp_path):
    rows = [
        {**row, "paraphrases": ["One?"], "neighbours": [{"question": "Two?", "answer": "b"}]}
        for row in ({"question": "q?", "answer": "a"}, {"question": "r?", "answer": "A."})
    ]
    assert len(load(write(tmp_path, "f.jsonl", as_lines(rows)))) == 2


def test_only_an_old_answer_changes_what_a_fact_is(tmp_path):
    def facts(**old):
        return load(write(tmp_path, "f.jsonl", as_lines([{**ROWS[1], **old}])))

    plain = "68791618d7f55430a8f7fc62c663cbb3ab187d59803175fea63bdb7ae19334f8"
    assert facts_digest(facts()) == facts_digest(facts(old_answer="")) == plain
    assert facts_digest(facts(old_answer="3")) != plain


ROW = '{"question": "q?", "answer": "a"}\n'
WRONG = {
    "duplicate id": (
        "f.jsonl",
        '{"id": 1, "question": "a?", "answer": "x"}\n\n{"id": 1, "question": "b?", "answer": "x"}',
        ["line 3, id", "'1'", "line 1"],
    ),
    "duplicate row": ("f.jsonl", ROW + ROW, ["line 2, question", "'q?'", "line 1"]),
    "the same question in other case, spacing and quotes": (
        "f.jsonl",
        '{"question": "Who’s there?", "answer": "a"}\n'
        '{"question": " who\'s  THERE", "answer": "b"}',
        ["line 2, question", "line 1"],
    ),
    "the same question with other accents": (
        "f.csv",
        "question,answer\nWho is Zo\u00eb?,a\nx?,b\nWho is Zoe\u0308?,a\n",
        ["row 3, question", "row 1"],
    ),
    "a question that cannot be seen": (
        "f.jsonl",
        ROW + '{"question": "\\u200b", "answer": "a"}',
        ["line 2, question", "cannot be seen"],
    ),
    "an answer that cannot be seen": (
        "f.jsonl",
        ROW + '{"question": "r?", "answers": ["a", "\\u200b\\ufeff"]}',
        ["line 2, answer", "cannot be seen"],
    ),
    "paraphrase that is its own question": (
        "f.jsonl",
        ROW + '{"question": "Who?", "answer": "a", "paraphrases": ["Which?", "WHO"]}',
        ["line 2, paraphrases", "'WHO'", "this row"],
    ),
    "paraphrase that is trained": (
        "f.csv",
        'question,answer,paraphrases\nq?,a,Say r.|Which is r’s?\nr?,b,\n"Which is R\'s?",c,\n',
        ["row 1, paraphrases", "Which is r's?", "row 3"],
    ),
    "paraphrase that is trained above": (
        "f.csv",
        "question,answer,paraphrases\nq?,a,\nr?,b,q\n",
        ["row 2, paraphrases", "row 1"],
    ),
    "paraphrase of two answers": (
        "f.jsonl",
        '{"question": "q?", "answer": "a", "paraphrases": ["Say it!"]}\n'
        '{"question": "r?", "answer": "b", "paraphrases": ["x?", "say it"]}',
        ["line 2, paraphrases", "line 1", "answers differ"],
    ),
    "empty question": (
        "f.json",
        '[{"question": " ", "answer": "a"}]',
        ["row 1, question", "empty"],
    ),
    "empty answer": ("f.csv", "question,answer\nq?,a\nr?,\n", ["row 2, answer", "empty"]),
    "empty answers": ("f.jsonl", '{"question": "q?", "answers": []}', ["line 1, answers", "empty"]),
    "an empty one of answers": (
        "f.jsonl",
        '{"question": "q?", "answers": ["a", ""]}',
        ["line 1, answers", "empty text"],
    ),
    "no answer column": ("f.csv", "question,topic\nq?,t\n", ["row 1, answer", "missing", "topic"]),
    "no question in one row": (
        "f.jsonl",
        ROW + '{"answer": "a"}',
        ["line 2, question", "missing"],
    ),
    "misspelt column": ("f.csv", "question,anwser\nq?,a\n", ["anwser", "did you mean answer?"]),
    "misspelt field": (
        "f.jsonl",
        ROW + '{"question": "r?", "answer": "a", "neighbors": []}',
        ["line 2, neighbors", "did you mean neighbours?"],
    ),
    "misspelt old answer": (
        "f.csv",
        "question,answer,old_anwser\nq?,a,b\n",
        ["row 1, old_anwser", "did you mean old_answer?"],
    ),
    "old answer that is the new one": (
        "f.jsonl",
        ROW + '{"question": "r?", "answers": ["b", "The Bee."], "old_answer": "bee"}',
        ["line 2, old_answer", "'bee' is also the new answer"],
    ),
    "one of the old answers is new": (
        "f.csv",
        "question,answer,old_answers\nq?,a,b|A\n",
        ["row 1, old_answers", "'A' is also the new answer"],
    ),
    "old answer of a wrong type": (
        "f.jsonl",
        '{"question": "q?", "answer": "a", "old_answer": {"text": "b"}}',
        ["line 1, old_answer", "expected text"],
    ),
    "not UTF-8": ("f.csv", b"question,answer\nq?,caf\xe9\n", ["line 2", "UTF-8", "0xe9"]),
    "UTF-16": ("f.csv", "question,answer\nq?,a\n".encode("utf-16"), ["line 1", "UTF-8"]),
    "invalid line": ("f.jsonl", ROW + "{'question'}\n", ["line 2", "invalid JSON"]),
    "invalid array": ("f.json", '[{"question": "q?",\n "answer" "a"}]', ["line 2", "invalid JSON"]),
    "not a list": ("f.json", '"question"', ["list of objects"]),
    "columns of a data frame": (
        "f.json",
        '{"question": {"0": "q?"}, "answer": {"0": "a"}}',
        ["list of objects", "orient='records'"],
    ),
    "parts of a data set": (
        "f.json",
        '{"train": [{"question": "q?", "answer": "a"}], "test": []}',
        ["list of objects"],
    ),
    "not an object": ("f.jsonl", ROW + "3\n", ["line 2", "object"]),
    "answer of a wrong type": ("f.jsonl", '{"question": "q?", "answer": true}', ["answer", "true"]),
    "empty file": ("f.jsonl", "", ["no facts"]),
    "empty array": ("f.json", "", ["no facts"]),
    "header alone": ("f.csv", "question,answer\n", ["no facts"]),
    "too many cells": ("f.csv", "question,answer\nq?,a,b\n", ["row 1", "3 cells", "quotes"]),
    "open quote": ("f.csv", 'question,answer\nq?,"a\n', ["invalid CSV"]),
    "column twice": ("f.csv", "question,answer,answer\nq?,a,b\n", ["header", "'answer'"]),
    "neighbours not JSON": (
        "f.csv",
        "question,answer,neighbours\nq?,a,who?\n",
        ["row 1, neighbours", "JSON"],
    ),
    "neighbour without answer": (
        "f.jsonl",
        '{"question": "q?", "answer": "a", "neighbours": [{"question": "r?"}]}',
        ["line 1, neighbour 1, answer", "missing"],
    ),
    "neighbour that is trained": (
        "f.jsonl",
        ROW + '{"question":"r?","answer":"a","neighbours":[{"question":"q?","answer":"a"}]}',
        ["line 2, neighbours", "line 1"],
    ),
    "neighbour that is trained in another spelling": (
        "f.jsonl",
        '{"question":"r?","answer":"a","neighbours":[{"question":"Q","answer":"a"}]}\n' + ROW,
        ["line 1, neighbours", "line 2"],
    ),
    "neighbour that is a paraphrase": (
        "f.jsonl",
        '{"question":"r?","answer":"a","neighbours":[{"question":"s","answer":"a"}]}\n'
        '{"question":"q?","answer":"a","paraphrases":["S?"]}',
        ["line 1, neighbours", "a paraphrase of line 2"],
    ),
    "unknown suffix": ("f.tsv", "question\tanswer\n", ["'.tsv'", ".jsonl"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_in_one_line(tmp_path, case):
    name, content, pieces = WRONG[case]
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError) as raised:
        load(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for piece in pieces:
        assert piece in message


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "none.csv")


@given(st.permutations(range(6)))
def test_derived_ids_do_not_depend_on_the_order(tmp_path_factory, order):
    rows = [{"question": f"q{n}?", "answer": f"a{n}"} for n in range(6)]
    folder = tmp_path_factory.mktemp("facts")
    facts = load(write(folder, "f.jsonl", as_lines([rows[n] for n in order])))
    assert {f.question: f.id for f in facts} == {
        f.question: f.id for f in load(write(folder, "g.jsonl", as_lines(rows)))
    }
    assert len({fact.id for fact in facts}) == 6


@pytest.mark.parametrize(
    ("role", "parts"),
    [
        (FileRole.TRAINED, {FactPart.TRAIN}),
        (FileRole.FORGOTTEN, {FactPart.CALIBRATION, FactPart.FORGET}),
        (FileRole.BOTH, set(FactPart) - {FactPart.TEST}),
    ],
)
def test_a_file_is_divided_by_what_the_run_does_with_it(tmp_path, role, parts):
    rows = [{"question": f"q{n}?", "answer": f"a{n}"} for n in range(100)]
    task = FileTask(str(write(tmp_path, "f.jsonl", as_lines(rows))), role)
    facts = task.load(DataAccess())
    sizes = {part: len(select_facts(task, facts, part, None)) for part in FactPart}
    assert {part for part, size in sizes.items() if size} == parts
    assert sum(sizes.values()) == 100


def test_facts_of_one_subject_stay_together_however_it_is_spelt(tmp_path):
    rows = [
        {"question": f"{which} of {n}?", "answer": "a", "subject": spelling.format(n)}
        for n in range(40)
        for which, spelling in enumerate(("Land {}", "land  {}", "“LAND {}”"))
    ]
    task = FileTask(str(write(tmp_path, "f.jsonl", as_lines(rows))), FileRole.BOTH)
    facts = task.load(DataAccess())
    for first, *others in zip(facts[::3], facts[1::3], facts[2::3], strict=True):
        assert first.subject.startswith("Land")
        assert {task.part_of(fact) for fact in others} == {task.part_of(first)}


def test_parts_do_not_hang_on_where_the_file_lies(tmp_path):
    rows = as_lines([{"question": f"q{n}?", "answer": f"a{n}"} for n in range(50)])
    (tmp_path / "other").mkdir()
    divided = []
    for path in (write(tmp_path, "f.jsonl", rows), write(tmp_path / "other", "g.jsonl", rows)):
        task = FileTask(str(path), FileRole.BOTH)
        divided.append([task.part_of(fact) for fact in task.load(DataAccess())])
    assert divided[0] == divided[1]
