"""A new part of each kind and a new task, each one new file: listed, run, on the leaderboard.

The files are the examples of CONTRIBUTING.md, saved into a copy of the packages.
"""

from __future__ import annotations

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
    "moons": "tasks/knowledge/moons.py",
}
TYPE = """
import sys
from bench.cli import main
if sys.argv[1] == "run":
    import bench.report.plots
    bench.report.plots.draw_plots = lambda *_: ()
sys.exit(main(sys.argv[1:]))
"""
METHODS = ("lora[r=4]", "lora[r=4]+every", "lora[r=4]+unknown", "norms")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, guide_examples):
    """A copy of the packages with the new files and nothing else changed."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("bench", "methods", "tasks"):
        source = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=source)
    for name, place in PLACES.items():
        (folder / place).write_text(guide_examples[name], encoding="utf-8")
    return folder


def command_without_plots(checkout):
    """Write a command like `python -m bench` which draws no plots: other tests look at those."""
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
    """Four methods and two tasks, one task and all but one method new: eight cells."""
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
    assert re.search(r"^moons +Which planet a moon circles", listed, flags=re.MULTILINE)


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

    assert {state for state, _ in states(bench("plan", *grid))} == {"done"}
    missing = set()
    for edited, method in (("norms", METHODS[3]), ("every", METHODS[1]), ("unknown", METHODS[2])):
        with (checkout / PLACES[edited]).open("a", encoding="utf-8") as stream:
            stream.write("EDITED = True\n")
        missing.add(method)  # an edit reaches the cells of its part alone
        found = states(bench("plan", *grid))
        assert {method for state, method in found if state == "missing"} == missing
