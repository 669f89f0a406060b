"""An error in a grid file names the line that an editor shows for it."""

from __future__ import annotations

import pytest

from bench.cli import main
from bench.config.grid_file import read_grid_file
from tasks.errors import UsageError

WRONG = {
    "unknown option": ("methods: lora\n\nmethod: dora\n", "3: unknown option 'method'", "methods"),
    "in dashes": ("batch-sise: 3\n", "1: unknown option 'batch-sise'", "did you mean batch-size"),
    "wrong type": ("seeds: 0\nepochs: ten\n", "2:9: epochs 'ten'", "integer"),
    "in a list": ("seeds:\n  - 0\n  - one\n", "3:5: seeds 'one'", "integer"),
    "in a list in a line": ("seeds: [0, -1]\n", "1:12: seeds '-1'", "greater"),
    "choice": ("schedule: cosin\n", "1:11: schedule 'cosin'", "did you mean cosine"),
    "recipe": ("methods:\n  - lora\n  - corda[mode=ipx]\n", "3:5: ", "kpm, ipm"),
    "second recipe": ("epochs: 1\nmethods: [lora, doora]\n", "2:17: ", "dora"),
    "brackets": ("methods:\n- dora\n- lora[r=3\n", "3:3: ", "unbalanced"),
    "recipes in a text": ("# grid\nmethods: lora,pisa\n", "2:10: ", "pissa"),
    "task": ("tasks: [countries, countris]\n", "1:20: ", "did you mean countries"),
    "forgetting": ("limit: 3\nforgetting:\n- drift\n- elemnts\n", "4:3: ", "elements"),
    "evaluate": ("evaluate: gsm9k\n", "1:11: ", "gsm8k"),
    "model": ("models:\n- smollm2-135m\n- smollm-135m\n", "3:3: ", "smollm2-135m"),
    "tuned name": ("methods: lora\ntune:\n  r: [8, 16]\n  alphha: [1, 2]\n", "4:3: ", "alphha"),
    "tuned values": ("tune:\n  r: [8]\n", "2:3: tune", "two or more values"),
    "tuned twice": ("tune:\n  r: [8, 16]\n  r: [8, 32]\n", "3:3: 'r' is already", "line 2"),
    "twice": ("limit: 3\nepochs: 2\nlimit: 4\n", "3: 'limit' is already given", "line 1"),
    "dash and underscore": ("tune-seeds: 3\ntune_seeds: 2\n", "2: option 'tune_seeds'", "twice"),
    "tab": ("methods:\n\t- lora\n", "2:1: a tab", "spaces"),
    "list": ("# a list\n- methods\n", "2: write one option per line", "methods: lora,corda"),
    "text": ("methods\n", "1: write one option per line", "methods: lora,corda"),
    "bracket left open": ("seeds: [0\nepochs: 2\n", "2:7: not valid YAML", ""),
    "assumed": (
        "tasks: countries\nassumed:\n  rows:\n    a: many\n",
        "4:8: assumed.rows.a",
        "whole",
    ),
    "two conflict": ("explain: true\nquantize: 4bit\n", "1:10: ", "explain"),
    "reference": ("methods: lora,dora\nreference: corda\n", "2:12: ", "is not among"),
}
"""By what is wrong: the file, the place and the beginning of the error, and what is right."""


@pytest.mark.parametrize(("text", "begins", "right"), WRONG.values(), ids=WRONG)
def test_an_error_in_a_grid_file_names_its_place_and_what_is_right(
    text, begins, right, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(text)
    assert main(["plan", "--config", "grid.yaml"]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"error: grid.yaml:{begins}")
    assert right in said
    assert said.count("\n") == 1


def test_what_is_typed_is_not_blamed_on_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text("methods: lora\nseeds: 0\n")
    assert main(["plan", "--config", "grid.yaml", "--tasks", "countris"]) == 2
    assert "grid.yaml" not in capsys.readouterr().err


def test_python_finds_the_same_lines(tmp_path):
    """Line and column are where the text of the value stands, as an editor counts them."""
    path = tmp_path / "grid.yaml"
    path.write_text("# é\nmethods: ['lora', dora]\ntune:\n  r: 8,16\n")
    lines = path.read_text().splitlines()
    grid = read_grid_file(path)
    for keys, text in [
        (("methods", 1), "dora"),
        (("tune", "r"), "8,16"),
        (("methods",), "['lora'"),
    ]:
        line, column = map(int, grid.value_at(*keys).removeprefix(f"{path}:").split(":"))
        assert lines[line - 1][column - 1 :].startswith(text)
    assert grid.name_at("tune") == f"{path}:3"


def test_several_documents_are_refused(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("seeds: 0\n---\nseeds: 1\n")
    with pytest.raises(UsageError, match=r"grid\.yaml:2:1: not valid YAML"):
        read_grid_file(path)
