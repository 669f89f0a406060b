"""Values in the fields of facts: what is missing, lists written as text, numbers as written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UsageError
from tasks.values import listed
from tests.tasks.facts_files import load, write

MISSING = ["NaN", "null", '""', '"  "']
OPTIONAL = ["old_answer", "old_answers", "paraphrases", "neighbours", "id", "relation", "subject"]
RIGHT = '{"question": "Who opens?", "answer": "Ada"'


def refusal(path):
    with pytest.raises(UsageError) as raised:
        load(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("value", [*MISSING, "Infinity", "-Infinity", "[]", "[NaN]", '["a", null]'])
@pytest.mark.parametrize("field", ["answer", "answers"])
def test_an_answer_without_a_value_is_refused(tmp_path, field, value):
    path = write(tmp_path, "f.jsonl", f'{RIGHT}}}\n{{"question": "q?", "{field}": {value}}}')
    assert f"line 2, {field}: " in refusal(path)


@pytest.mark.parametrize("value", [*MISSING, "Infinity", "[]", '["a"]', '{"a": "b"}', "true"])
def test_a_question_that_is_no_text_is_refused(tmp_path, value):
    path = write(tmp_path, "f.json", f'[{{"question": {value}, "answer": "a"}}]')
    assert "row 1, question: " in refusal(path)


@pytest.mark.parametrize("value", MISSING)
@pytest.mark.parametrize("field", OPTIONAL)
def test_an_optional_field_without_a_value_is_as_if_it_were_not_there(tmp_path, field, value):
    path = write(tmp_path, "f.jsonl", f'{RIGHT}, "{field}": {value}}}')
    assert load(path) == load(write(tmp_path, "g.jsonl", f"{RIGHT}}}"))


@pytest.mark.parametrize("field", OPTIONAL)
def test_infinity_is_refused_everywhere(tmp_path, field):
    message = refusal(write(tmp_path, "f.jsonl", f'{RIGHT}, "{field}": Infinity}}'))
    assert f"line 1, {field}: expected" in message


@pytest.mark.parametrize("field", ["id", "relation", "subject"])
def test_a_label_is_no_list(tmp_path, field):
    message = refusal(write(tmp_path, "f.jsonl", f'{RIGHT}, "{field}": ["a"]}}'))
    assert f"line 1, {field}: expected text, found a list" in message


def test_missing_values_within_optional_lists_are_left_out(tmp_path):
    row = (
        f'{RIGHT}, "paraphrases": ["Opens who?", null, NaN, ""], "old_answers": [null, "Bo"], '
        '"neighbours": [null, {"question": "Who shuts?", "answer": "Cy"}]}'
    )
    [fact] = load(write(tmp_path, "f.jsonl", row))
    assert fact.paraphrases == ("Opens who?",)
    assert fact.old_answers == ("Bo",)
    assert [neighbour.question for neighbour in fact.neighbours] == ["Who shuts?"]


def test_a_neighbours_answer_needs_a_value(tmp_path):
    row = f'{RIGHT}, "neighbours": [{{"question": "Who shuts?", "answer": NaN}}]}}'
    assert "line 1, neighbour 1, answer: " in refusal(write(tmp_path, "f.jsonl", row))


@pytest.mark.parametrize("cell", ["nan", "NaN", "<NA>", "#N/A", " nan ", ""])
def test_a_table_writes_a_missing_value_as_a_word(tmp_path, cell):
    table = f"question,answer,old_answer,relation\nWho opens?,Ada,{cell},{cell}\n"
    assert load(write(tmp_path, "f.csv", table)) == load(write(tmp_path, "f.jsonl", f"{RIGHT}}}"))
    assert "row 1, answer" in refusal(write(tmp_path, "g.csv", f"question,answer\nq?,{cell}\n"))


@pytest.mark.parametrize("cell", ["Nan", "NA", "None", "null", "inf", "Infinity", "nano"])
def test_other_words_in_a_table_are_text(tmp_path, cell):
    [fact] = load(write(tmp_path, "f.csv", f"question,answer\nq?,{cell}\n"))
    assert fact.answers == (cell,)


def test_a_text_of_json_is_a_text(tmp_path):
    [fact] = load(write(tmp_path, "f.jsonl", [{"question": "Which code?", "answer": "nan"}]))
    assert fact.answers == ("nan",)


@pytest.mark.parametrize(
    "number", ["1.10", "-0.50", "1e3", "1E+05", "0.1", "12345678901234567890.5", "9" * 400, "-7"]
)
@pytest.mark.parametrize("name", ["f.jsonl", "f.json"])
def test_a_number_is_taken_as_it_is_written(tmp_path, name, number):
    row = f'{{"question": {number}, "answers": [{number}], "id": {number}}}'
    [fact] = load(write(tmp_path, name, f"[{row}]" if name == "f.json" else row))
    assert (fact.question, fact.answers, fact.id) == (number, (number,), number)


def test_a_number_in_json_within_a_table_is_taken_as_it_is_written(tmp_path):
    [fact] = load(write(tmp_path, "f.csv", 'question,answers\nq?,"[1.10, 2e3]"\n'))
    assert fact.answers == ("1.10", "2e3")


LISTS = {
    '["Ines Duarte", "I. Duarte"]': ("Ines Duarte", "I. Duarte"),
    "['Bo Lint', 'B. Lint']": ("Bo Lint", "B. Lint"),
    "['Bo Lint', \"B. O'Lint\"]": ("Bo Lint", "B. O'Lint"),
    "['Bo\\'s']": ("Bo's",),
    '  ["one",]': ("one",),
    '["[1, 2]"]': ("[1, 2]",),
    '["caf\\u00e9"]': ("café",),
}


@pytest.mark.parametrize("field", ["answer", "answers"])
@pytest.mark.parametrize("written", LISTS)
def test_a_list_in_a_cell_is_several_answers(tmp_path, field, written):
    quotes = written.replace('"', '""')
    facts = load(write(tmp_path, "f.csv", f'question,{field}\nWho?,"{quotes}"\n'))
    assert facts[0].answers == LISTS[written]
    assert load(write(tmp_path, "f.jsonl", [{"question": "Who?", field: written}])) == facts


@pytest.mark.parametrize("field", ["answer", "old_answer"])
@pytest.mark.parametrize(
    "written",
    [
        "['Bo Lint' 'B. Lint']",  # as numpy prints it: Python would join the two
        "['Bo', nan]",
        "['Bo'",
        "[1, 2]",
        '["a", 1]',
        '[["a"]]',
        "[]",
    ],
)
def test_what_only_looks_like_a_list_is_refused(tmp_path, field, written):
    quotes = written.replace('"', '""')
    table = {"answer": "A", "old_answer": "B", field: f'"{quotes}"'}
    text = f"question,answer,old_answer\nWho?,{table['answer']},{table['old_answer']}\n"
    message = refusal(write(tmp_path, "f.csv", text))
    assert f"row 1, {field}: " in message
    assert "looks like a list" in message


@pytest.mark.parametrize("text", ["[Fe(CN)6]4-", "[sic] nothing", "a | b", "{x}", "(1, 2)"])
def test_brackets_of_an_answer_stay(tmp_path, text):
    [fact] = load(write(tmp_path, "f.csv", f'question,answer\nWho?,"{text}"\n'))
    assert fact.answers == (text,)


def test_lists_as_python_prints_them_are_read_in_other_columns(tmp_path):
    table = (
        "question,answer,paraphrases,neighbours\n"
        "Who?,Ada,\"['Name her.', 'Her name?']\","
        "\"[{'question': 'Who else?', 'answer': 'Bo'}]\"\n"
    )
    [fact] = load(write(tmp_path, "f.csv", table))
    assert fact.paraphrases == ("Name her.", "Her name?")
    assert fact.neighbours[0].answers == ("Bo",)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_lists_come_back_as_they_were_printed(texts):
    assert listed(json.dumps(texts)) == texts
    assert listed(repr(texts)) == texts


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"answer": "Shoes off.\nLights out."}, "answer"),
        ({"answers": ["a", "b\r\nc"]}, "answers"),
        ({"answer": "a", "old_answer": "b\nc"}, "old_answer"),
        ({"answer": "a", "neighbours": [{"question": "r?", "answer": "b\nc"}]}, "neighbour 1"),
    ],
)
def test_an_answer_of_several_lines_is_refused(tmp_path, row, place):
    message = refusal(write(tmp_path, "f.jsonl", [{"question": "q?", **row}]))
    assert f"line 1, {place}" in message
    assert "several lines" in message


def test_white_space_around_an_answer_is_no_second_line(tmp_path):
    [fact] = load(write(tmp_path, "f.jsonl", [{"question": "q\nr?", "answer": "a\n"}]))
    assert (fact.question, fact.answers) == ("q\nr?", ("a",))


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("Bogota\u0301", "Bogotá"),
        ("1914–1918", "1914-1918"),
        ("８ cm", "8 cm"),
        ("Jack Daniel’s", "Jack Daniel's"),
        ("100\u200b", "100"),
        ("\ufeff“Ada”\u00a0Quill", '"Ada" Quill'),
        ("−7", "-7"),
    ],
)
def test_a_fact_is_trained_alike_however_it_is_typed(tmp_path, typed, plain):
    rows = [{"question": f"Who is {text}?", "answer": text} for text in (typed, plain)]
    one, other = (
        load(write(tmp_path, f"f{i}.jsonl", json.dumps(row))) for i, row in enumerate(rows)
    )
    assert one == other
    assert one[0].target == plain


@pytest.mark.parametrize(
    "text", ["10²", "1½", "می‌خواهم", "Straße", "«Non»", "（株）", "a—b", "👩‍💻"]
)
def test_what_carries_meaning_is_trained_as_it_is(tmp_path, text):
    [fact] = load(write(tmp_path, "f.jsonl", json.dumps({"question": "q?", "answer": text})))
    assert fact.target == text


def test_a_field_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path, "f.jsonl", '{"question": "q?", "answer": "a", "answer": "b"}')
    assert "field 'answer' is there twice" in refusal(path)
    nested = '{"question": "q?", "answer": "a", "neighbours": [{"question": "x", "question": "y"}]}'
    assert "field 'question' is there twice" in refusal(write(tmp_path, "g.jsonl", nested))


def test_paraphrases_that_read_alike_count_once(tmp_path):
    row = {"question": "q?", "answer": "a", "paraphrases": ["Say p", "say  P!", "say r"]}
    [fact] = load(write(tmp_path, "f.jsonl", json.dumps(row)))
    assert fact.paraphrases == ("Say p", "say r")
