"""A new file of each kind that can be added: listed, run, on the leaderboard or its page.

The files are the examples of the guide on adding parts and a copy of the adapter EVA, which
calibrates, under another name; they are saved into a copy of the packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
PLACES = {
    "norms": "methods/adapters/norms.py",
    "every": "methods/placement/every.py",
    "unknown": "methods/strategies/unknown.py",
    "short": "methods/strategies/short.py",
    "moons": "tasks/knowledge/moons.py",
    "plurals": "tasks/skills/plurals.py",
    "brief": "bench/evaluation/metrics/brief.py",
    "learned": "bench/report/plots/learned.py",
    "ranks": "bench/studies/ranks.py",
}
TYPE = """
import sys
from bench.cli import main
if sys.argv[1] in ("run", "report"):
    import bench.report.plots as plots
    if sys.argv[1] == "run":
        plots.draw_plots = lambda *_: ()
    plots.PLOTS = [kind for kind in plots.PLOTS if kind.name == "learned"]
sys.exit(main(sys.argv[1:]))
"""
METHODS = (
    "lora[r=4]",
    "lora[r=4]+every",
    "lora[r=4]+unknown",
    "norms",
    "lora[r=4]+short[tokens=7]",
    "aligned[r=4]",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, guide_examples):
    """A copy of the packages with the new files and nothing else changed."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("bench", "methods", "tasks"):
        source = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=source)
    for name, place in PLACES.items():
        (folder / place).write_text(guide_examples[name], encoding="utf-8")
    eva = (ROOT / "methods/adapters/eva.py").read_text(encoding="utf-8")
    aligned = eva.replace('"eva"', '"aligned"').replace("class Eva", "class Aligned")
    (folder / "methods/adapters/aligned.py").write_text(aligned, encoding="utf-8")
    return folder


def command_without_plots(checkout):
    """Write a command like `python -m bench` that draws at most the new plot: it takes its time."""
    path = checkout / "type.py"
    path.write_text(TYPE)
    return path


@pytest.fixture(scope="module")
def bench(checkout):
    """Type a command in the copy; returns what it prints."""

    starter = command_without_plots(checkout)

    def type_(*command):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [sys.executable, starter, *map(str, command)],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return type_


@pytest.fixture(scope="module")
def grid(tiny_folder, facts_file):
    """Six methods and two tasks, one task and all but one method new: twelve cells."""
    options = {
        "--methods": ",".join(METHODS),
        "--tasks": f"{facts_file},moons",
        "--models": tiny_folder,
        "--forgetting": "none",
        "--epochs": 1,
        "--device": "cpu",
    }
    return [word for pair in options.items() for word in pair]


def states(plan):
    """Read (state, method) of every cell from the table that `plan` prints."""
    return sorted(re.findall(r"^(\w+) +[0-9a-f]{8} +(\S+) ", plan, flags=re.MULTILINE))


def test_new_parts_are_listed_with_their_parameters(bench):
    listed = bench("list")
    assert re.search(r"^norms +Trains the gain", listed, flags=re.MULTILINE)
    assert "final=true" in listed
    assert re.search(r"^every +Train the layers", listed, flags=re.MULTILINE)
    assert re.search(r"^unknown +Keep the facts", listed, flags=re.MULTILINE)
    assert re.search(r"^short +Keep the facts", listed, flags=re.MULTILINE)
    assert re.search(r"^aligned +LoRA whose A starts", listed, flags=re.MULTILINE)
    assert re.search(r"^brief +answers of one word", listed, flags=re.MULTILINE)
    assert re.search(r"^learned +Facts answered correctly", listed, flags=re.MULTILINE)
    assert re.search(r"^ranks +Sweep the rank", listed, flags=re.MULTILINE)
    assert re.search(r"^moons +Which planet a moon circles", listed, flags=re.MULTILINE)
    assert re.search(r"^plurals +Write the plural of a noun", listed, flags=re.MULTILINE)


def test_new_parts_run_and_an_edit_makes_their_cells_run_again(
    bench, grid, checkout, tiny_folder, facts_file
):
    bench("run", *grid)
    board = pd.read_csv(checkout / "results" / "leaderboard.csv")
    rows = board[["model", "task", "method"]].itertuples(index=False, name=None)
    expected = {
        (str(tiny_folder), task, method)
        for task in (facts_file.stem, "moons")
        for method in METHODS
    }
    assert {(model, Path(task).stem, method) for model, task, method in rows} == expected
    assert board["reliability"].notna().all()
    assert board["brief"].between(0, 1).all(), "the new metric, of every method"

    assert {state for state, _ in states(bench("plan", *grid))} == {"done"}
    missing = set()
    for edited, method in (("norms", METHODS[3]), ("every", METHODS[1]), ("unknown", METHODS[2])):
        with (checkout / PLACES[edited]).open("a", encoding="utf-8") as stream:
            stream.write("EDITED = True\n")
        missing.add(method)  # an edit reaches the cells of its part alone
        found = states(bench("plan", *grid))
        assert {method for state, method in found if state == "missing"} == missing


def test_a_new_metric_what_a_strategy_noted_and_a_new_plot_are_on_the_page(bench, grid, checkout):
    bench("report")
    results = checkout / "results"
    page = (results / "leaderboard.html").read_text(encoding="utf-8")
    for text in (page, (results / "leaderboard.md").read_text(encoding="utf-8")):
        assert re.search(r"longest answer \d+ tokens", text)
        assert "brief: answers of one word." in text, "the legend"
    caption = "<figcaption>Facts answered correctly after training, by method."
    assert page.count(caption) == 2, "one for each task"
    assert len(list((results / "plots").glob("learned-*.png"))) == 2
    notes = [json.loads(path.read_text())["notes"] for path in (results / "cells").glob("*.json")]
    longest = [note["longest_answer"] for note in notes if "longest_answer" in note]
    assert sorted(longest) == [3, 7], "tokens are bytes: three letters, and Jupiter"


def test_a_new_skill_is_trained_on_examples_and_asked_of_other_problems(
    bench, checkout, tiny_folder
):
    asked = {"--methods": "lora[r=4]", "--tasks": "plurals", "--models": tiny_folder}
    asked |= {"--forgetting": "none", "--device": "cpu", "--out": "skill"}
    bench("run", *(word for pair in asked.items() for word in pair))
    [record] = (checkout / "skill" / "cells").glob("*.json")
    spec = json.loads(record.read_text())["spec"]
    assert (spec["lessons"], spec["facts"], spec["epochs"]) == (5, 5, 2)
    [facts] = (checkout / "skill" / "facts").glob("*.parquet")
    rows = pd.read_parquet(facts)
    assert set(rows["fact_id"]) == {"dog", "house", "book", "stone", "door"}
    assert not rows["kept"].any()


def test_a_new_study_runs_and_is_on_the_page(bench, checkout, tiny_folder, facts_file):
    assert "ranks" in bench("study", "--help")
    assert "--ranks" in bench("study", "ranks", "--help")
    asked = {"--model": tiny_folder, "--task": facts_file, "--ranks": "1,2", "--epochs": 1}
    asked |= {"--forgetting": "none", "--device": "cpu"}
    said = bench("study", "ranks", *(word for pair in asked.items() for word in pair))
    assert "Which rank is enough?" in said
    table = pd.read_csv(checkout / "results" / "studies" / "ranks.csv")
    assert list(table["method"]) == ["lora[r=1]", "lora[r=2]"]
    bench("report")
    page = (checkout / "results" / "leaderboard.html").read_text(encoding="utf-8")
    assert "Which rank is enough?" in page
