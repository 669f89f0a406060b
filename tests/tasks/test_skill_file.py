"""Own examples of a skill: Alpaca's rows and conversations, what is held out, and errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tasks.base import DataAccess
from tasks.conversation import turns_of
from tasks.errors import UsageError
from tasks.fact import FactPart, facts_digest
from tasks.files import FileTask
from tasks.forgetting.names import parse_forgetting
from tasks.instruction_forms import ALPACA, CHAT
from tasks.prompt import Prompt
from tasks.resolve import resolve_task, split_names
from tasks.selection import part_facts
from tests.tasks.facts_files import write

ROWS = [
    {"instruction": f"Name a plant of colour {i}.", "input": "", "output": f"Rose {i}\nor lily"}
    for i in range(30)
]
CHATS = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Where is room {i}?"},
            {"role": "assistant", "content": "Which house?"},
            {"role": "user", "content": "The red one."},
            {"role": "assistant", "content": f"On floor {i}."},
        ]
    }
    for i in range(30)
]


def task_of(path, parameters="as=alpaca"):
    return resolve_task(f"{path}[{parameters}]", trained=True, forgotten=False)


def load(path, parameters="as=alpaca"):
    return task_of(path, parameters).load(DataAccess())


def test_alpaca_prompts_are_those_of_its_code():
    assert ALPACA.question("Add.") == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nAdd.\n\n### Response:"
    )
    assert ALPACA.question("Add.\n\n### Input:\n1, 2") == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:"
    )
    assert ALPACA.target("3") == "3"
    assert Prompt((), ALPACA).digest != Prompt((), replace(ALPACA, before="Do:")).digest
    other = type("Other", (type(ALPACA),), {"others": ()})()
    assert Prompt((), ALPACA).digest != Prompt((), other).digest, "the prompt with input counts"
    assert (ALPACA.stop, CHAT.stop) == ("", ""), "a response may have several lines"


def test_instructions_with_and_without_input(tmp_path):
    rows = [*ROWS, {"instruction": "Add.", "input": "1, 2", "output": "3"}]
    facts = load(write(tmp_path, "my.json", rows))
    assert facts[0].question == "Name a plant of colour 0."
    assert facts[0].answers == ("Rose 0\nor lily",)
    assert facts[-1].question == "Add.\n\n### Input:\n1, 2"


def test_all_turns_before_the_last_are_the_prompt(tmp_path):
    facts = load(write(tmp_path, "my.jsonl", CHATS), "as=chat")
    assert facts[3].answers == ("On floor 3.",)
    assert turns_of(facts[3].question) == CHATS[3]["messages"][:-1]


def test_a_fifth_is_held_out_by_a_hash_that_does_not_depend_on_the_place(tmp_path):
    rows = [{**row, "instruction": f"{row['instruction']} {i}"} for row in ROWS for i in range(20)]
    path = write(tmp_path, "my.json", rows)
    task, facts = task_of(path), load(path)
    asked = part_facts(task, facts, FactPart.TEST)
    assert 0.15 < len(asked) / len(facts) < 0.25
    moved = write(tmp_path, "moved.jsonl", rows)
    again = part_facts(task_of(moved), load(moved), FactPart.TEST)
    assert facts_digest(asked) == facts_digest(again)


def test_rows_that_repeat_a_question_come_once_so_none_is_trained_and_asked(tmp_path, caplog):
    rows = [*ROWS, {**ROWS[0], "instruction": "name a plant  of colour 0", "output": "x"}]
    assert len(load(write(tmp_path, "my.json", rows))) == len(ROWS)
    assert "left out 1 rows that repeat a question" in caplog.text


def test_a_second_file_is_asked_and_nothing_of_it_is_trained(tmp_path, caplog):
    path = write(tmp_path, "my.json", ROWS)
    other = write(tmp_path, "other.json", [*ROWS[:2], {**ROWS[0], "instruction": "New?"}])
    task, facts = task_of(path, f"as=alpaca,test={other}"), load(path, f"as=alpaca,test={other}")
    trained, asked = (part_facts(task, facts, p) for p in (FactPart.TRAIN, FactPart.TEST))
    assert (len(trained), len(asked)) == (len(ROWS) - 2, 3)
    assert {f.question for f in trained}.isdisjoint(f.question for f in asked)
    assert "left out 2 rows" in caplog.text
    with pytest.raises(UsageError, match="asks all of its rows"):
        load(other, f"as=alpaca,test={other}")


def test_an_extractor_finds_what_counts(tmp_path):
    rows = [
        {"instruction": f"{i} + 1", "output": f"One more.\n{i} + 1 = {i + 1}"} for i in range(30)
    ]
    path = write(tmp_path, "my.json", rows)
    task, facts = task_of(path, "as=alpaca,extract=result"), load(path, "as=alpaca,extract=result")
    assert facts[4].accepts("Because 4 + 1 = 5")
    assert not facts[4].accepts("5")
    assert task.name == f"{path}[as=alpaca,extract=result]"
    assert load(path)[4].extract == ""
    with pytest.raises(UsageError, match=r"row 2, output|row 2: extract=result finds nothing"):
        load(
            write(tmp_path, "no.json", [rows[0], {**rows[1], "output": "2"}]),
            "as=alpaca,extract=result",
        )


def test_without_brackets_alpaca_rows_are_facts_as_ever(tmp_path):
    path = write(tmp_path, "my.json", [{"instruction": "Add.", "input": "1, 2", "output": "3"}])
    [fact] = FileTask(str(path)).load(DataAccess())
    assert (fact.question, fact.answers) == ("Add.\n1, 2", ("3",))


def test_a_list_of_tasks_may_name_files_with_brackets():
    names = "countries,a/my.json[as=alpaca,extract=result],dates"
    assert split_names(names) == ["countries", "a/my.json[as=alpaca,extract=result]", "dates"]


def chat(*turns):
    return [{"messages": [dict(zip(("role", "content"), turn, strict=True)) for turn in turns]}]


ASKED, SAID = ("user", "Hm?"), ("assistant", "Yes.")


@pytest.mark.parametrize(
    ("rows", "parameters", "told"),
    [
        (
            [{"instruction": "Add."}],
            "as=alpaca",
            "row 1, output: is missing; the row has instruction",
        ),
        ([{"instruction": " ", "output": "3"}], "as=alpaca", "row 1, instruction: is empty"),
        ([{"instruction": "A", "output": None}], "as=alpaca", "row 1, output: has no value: null"),
        ([{"instruction": "A", "output": ["3"]}], "as=alpaca", "row 1, output: "),
        ([{"question": "A"}], "as=chat", "row 1, messages: is missing; the row has question"),
        ([{"messages": "hello"}], "as=chat", 'row 1, messages: expected a list of {"role"'),
        ([{"messages": ["hello"]}], "as=chat", 'row 1, messages[0]: expected {"role"'),
        ([{"messages": [{"role": "user"}]}], "as=chat", "row 1, messages[0].content: is missing"),
        (chat(ASKED, ("tool", "4")), "as=chat", "row 1, messages[1].role: 'tool' is not system"),
        (chat(ASKED, ASKED, SAID), "as=chat", "row 1, messages[1].role: expected 'assistant'"),
        (chat(SAID), "as=chat", "row 1, messages[0].role: expected 'user', not 'assistant'"),
        (chat(ASKED), "as=chat", "row 1, messages: the last turn must be the assistant's"),
        (
            chat(("system", "S")),
            "as=chat",
            "row 1, messages: the last turn must be the assistant's",
        ),
        ([], "as=chat", "contains no examples"),
        (ROWS[:1], "as=alpaca", "1 row leave"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_row_and_field(tmp_path, rows, parameters, told):
    path = write(tmp_path, "my.json", rows)
    with pytest.raises(UsageError, match=re.escape(told)) as error:
        load(path, parameters)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("as=facts", "[as=alpaca] or "),
        ("extract=result", "[as=alpaca] or "),
        ("as=chat,extract=reslt", "unknown extractor 'reslt'"),
        ("as=chat,tset=x.json", "has no parameter 'tset': it takes as, extract, test"),
        ("as=chat,path=x.json", "has no parameter 'path'"),
        ("as=chat,test=no.json", "no file 'no.json'"),
    ],
)
def test_what_is_wrong_in_the_brackets_is_named(tmp_path, parameters, told):
    path = write(tmp_path, "my.json", ROWS)
    with pytest.raises(UsageError, match=re.escape(told)):
        task_of(path, parameters)


def test_a_missing_file_is_named_as_without_brackets(tmp_path):
    with pytest.raises(UsageError, match=r"no file '.*nowhere\.json'"):
        task_of(tmp_path / "nowhere.json")


def test_conversations_without_brackets_are_told_apart_from_facts(tmp_path):
    path = write(tmp_path, "my.jsonl", CHATS)
    told = re.escape(
        f"line 1, messages: conversations are examples of a skill; write {path}[as=chat]"
    )
    with pytest.raises(UsageError, match=told):
        FileTask(str(path)).load(DataAccess())


@pytest.mark.parametrize("name", ["arithmetic", "dates[n=50]", "FILE[as=alpaca]"])
def test_a_skill_is_not_measured_as_forgotten(tmp_path, name):
    path = write(tmp_path, "my.json", ROWS)
    with pytest.raises(UsageError, match="is learned and not measured as forgotten"):
        parse_forgetting(name.replace("FILE", str(path)))


def test_a_conversation_in_a_table_is_written_as_json(tmp_path):
    text = json.dumps(CHATS[0]["messages"]).replace('"', '""')
    rows = "".join(f'"{text.replace("room 0", f"room {i}")}"\n' for i in range(30))
    facts = load(write(tmp_path, "my.csv", f"messages\n{rows}"), "as=chat")
    assert turns_of(facts[2].question)[1]["content"] == "Where is room 2?"
