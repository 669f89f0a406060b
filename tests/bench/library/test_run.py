"""`bench.run` does what the command line does, and raises where that exits."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from tqdm import tqdm

import bench
from bench import UsageError, run
from bench.cli import main
from bench.config.options import RunOptions
from bench.execution.run import GridOutcome
from bench.library.keywords import RunKeywords
from bench.store.store import ResultsStore

ROOT = Path(__file__).parents[3]
NOTHING = {"pydantic", "yaml", "numpy", "click", "torch", "pandas", "matplotlib", "rich"}


@pytest.fixture
def tiny(tiny_folder, facts_file, tmp_path):
    return {
        "models": tiny_folder,
        "tasks": [facts_file],
        "forgetting": "drift",
        "epochs": 2,
        "limit": 4,
        "device": "cpu",
        "workers": 1,
        "out": tmp_path / "results",
    }


def test_importing_the_package_imports_no_library():
    code = (
        "import json, sys, bench; dir(bench)\n"
        "assert bench.__all__ == dir(bench)\n"
        "print(json.dumps([*sys.modules]))\n"
        "from bench import UsageError, load_results\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    imported = set(json.loads(done.stdout))
    assert not imported & NOTHING
    assert not {name for name in imported if name.startswith("bench.")}


def test_public_names_are_all_there_and_others_are_not():
    for name in bench.__all__:
        assert inspect.getdoc(getattr(bench, name))
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        bench.rum  # noqa: B018


def test_there_is_a_typed_keyword_for_every_option():
    keywords = typing.get_type_hints(RunKeywords)
    assert list(keywords) == list(RunOptions.model_fields)
    shown = inspect.signature(run).parameters
    assert list(shown) == ["config", "progress", *RunOptions.model_fields]
    assert shown["batch_size"].default == 8
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in shown.values())


def test_a_run_returns_its_results_and_a_second_one_computes_nothing(tiny, capsys):
    found = run(methods=["lora", "full"], seeds=range(1), progress=False, **tiny)
    assert capsys.readouterr() == ("", "")
    assert sorted(found.cells["method"]) == ["full", "lora"]
    assert set(found.cells["status"]) == {"done"}
    assert len(found.facts) == 8
    files = {path: path.stat().st_mtime_ns for path in (tiny["out"] / "cells").iterdir()}
    again = run(methods="lora,full", seeds="0", progress=False, **tiny)
    assert {path: path.stat().st_mtime_ns for path in (tiny["out"] / "cells").iterdir()} == files
    assert again.leaderboard.equals(found.leaderboard)


def test_python_and_the_command_line_mean_the_same_cells(tiny, capsys):
    run(methods=["lora[r=4]"], lr=1e-3, progress=False, **tiny)
    written = {name: str(v[0] if isinstance(v, list) else v) for name, v in tiny.items()}
    words = [word for name, value in written.items() for word in (f"--{name}", value)]
    assert main(["run", "--methods", "lora[r=4]", "--lr", "0.001", *words]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert len(ResultsStore(tiny["out"]).records().records) == 1


def test_a_grid_file_is_read_and_keywords_win(tiny, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("methods: [lora, dora]\nepochs: 9\n")
    found = run(config=grid, progress=False, **tiny)
    assert set(found.cells["epochs"]) == {2}
    assert len(found.cells) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "lora"}, "unknown option 'method': did you mean methods"),
        ({"methods": ["lorra"]}, "did you mean lora"),
        ({"methods": []}, "give at least one"),
        ({"epochs": 0}, "greater than 0"),
        ({"tasks": "countris"}, "did you mean countries"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_a_wrong_option_is_an_exception_with_the_right_one(options, said):
    with pytest.raises(UsageError, match=said):
        run(**options)


def test_failed_cells_are_rows_with_their_reason(tiny, tmp_path):
    facts = tmp_path / "odd.jsonl"
    long = [{"question": f"What is {n}?", "answer": "x" * 300} for n in range(4)]
    facts.write_text("".join(json.dumps(row) + "\n" for row in long))
    found = run(methods="lora", progress=False, **{**tiny, "tasks": str(facts)})
    assert list(found.cells["status"]) == ["failed"]
    assert "256" in found.cells["reason"][0]
    assert len(found.facts) == len(found.paths) == 0


def test_an_interrupted_run_raises_and_one_that_lost_cells_too(tiny, monkeypatch):
    ends = {
        KeyboardInterrupt: GridOutcome([], True, 0, 0, 0),
        RuntimeError: GridOutcome([], False, 0, 0, 0, ("lora · seed 0",)),
    }
    for error, outcome in ends.items():
        monkeypatch.setattr("bench.execution.run.run_grid", lambda *_, end=outcome: end)
        with pytest.raises(error):
            run(methods="lora", progress=False, **tiny)


def test_what_was_loud_before_a_run_is_loud_after_it(tiny, monkeypatch):
    monkeypatch.delenv("DATASETS_VERBOSITY", raising=False)
    before = tqdm.__init__
    run(methods="lora", progress=False, **tiny)
    assert tqdm.__init__ is before
    assert "DATASETS_VERBOSITY" not in os.environ
