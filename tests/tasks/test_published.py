"""Sets of edits from a local copy or from the hub, under the authors' names or plain ones."""

import json

import pytest

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.resolve import resolve_task
from tests.tasks.published import COLOURS, FORMS, mquake, wiki_big_edit

NAMES = {
    "mquake": ("mquake", ["mquake_cf3k.json", "CF3k-00000-of-00001.parquet", "in/CF3k-test.jsonl"]),
    "mquake[split=T]": ("mquake", ["mquake_T.json", "T-00000-of-00001.parquet"]),
    "knowedit": ("knowedit", ["knowedit_wiki_recent.json", "wiki_recent/recent_test.json"]),
    "knowedit[part=zsre]": ("easyedit", ["benchmark_ZsRE_ZsRE-test-all.json"]),
    "knowedit[part=wikibio]": ("wikibio", ["WikiBio/wikibio-test-all.json"]),
    "wiki_big_edit[step=3]": (
        "wiki big edit",
        ["wiki_big_edit_3.jsonl", "wiki_big_edit_20240301_20240320.json"],
    ),
}


def task_of(name):
    return resolve_task(name, trained=True, forgotten=False)


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        import pandas

        pandas.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


CASES = [(name, form, place) for name, (form, places) in NAMES.items() for place in places]


@pytest.mark.parametrize(("name", "form", "place"), CASES)
def test_a_local_copy_is_read(tmp_path, name, form, place):
    write(tmp_path / place, FORMS[form]())
    task = task_of(name)
    facts = task.load(DataAccess(tmp_path))
    assert [fact.target for fact in facts] == COLOURS
    assert task.name == name
    assert {task.part_of(fact).value for fact in facts} == {"train"}


def test_parts_of_a_file_are_read_one_after_another(tmp_path):
    rows = mquake()
    write(tmp_path / "CF3k-00001-of-00002.parquet", rows[1:])
    write(tmp_path / "CF3k-00000-of-00002.parquet", rows[:1])
    assert [f.target for f in task_of("mquake").load(DataAccess(tmp_path))] == COLOURS


@pytest.mark.parametrize(
    ("tag", "colours"),
    [("new", ["green", "grey"]), ("update", ["red", "blue"]), ("all", COLOURS)],
)
def test_tags_choose_records(tmp_path, tag, colours):
    write(tmp_path / "wiki_big_edit_1.json", wiki_big_edit())
    task = task_of(f"wiki_big_edit[tag={tag}]")
    assert [fact.target for fact in task.load(DataAccess(tmp_path))] == colours


@pytest.mark.parametrize(("name", "form", "place"), CASES[:1] + CASES[5:6] + CASES[-1:])
def test_the_hub_is_asked_for_the_revision_and_the_file(tmp_path, monkeypatch, name, form, place):
    import huggingface_hub

    asked = {}

    def snapshot_download(dataset, *, repo_type, revision, allow_patterns):
        asked.update(dataset=dataset, kind=repo_type, revision=revision, patterns=allow_patterns)
        path = allow_patterns[0].replace("*", "x")
        write(tmp_path / f"{path.removesuffix('.json')}.json", FORMS[form]())
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr("tasks.hub.hub_answers", lambda: True)
    joined = f"{name.removesuffix(']')}{',' if '[' in name else '['}revision=abc]"
    task = task_of(joined)
    assert [fact.target for fact in task.load(DataAccess())] == COLOURS
    assert (asked["dataset"], asked["kind"], asked["revision"]) == (task.dataset, "dataset", "abc")
    assert "revision=abc" in task.name, "the record has it"


@pytest.mark.parametrize("folder", [True, False])
def test_neither_hub_nor_file_is_one_line(tmp_path, monkeypatch, folder):
    import huggingface_hub

    def fail(*_, **__):
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr("tasks.hub.hub_answers", lambda: False)
    with pytest.raises(UsageError) as raised:
        task_of("mquake").load(DataAccess(tmp_path if folder else None))
    said = str(raised.value)
    assert "no route" in said
    assert "mquake_CF3k.json" in said
    assert "CF3k-*" in said
    assert "\n" not in said


def test_another_format_or_an_empty_file_is_one_line(tmp_path):
    write(tmp_path / "mquake_CF3k.json", wiki_big_edit())
    with pytest.raises(UsageError, match=r"mquake_CF3k.json: holds no MQuAKE .*fields: tag"):
        task_of("mquake").load(DataAccess(tmp_path))
    write(tmp_path / "mquake_CF3k.json", [])
    with pytest.raises(UsageError, match="fields: none"):
        task_of("mquake").load(DataAccess(tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        task_of("mquake").load(DataAccess(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wiki_big_edit[step=9]", "step=9 must be between 1 and 8"),
        ("mquake[split=CF4k]", "split must be one of CF3k"),
        ("knowedit[part=x]", "part must be one of"),
    ],
)
def test_a_parameter_that_cannot_be_is_one_line(name, told):
    with pytest.raises(UsageError, match=told.replace("[", r"\[")):
        task_of(name)
