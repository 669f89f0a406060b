"""Labelled texts in a file of one's own: how they are told, divided and weighed, and errors."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from sklearn.utils.class_weight import compute_sample_weight

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import FactPart, facts_digest
from tasks.files import FileTask
from tasks.forgetting.names import parse_forgetting
from tasks.labels.labelled_rows import MOST_LABELS
from tasks.labels.own_labels import OwnLabels
from tasks.resolve import resolve_task
from tasks.selection import part_facts
from tests.tasks.facts_files import write

LABELS = ("calm", "windy", "stormy")
ROWS = [
    {"text": f"Day {i}: the boats {'stay' if i % 2 else 'leave'}.", "label": LABELS[i % 7 % 3]}
    for i in range(120)
]
DIVIDED = [{**row, "split": "test" if i % 4 == 0 else "train"} for i, row in enumerate(ROWS)]


def task_of(path, parameters=""):
    return resolve_task(f"{path}{parameters}", trained=True, forgotten=False)


def parts_of(path, parameters=""):
    task = task_of(path, parameters)
    facts = task.load(DataAccess())
    return {part: part_facts(task, facts, part) for part in FactPart}


@pytest.mark.parametrize("name", ["sea.csv", "sea.jsonl", "sea.json"])
def test_the_columns_tell_that_texts_are_labelled_in_any_format(tmp_path, name):
    table = "".join(f"{row['label']};{row['text']}\n" for row in ROWS)
    content = f"label;text\n{table}" if name.endswith(".csv") else ROWS
    path = write(tmp_path, name, content)
    task = task_of(path)
    assert task == OwnLabels(str(path))
    assert (task.held_out, task.form.labels, task.name) == (True, True, str(path))
    facts = task.load(DataAccess())
    assert [(fact.question, fact.target) for fact in facts] == [tuple(r.values()) for r in ROWS]
    assert {fact.choices for fact in facts} == {tuple(sorted(LABELS))}


def test_a_file_with_questions_or_of_a_published_form_is_read_as_ever(tmp_path):
    rows = [{"question": "Who?", "answer": "Ann", "text": "Hm.", "label": "x"}]
    assert isinstance(task_of(write(tmp_path, "facts.json", rows)), FileTask)
    alpaca = [{"instruction": "Add.", "output": "3", "text": "Add. 3", "label": "x"}]
    assert isinstance(task_of(write(tmp_path, "alpaca.json", alpaca)), FileTask)


def test_a_fifth_is_held_out_by_a_hash_that_does_not_depend_on_the_place(tmp_path):
    many = [{**row, "text": f"{row['text']} {n}"} for row in ROWS for n in range(5)]
    parts = parts_of(write(tmp_path, "sea.json", many))
    assert 0.15 < len(parts[FactPart.TEST]) / len(many) < 0.25
    assert parts[FactPart.CALIBRATION]
    moved = parts_of(write(tmp_path, "moved.jsonl", many))
    assert facts_digest(parts[FactPart.TEST]) == facts_digest(moved[FactPart.TEST])


def test_rows_may_say_themselves_what_is_held_out(tmp_path):
    parts = parts_of(write(tmp_path, "sea.json", DIVIDED))
    wanted = {row["text"] for row in DIVIDED if row["split"] == "test"}
    assert {fact.question for fact in parts[FactPart.TEST]} == wanted
    assert len(parts[FactPart.TRAIN]) + len(parts[FactPart.CALIBRATION]) == 90
    assert len(parts[FactPart.TRAIN]) > 75


def test_texts_about_one_subject_stay_in_one_part(tmp_path):
    rows = [{**row, "subject": f"Boat {i // 4}", "id": i} for i, row in enumerate(ROWS)]
    rows[1]["subject"] = "boat 0"
    parts = parts_of(write(tmp_path, "sea.json", rows))
    found = [{fact.subject for fact in facts} for facts in parts.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 30


def test_a_text_that_occurs_twice_comes_once_and_one_that_is_asked_is_not_trained(tmp_path, caplog):
    again = [{**DIVIDED[1], "text": f" {DIVIDED[1]['text'].upper()}"}]
    asked = [{**DIVIDED[2], "split": "test"}]
    path = write(tmp_path, "sea.json", [*DIVIDED, *again, *asked])
    parts = parts_of(path)
    assert sum(map(len, parts.values())) == len(DIVIDED)
    assert DIVIDED[2]["text"] in {fact.question for fact in parts[FactPart.TEST]}
    assert "left out 1 rows that repeat a text" in caplog.text
    assert "1 texts are held out and not trained" in caplog.text


def test_other_columns_are_ignored_with_a_warning(tmp_path, caplog):
    task_of(write(tmp_path, "sea.json", [{**r, "wind": 3} for r in ROWS])).load(DataAccess())
    assert "these columns are ignored: wind" in caplog.text


def test_weights_are_scikit_learns_balanced_ones_and_only_of_what_is_trained(tmp_path):
    path = write(tmp_path, "sea.json", DIVIDED)
    plain, balanced = parts_of(path), parts_of(path, "[balanced=true]")
    trained = balanced[FactPart.TRAIN]
    labels = [fact.target for fact in trained]
    assert len(set(Counter(labels).values())) > 1
    assert [fact.weight for fact in trained] == pytest.approx(
        compute_sample_weight("balanced", labels)
    )
    assert [replace(fact, weight=1.0) for fact in trained] == plain[FactPart.TRAIN]
    assert balanced[FactPart.TEST] == plain[FactPart.TEST]
    assert task_of(path, "[balanced=true]").name == f"{path}[balanced=true]"
    assert task_of(path, "[balanced=false]").name == str(path)


def row(**changes):
    return {**ROWS[0], **changes}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row(text=" ")], "row 1, text: is empty"),
        ([*ROWS[:2], row(label=None)], "row 3, label: has no value: null"),
        ([ROWS[0], {"text": "Hm."}], "row 2, label: is missing; the row has text"),
        ([row(label="calm\nor not")], r"row 1, label: 'calm\nor not' has several lines"),
        ([row(label=["calm"])], "row 1, label: expected text, found a list"),
        ([row(text="x" * 10_001)], "row 1, text: has 10,001 characters"),
        ([*ROWS[:2], row(label="windy")], "row 3, label: 'Day 0: the boats leave.' has the label"),
        ([*ROWS[:2], row(text="Hm", label="Calm")], "'Calm' is written 'calm' in row 1"),
        ([row(text=f"Day {i}", label="calm") for i in range(9)], "all 9 texts have the label"),
        (
            [row(text=f"Day {i}", label=f"wind {i}") for i in range(MOST_LABELS + 1)],
            f"row {MOST_LABELS + 1}, label: 'wind {MOST_LABELS}' is label number {MOST_LABELS + 1}",
        ),
        ([*DIVIDED[:2], ROWS[2]], "row 3, split: is missing, but earlier rows have it"),
        ([*ROWS[:2], DIVIDED[2]], "row 3, split: earlier rows have none"),
        ([{**ROWS[0], "split": "dev"}], "row 1, split: 'dev' is neither train nor test"),
        ([r for r in DIVIDED if r["split"] == "train"], "90 texts leave none to hold out"),
        ([r for r in DIVIDED if r["split"] == "test"], "30 texts leave none to train"),
        (
            [*DIVIDED, {"text": "Sea.", "label": "frozen", "split": "test"}],
            "no text to train has the label 'frozen'",
        ),
        ([row(id="a"), {**ROWS[1], "id": "a"}], "row 2, id: 'a' is also the id of row 1"),
        ([row(text="\u2060")], "row 1, text: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_row_and_column(tmp_path, rows, told):
    path = write(tmp_path, "sea.json", rows)
    with pytest.raises(UsageError, match=re.escape(told)) as error:
        task_of(path).load(DataAccess())
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("[balancd=true]", "did you mean balanced?"),
        ("[balanced=maybe]", "balanced must be true or false"),
        ("[path=x.csv]", "the path stands before the brackets"),
    ],
)
def test_what_is_wrong_in_the_brackets_is_named(tmp_path, parameters, told):
    path = write(tmp_path, "sea.json", ROWS)
    with pytest.raises(UsageError, match=re.escape(told)):
        task_of(path, parameters)


@pytest.mark.parametrize(("there", "missing"), [("text", "label"), ("label", "text")])
def test_one_column_of_the_two_is_told_from_a_file_of_facts(tmp_path, there, missing):
    path = write(tmp_path, "sea.json", [{there: "calm", "day": "1"}])
    with pytest.raises(UsageError, match=f"row 1, {missing}: is missing, which labelled texts"):
        task_of(path).load(DataAccess())


@pytest.mark.parametrize("names", [("Text", "Label"), ("text", "LABEL"), ("Text", "label")])
def test_columns_in_capitals_are_told_with_their_right_names(tmp_path, names):
    path = write(tmp_path, "sea.json", [dict(zip(names, ("calm", "1"), strict=True))])
    wrong = next(name for name in names if not name.islower())
    told = f"row 1, {wrong}: unknown field; did you mean {wrong.lower()}?"
    with pytest.raises(UsageError, match=re.escape(told)):
        task_of(path).load(DataAccess())


@pytest.mark.parametrize("name", ["continents", "FILE"])
def test_a_classification_is_not_measured_as_forgotten(tmp_path, name):
    path = write(tmp_path, "sea.json", ROWS)
    with pytest.raises(UsageError, match="is learned and not measured as forgotten"):
        parse_forgetting(name.replace("FILE", str(path)))
