"""Question sets from a local copy or from the hub."""

import csv
import json

import pytest

from tasks.base import TASKS, DataAccess
from tasks.errors import UsageError
from tests.tasks.promises import trained_neighbours

ROWS = {
    "nq_open": {"question": "who am i", "answer": ["A", "B"]},
    "trivia_qa": {
        "question": "who am i",
        "question_id": "tc_1",
        "answer": {"value": "A", "aliases": ["B", "A"], "type": "WikipediaEntity"},
    },
    "web_questions": {"url": "http://x", "question": "who am i", "answers": ["A", "B"]},
    "popqa": {
        "id": 7,
        "question": "who am i",
        "obj": "A",
        "possible_answers": '["A", "B"]',
        "prop": "author",
        "subj": "I",
    },
}
SPLIT = {"nq_open": "dev", "trivia_qa": "validation", "web_questions": "test", "popqa": "test"}


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    else:
        import pandas

        pandas.DataFrame(rows).to_parquet(path)


@pytest.mark.parametrize("place", ["{0}_{1}.jsonl", "{0}.json", "{0}/{1}-00000.parquet"])
@pytest.mark.parametrize("name", ROWS)
def test_a_local_copy_is_read(tmp_path, name, place):
    write(tmp_path / place.format(name, SPLIT[name]), [ROWS[name], ROWS[name]])
    (fact,) = TASKS[name]().load(DataAccess(tmp_path))
    assert (fact.question, fact.answers) == ("who am i", ("A", "B"))
    assert fact.id


def test_a_table_with_lists_as_json_is_read(tmp_path):
    write(tmp_path / "popqa.csv", [ROWS["popqa"]])
    assert TASKS["popqa"]().load(DataAccess(tmp_path))[0].answers == ("A", "B")


@pytest.mark.parametrize("name", ["trivia_qa", "web_questions", "popqa"])
def test_the_fields_of_a_facts_file_do_as_well(tmp_path, name):
    write(tmp_path / f"{name}.jsonl", [{"question": "who am i", "answer": "A"}])
    assert TASKS[name]().load(DataAccess(tmp_path))[0].answers == ("A",)


@pytest.mark.parametrize(
    ("row", "pieces"),
    [
        ({"question": "", "answer": ["A"]}, ["line 2, question", "empty"]),
        ({"question": "b", "answer": []}, ["line 2, answer", "empty"]),
        ({"query": "b", "answer": ["A"]}, ["line 2, question", "missing"]),
        ({"question": "b", "answer": "[broken"}, ["line 2", "nq_open"]),
    ],
)
def test_a_wrong_row_is_told_in_one_line(tmp_path, row, pieces):
    write(tmp_path / "nq_open_dev.jsonl", [ROWS["nq_open"], row])
    with pytest.raises(UsageError) as raised:
        TASKS["nq_open"]().load(DataAccess(tmp_path))
    for piece in ("nq_open_dev.jsonl", *pieces):
        assert piece in str(raised.value)


def test_what_another_row_gives_away_is_left_out_with_a_note(tmp_path, caplog):
    rows = [
        {
            "question": "who am i",
            "answer": "A",
            "paraphrases": ["Who am I?", "what is my name"],
            "neighbours": [{"question": f"who is {name}", "answer": "n"} for name in ("he", "she")],
        },
        {"question": "Who  is HE?", "answer": "B"},
        {"question": "WHO AM I?", "answer": "C"},
    ]
    write(tmp_path / "web_questions.jsonl", rows)
    with caplog.at_level("WARNING"):
        first, second = TASKS["web_questions"]().load(DataAccess(tmp_path))
    assert first.answers == ("A",)
    assert first.paraphrases == ("what is my name",)
    assert [neighbour.question for neighbour in first.neighbours] == ["who is she"]
    assert second.answers == ("B",)
    assert "1 repeated questions, 1 paraphrases, 1 neighbours" in caplog.text


def test_popqa_has_untrained_neighbours(tmp_path):
    rows = [
        {**ROWS["popqa"], "id": n, "question": f"who wrote {n}", "subj": str(n)} for n in range(60)
    ]
    write(tmp_path / "popqa.jsonl", rows)
    task = TASKS["popqa"]()
    facts = task.load(DataAccess(tmp_path))
    assert all(len(fact.neighbours) == 2 for fact in facts)
    assert trained_neighbours(task, facts) == set()


@pytest.mark.parametrize("name", ROWS)
def test_the_hub_is_asked_for_the_pinned_revision(monkeypatch, name):
    import datasets

    asked = {}

    def load_dataset(path, config, *, split, revision):
        asked.update(path=path, split=split, revision=revision)
        return [ROWS[name]]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("tasks.hub.hub_answers", lambda: True)
    task = TASKS[name]()
    assert task.load(DataAccess())[0].answers == ("A", "B")
    assert asked == {"path": task.dataset, "split": task.split, "revision": task.revision}
    assert len(task.revision) == 40


@pytest.mark.parametrize("with_folder", [True, False])
def test_neither_hub_nor_file_is_one_line(tmp_path, monkeypatch, with_folder):
    import datasets

    def fail(*_, **__):
        raise ConnectionError("no route\nto the hub")

    def load_dataset(*_, **__):
        assert datasets.config.HF_HUB_OFFLINE, "would retry for half a minute"
        fail()

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("tasks.hub.hub_answers", lambda: False)
    with pytest.raises(UsageError) as raised:
        TASKS["nq_open"]().load(DataAccess(tmp_path if with_folder else None))
    message = str(raised.value)
    assert "\n" not in message
    assert "--data-dir" in message
    assert "nq_open_dev" in message
    assert "no route" in message
    assert datasets.config.HF_HUB_OFFLINE is False


def test_a_data_dir_that_is_no_folder_is_told(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        TASKS["nq_open"]().load(DataAccess(tmp_path / "none"))
