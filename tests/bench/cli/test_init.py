"""`init` writes a grid file that means what was answered, and never over a file unasked."""

from __future__ import annotations

import io
import json
import re

import pytest
import yaml
from jsonschema import Draft7Validator

from bench.cli import main
from bench.cli.grid_template import LESS_OFTEN, grid_text
from bench.cli.init import EFFORTS, METHOD_SETS, QUESTIONS
from bench.config.options import RunOptions, build_options, load_config
from bench.execution.checks import checked_options
from bench.execution.run import GridOutcome


@pytest.fixture
def answers(tmp_path, monkeypatch, capsys):
    """Answer the questions line by line; returns the status and what was said."""
    monkeypatch.chdir(tmp_path)

    def answer(*lines, path="grid.yaml"):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status = main(["init", path])
        return status, "".join(capsys.readouterr())

    return answer


def test_the_default_answers_are_the_options_that_a_run_has_anyway(answers, tmp_path):
    status, said = answers("", "", "", "", "")
    assert status == 0
    assert build_options({}, tmp_path / "grid.yaml") == RunOptions(seeds="0-2")
    assert "plan --config grid.yaml" in said
    assert "run --config grid.yaml" in said


def test_answers_are_checked_as_a_run_checks_them_and_asked_again(answers, tmp_path):
    facts = tmp_path / "keys, old.csv"
    facts.write_text("question,answer\nWhere is it?,here\n")
    status, said = answers(
        *("countris", str(facts)),
        *("./nowhere", "gemma3-270m"),
        *("lora+freze", "lora[r=x]", "lora+freeze,corda[mode=ipm]"),
        *("elemnts", "none,drift", "countries,drift"),
        *("five", "0-9"),
    )
    assert status == 0
    assert said.count("Error: ") == 7
    for right in ("did you mean countries", "did you mean freeze", "did you mean elements"):
        assert right in said
    options = build_options({}, tmp_path / "grid.yaml")
    assert options.tasks == (str(facts),)
    assert options.models == ("gemma3-270m",)
    assert options.methods == ("lora+freeze", "corda[mode=ipm]")
    assert tuple(map(str, options.forgetting)) == ("countries", "drift")
    assert options.seeds == tuple(range(10))


@pytest.mark.parametrize("name", METHOD_SETS)
@pytest.mark.parametrize("effort", EFFORTS)
def test_sets_and_efforts_are_grids_that_would_run(name, effort, tmp_path, monkeypatch):
    chosen = {"methods": METHOD_SETS[name], **EFFORTS[effort]}
    path = tmp_path / "grid.yaml"
    path.write_text(grid_text(path, chosen))
    assert checked_options({}, path) == build_options(chosen)


def test_a_file_that_is_there_is_kept_unless_one_agrees(answers, tmp_path, capsys):
    path = tmp_path / "grid.yaml"
    path.write_text("epochs: 3\n")
    assert answers("n")[0] != 0
    assert main(["init", "--yes"]) == 2
    assert "'grid.yaml' exists" in capsys.readouterr().err
    assert path.read_text() == "epochs: 3\n"
    assert answers("y", "", "", "", "", "")[0] == 0
    assert "methods" in load_config(path)


def test_input_that_ends_early_writes_nothing(answers, tmp_path):
    assert answers("", "")[0] == 130
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_created_once_all_is_answered(answers, tmp_path):
    assert answers("", path="new/first.yaml")[0] == 130
    assert list(tmp_path.iterdir()) == []
    assert answers("", "", "", "", "", path="new/first.yaml")[0] == 0
    assert (tmp_path / "new" / "first.yaml").is_file()


def test_a_folder_gets_a_grid_file_and_below_a_file_there_is_none(answers, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    status, said = answers("", "", "", "", "", path="file/grid.yaml")
    assert status == 2
    assert "'file' is not a folder" in said
    (tmp_path / "grids").mkdir()
    assert answers("", "", "", "", "", path="grids")[0] == 0
    assert (tmp_path / "grids" / "grid.yaml").is_file()


def test_editors_find_the_schema_and_what_is_written_is_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--yes"]) == 0
    first, content = (tmp_path / "grid.yaml").read_text().split("\n", 1)
    [schema] = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first).groups()
    validator = Draft7Validator(json.loads((tmp_path / schema).read_text()))
    validator.validate(yaml.safe_load(content))


def test_another_persons_schema_is_kept_and_not_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.schema.json").write_text('{"title": "mine"}')
    assert main(["init", "--yes"]) == 0
    assert (tmp_path / "grid.schema.json").read_text() == '{"title": "mine"}'
    assert "$schema" not in (tmp_path / "grid.yaml").read_text()


def test_further_options_are_right_when_their_sign_is_removed(tmp_path):
    lines = re.findall(r"^# (\w[\w-]*: .*)$", LESS_OFTEN, flags=re.MULTILINE)
    assert len(lines) == 7
    path = tmp_path / "grid.yaml"
    path.write_text(grid_text(path, {}) + "\n".join(lines) + "\n")
    assert len(load_config(path)) == 12
    checked_options({}, path)


def test_what_init_writes_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--yes"]) == 0
    ran = []
    ended = GridOutcome([], True, 0, 0, 0)
    monkeypatch.setattr("bench.execution.run.run_grid", lambda o, _: ran.append(o) or ended)
    assert main(["run", "--config", "grid.yaml"]) == 130
    assert ran == [RunOptions(seeds="0-2")]


def test_each_question_decides_another_option():
    assert len({question.option for question in QUESTIONS}) == len(QUESTIONS) == 5
