"""From text to a task."""

import subprocess
import sys

import pytest

from tasks.errors import UsageError
from tasks.files import FileRole, FileTask
from tasks.knowledge.fictional import Fictional
from tasks.resolve import resolve_task, split_names


def trained(text):
    return resolve_task(text, trained=True, forgotten=False)


def test_names_and_parameters():
    assert trained("countries").name == "countries"
    assert trained("fictional[n=12,seed=3]") == Fictional(n=12, seed=3)
    assert trained("fictional[n=12]").name == "fictional[n=12]"


@pytest.mark.parametrize("name", ["facts.jsonl", "my + facts, v=2.CSV", "a[1].json"])
def test_a_path_may_hold_any_character(tmp_path, name):
    path = tmp_path / name
    path.write_text("")
    task = trained(str(path))
    assert task == FileTask(str(path), FileRole.TRAINED)
    assert task.name == str(path)


def test_a_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.csv").write_text("")
    assert trained("facts.csv").name == "facts.csv"


@pytest.mark.parametrize(
    ("is_trained", "forgotten", "role"),
    [
        (True, False, FileRole.TRAINED),
        (False, True, FileRole.FORGOTTEN),
        (True, True, FileRole.BOTH),
    ],
)
def test_the_role_of_a_file(tmp_path, is_trained, forgotten, role):
    path = tmp_path / "facts.csv"
    path.write_text("")
    task = resolve_task(str(path), trained=is_trained, forgotten=forgotten)
    assert isinstance(task, FileTask)
    assert task.role is role


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("countires", ["unknown task 'countires'", "did you mean countries"]),
        ("fictional[n=0]", ["n=0", "1000000"]),
        ("fictional[m=1]", ["no parameter 'm'", "n, seed"]),
        ("fictional[n=few]", ["n must be an integer"]),
        ("elements.csv", ["no file 'elements.csv'", "did you mean elements?"]),
        ("facts.tsv", ["'.tsv'", ".jsonl, .json, .csv"]),
        ("{folder}/fcats.csv", ["no file", "did you mean facts.csv?"]),
        ("{folder}/none/facts.csv", ["no file", "no folder"]),
        ("{folder}", ["is a folder"]),
        ("{folder}/notes.pdf", ["'.pdf'", ".jsonl, .json, .csv", "save its text as .txt"]),
    ],
)
def test_wrong_names(tmp_path, text, pieces):
    (tmp_path / "facts.csv").write_text("")
    (tmp_path / "notes.pdf").write_text("")
    with pytest.raises(UsageError) as raised:
        trained(text.replace("{folder}", str(tmp_path)))
    assert "\n" not in str(raised.value)
    for piece in pieces:
        assert piece in str(raised.value)


def test_names_and_embedded_facts_need_no_torch():
    program = (
        "import sys\n"
        "from tasks.base import TASKS, DataAccess\n"
        "from tasks.resolve import resolve_task\n"
        "assert len(TASKS.names()) >= 7\n"
        "for name in ('countries', 'elements', 'fictional[n=9]'):\n"
        "    assert resolve_task(name, trained=True, forgotten=True).load(DataAccess())\n"
        "heavy = {'torch', 'transformers', 'peft', 'lm_eval', 'datasets', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_comma_in_the_name_of_a_file_does_not_split_it(tmp_path, monkeypatch):
    for name in ("my facts, v2.jsonl", "a,b.csv", "b.csv", "x [1], y.json"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    one = f"{tmp_path}/my facts, v2.jsonl"
    assert split_names(one) == [one]
    assert split_names(f"countries, {one} ,fictional[n=9,seed=1]") == [
        "countries",
        one,
        "fictional[n=9,seed=1]",
    ]
    assert split_names("a,b.csv") == ["a,b.csv"]
    assert split_names("elements,a,b.csv,b.csv") == ["elements", "a,b.csv", "b.csv"]
    assert split_names("x [1], y.json,countries") == ["x [1], y.json", "countries"]
    assert split_names("c,b.csv") == ["c", "b.csv"]
    assert split_names("countries,elements,") == ["countries", "elements", ""]
