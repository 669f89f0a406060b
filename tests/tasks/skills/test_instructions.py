"""Skills from instructions on the hub or in a local copy, with invented rows of their form."""

import pytest

from tasks.base import TASKS, DataAccess
from tasks.errors import UsageError
from tasks.fact import FactPart
from tests.tasks.test_hub import write

FIELDS = {
    "metamath": ("query", "response"),
    "code_feedback": ("query", "answer"),
    "wizard_instructions": ("human", "assistant"),
}
SOURCES = {
    "metamath": "meta-math/MetaMathQA",
    "code_feedback": "m-a-p/CodeFeedback-Filtered-Instruction",
    "wizard_instructions": "fxmeng/WizardLM_evol_instruct_V2_143k",
}


def rows(name, count=3):
    fields = FIELDS[name]
    return [
        dict(zip(fields, (f"Add {i % 2} and 1.", f"It is\n{i + 1}."), strict=True))
        for i in range(count)
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_the_first_rows_are_trained_in_their_order_repeated_instructions_too(tmp_path, name):
    write(tmp_path / f"{name}_train.jsonl", rows(name, 5))
    task = TASKS[name](rows=4)
    facts = task.load(DataAccess(tmp_path))
    assert [fact.id for fact in facts] == ["row 1", "row 2", "row 3", "row 4"]
    assert [fact.question for fact in facts] == ["Add 0 and 1.", "Add 1 and 1."] * 2
    assert facts[3].answers == ("It is\n4.",)
    assert {task.part_of(fact) for fact in facts} == {FactPart.TRAIN}


@pytest.mark.parametrize("name", FIELDS)
def test_the_hub_is_asked_for_the_named_revision(monkeypatch, name):
    import datasets

    asked = {}

    def load_dataset(path, config, *, split, revision):
        asked.update(path=path, config=config, split=split, revision=revision)
        return rows(name)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("tasks.hub.hub_answers", lambda: True)
    assert len(TASKS[name]().load(DataAccess())) == 3
    wanted = {"path": SOURCES[name], "config": None, "split": "train"}
    assert asked == {**wanted, "revision": "main"}
    named = TASKS[name](revision="abc")
    named.load(DataAccess())
    assert asked["revision"] == "abc"
    assert named.name == f"{name}[revision=abc]", "the record's task says which"


@pytest.mark.parametrize("name", FIELDS)
def test_a_skill_trains_what_the_published_code_trains(name):
    task = TASKS[name]()
    assert task.form.question("Do it.") + task.form.target("Done.") == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nDo it.\n\n### Response:Done."
    )
    assert (task.limit, task.epochs, task.form.cut, task.form.stop) == (100_000, 1, 512, "")
    assert task.held_out


def test_rows_without_a_response_teach_nothing_and_are_left_out(tmp_path, caplog):
    write(tmp_path / "metamath.jsonl", [{"query": "a", "response": ""}, *rows("metamath")])
    with caplog.at_level("WARNING"):
        facts = TASKS["metamath"]().load(DataAccess(tmp_path))
    assert [fact.id for fact in facts] == ["row 2", "row 3", "row 4"]
    assert "1 row" in caplog.text


@pytest.mark.parametrize(
    ("row", "piece"),
    [
        ({"query": "a", "answer": "b"}, "line 1, response: is missing"),
        ({"query": "a", "response": 5}, "line 1: 'query' and 'response' must be texts"),
    ],
)
def test_a_wrong_row_is_told_in_one_line(tmp_path, row, piece):
    write(tmp_path / "metamath.jsonl", [row])
    with pytest.raises(UsageError) as raised:
        TASKS["metamath"]().load(DataAccess(tmp_path))
    assert piece in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_rows_and_no_source_are_told():
    with pytest.raises(UsageError, match=r"metamath\[rows=0\]"):
        TASKS["metamath"](rows=0)


def test_questions_for_calibration_are_texts_and_nothing_else(tmp_path):
    questions = [{"question": f" who {i % 3} ", "answer": ["A"]} for i in range(4)]
    write(tmp_path / "nq_questions_train.jsonl", questions)
    task = TASKS["nq_questions"]()
    facts = task.load(DataAccess(tmp_path))
    assert [fact.target for fact in facts] == ["who 0", "who 1", "who 2"]
    assert all(fact.is_text for fact in facts)
    assert {task.part_of(fact) for fact in facts} == {FactPart.CALIBRATION}
    assert (task.dataset, task.revision) == (TASKS["nq_open"].dataset, TASKS["nq_open"].revision)
    assert task.split != TASKS["nq_open"].split, "what is measured is not calibrated on"
