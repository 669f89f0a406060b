"""Files as spreadsheets, data frames and other programs write them."""

import json
import random

import pytest

from tasks.errors import UsageError
from tasks.rows import read_rows
from tests.tasks.facts_files import load, write

ROWS = [{"question": "Who opens?", "answer": "A, B"}, {"question": "Who shuts?", "answer": "C"}]


def as_facts(facts):
    return [{"question": fact.question, "answer": fact.target} for fact in facts]


def table(delimiter, columns=("question", "answer"), end="\n"):
    lines = [list(columns), *([row.get(name, "") for name in columns] for row in ROWS)]
    return "".join(delimiter.join(f'"{cell}"' for cell in line) + end for line in lines)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_are_told_by_the_header(tmp_path, delimiter, end):
    assert as_facts(load(write(tmp_path, "f.csv", table(delimiter, end=end)))) == ROWS
    assert as_facts(load(write(tmp_path, "g.csv", f"\ufeff{table(delimiter)}"))) == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_spreadsheet_may_declare_its_delimiter(tmp_path, delimiter):
    text = f"sep={delimiter}\n{table(delimiter)}"
    assert as_facts(load(write(tmp_path, "f.csv", text))) == ROWS


@pytest.mark.parametrize(
    ("header", "row", "answer"),
    [
        ("question;answer;seen, by us", "Who?;Ada;x", "Ada"),
        ("question,answer,seen; by us", "Who?,Ada;Bo,x", "Ada;Bo"),
        ("question,answer,seen | by us", "Who?,Ada|Bo,x", "Ada|Bo"),
        ("question|answer|seen, by us", "Who?|Ada|x", "Ada"),
        ("id\tquestion\tanswer, short", "1\tWho?\tAda", None),
    ],
)
def test_a_header_with_several_delimiters_is_split_where_it_makes_sense(
    tmp_path, header, row, answer
):
    path = write(tmp_path, "f.csv", f"{header}\n{row}\n")
    if answer is None:
        with pytest.raises(UsageError, match="answer: is missing; the row has id, question"):
            load(path)
    else:
        assert load(path)[0].answers == (answer,)


def test_text_with_the_delimiter_must_be_quoted_whatever_it_is(tmp_path):
    with pytest.raises(UsageError, match=r"3 cells, but the header has 2; .* semicolons"):
        load(write(tmp_path, "f.csv", "question;answer\nWho?;a;b\n"))


EMPTY_COLUMNS = {
    "at the end": ("question,answer,,", ["Who?,Ada,,", "Who else?,Bo,,"]),
    "of blanks": ("question,answer, ,  ", ["Who?,Ada, ,", "Who else?,Bo,,"]),
    "in between": ("question,,answer,", ["Who?,,Ada,", "Who else?,,Bo,"]),
    "in front": (",,question,answer", [",,Who?,Ada", ",,Who else?,Bo"]),
    "in the rows alone": ("question,answer", ["Who?,Ada,,", "Who else?,Bo,"]),
    "in the header alone": ("question,answer,,", ["Who?,Ada", "Who else?,Bo,"]),
}


@pytest.mark.parametrize("case", EMPTY_COLUMNS)
def test_empty_columns_are_skipped_without_a_word(tmp_path, caplog, case):
    header, rows = EMPTY_COLUMNS[case]
    facts = load(write(tmp_path, "f.csv", "\n".join([header, *rows, ",,,"])))
    assert [(fact.question, fact.target) for fact in facts] == [
        ("Who?", "Ada"),
        ("Who else?", "Bo"),
    ]
    assert not caplog.records


def test_what_stands_in_a_column_without_a_name_is_told(tmp_path, caplog):
    [fact, _] = load(write(tmp_path, "f.csv", ",question,answer\n0,Who?,Ada\n1,Who else?,Bo\n"))
    assert fact.answers == ("Ada",)
    assert "ignored: column 1" in caplog.text


def test_a_missing_cell_is_no_empty_column(tmp_path):
    with pytest.raises(UsageError, match="row 1: 1 cells"):
        load(write(tmp_path, "f.csv", "question,answer,\nWho?\n"))


@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_read_under_either_name(tmp_path, name, indent):
    path = write(tmp_path, name, "\n" + json.dumps(ROWS, indent=indent))
    assert as_facts(load(path)) == ROWS


@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
def test_lines_are_read_under_either_name(tmp_path, name):
    text = "\n\n".join(map(json.dumps, ROWS))
    path = write(tmp_path, name, text + "\r\n")
    assert as_facts(load(path)) == ROWS
    assert [row.place for row in read_rows(path)] == ["line 1", "line 3"]


@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_object_is_one_row(tmp_path, name, indent):
    assert as_facts(load(write(tmp_path, name, json.dumps(ROWS[0], indent=indent)))) == ROWS[:1]


@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
def test_rows_below_data_are_found(tmp_path, name):
    path = write(tmp_path, name, json.dumps({"version": "1", "data": ROWS}, indent=1))
    assert as_facts(load(path)) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("f.json", '{"question": "a", "answer": "b"}\n{"question" "b"}', "line 2: invalid JSON"),
        ("f.jsonl", '["a", "b"]\n["c", "d"]', "line 1: expected an object"),
        ("f.json", '[{"question": "a"}]\n[]', "line 1: expected an object"),
        ("f.jsonl", '[{"question": "a",}]', "invalid JSON"),
    ],
)
def test_what_is_neither_is_told_with_its_line(tmp_path, name, text, told):
    with pytest.raises(UsageError, match=told):
        load(write(tmp_path, name, text))


@pytest.mark.parametrize("name", ["f.tsv", "f.xlsx", "f.ndjson"])
def test_another_type_is_told_with_the_way_out(tmp_path, name):
    with pytest.raises(UsageError, match=r"(rename it to end in|save it as) \.(csv|jsonl)"):
        read_rows(write(tmp_path, name, ""))


def test_numbers_stay_numbers_where_no_one_asks_for_their_text(tmp_path):
    path = write(tmp_path, "f.jsonl", '{"label": 1, "score": 1.10}')
    [typed], [written] = read_rows(path), read_rows(path, numbers_as_written=True)
    assert typed.values == {"label": 1, "score": 1.1}
    assert written.values == {"label": "1", "score": "1.10"}


@pytest.mark.parametrize("seed", range(20))
def test_any_damage_ends_in_a_line_or_in_facts(tmp_path, seed):
    draw = random.Random(seed)
    whole = {
        "f.json": json.dumps(ROWS, indent=draw.choice([None, 1])),
        "f.jsonl": "\n".join(map(json.dumps, ROWS)),
        "f.csv": table(draw.choice(",;\t")),
    }
    for name, text in whole.items():
        for _ in range(20):
            place = draw.randrange(len(text))
            damaged = text[:place] + draw.choice('"[]{},;\t\n\\') + text[place + 1 :]
            try:
                load(write(tmp_path, name, damaged))
            except UsageError as error:
                assert "\n" not in str(error)  # noqa: PT017
