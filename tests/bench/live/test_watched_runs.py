"""The live view beside real runs: one that is killed, one that fails, workers, Ray."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench import child_environment
from bench.cell.running import RunningCell
from bench.cli import main
from bench.live import server
from tests.bench.browser import BROWSER, outcome, steered
from tests.bench.live.test_page import READ
from tests.bench.runs import Runs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="fork and signals")

ROOT = Path(__file__).parents[3]

CARDS = """
await until(() => text("#running .card p").some((line) => line.includes("train, step")));
out.cards = text("#running .card h3");
out.how = text("#running .card p");
out.states = text("#states button");
"""


@pytest.fixture
def typed(tiny_folder, facts_file):
    """Options of a grid of two small cells."""

    def make(out, *more):
        return [
            *("--methods", "lora[r=4],pissa[r=4]", "--epochs", "2", "--checkpoints", "last"),
            *("--tasks", str(facts_file), "--models", str(tiny_folder), "--device", "cpu"),
            *("--forgetting", "none", "--batch-size", "4", "--out", str(out), *more),
        ]

    return make


def running(state):
    return [cell for cell in state["cells"] if cell["state"] == "running"]


def training(state):
    return [cell for cell in running(state) if len(cell["losses"]) > 3]


def files_of(folder):
    return [path.name for path in (folder / "running").glob("*.json")]


def test_a_run_is_seen_at_work_killed_and_gone_on_with(served, typed, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    page = steered(server.page_text(), READ + CARDS)
    monkeypatch.setattr(server, "page_text", lambda: page)
    with Runs() as runs, served(folder) as found:
        assert found.state()["exists"] is False
        pid = runs.start("run", *typed(folder, "--epochs", "20000"))
        state = found.wait_for(training)
        nothing = dict.fromkeys(("failed", "interrupted", "done"), 0)
        assert state["counts"] == {**nothing, "running": 1, "waiting": 1}
        assert (state["runs"], state["working"]) == (1, 1)
        [cell] = running(state)
        assert (cell["phase"], cell["method"]) == ("train", "lora[r=4]")
        assert cell["losses"][0][0] == 1
        if BROWSER:
            seen = outcome(found.address, tmp_path / "profile", 1280)
            assert (seen["errors"], seen["console"]) == ([], [])
            assert seen["cards"] == ["lora[r=4]"]
            assert {"running 1", "waiting 1"} <= {*seen["states"]}
        os.kill(pid, signal.SIGKILL)
        assert [*runs.wait().values()] == [-signal.SIGKILL]
        state = found.state()
        assert state["abandoned"]
        assert (state["runs"], state["working"], state["left"]) == (0, 0, None)
        assert {c["method"]: c["state"] for c in state["cells"]} == {
            "lora[r=4]": "interrupted",
            "pissa[r=4]": "waiting",
        }
        runs.start("run", *typed(folder))
        state = found.wait_for(lambda state: state["counts"]["done"] == 2)
        assert [*runs.wait().values()] == [0]
        state = found.state()
        assert not state["abandoned"]
        assert sum(state["counts"].values()) == 2, "the cells of the killed run were others"
        assert files_of(folder) == []
        with urlopen(f"{found.address}leaderboard.html", timeout=60) as board:
            assert b"pissa[r=4]" in board.read()


def test_a_cell_that_fails_is_shown_with_its_reason(served, typed, tmp_path, monkeypatch):
    evaluate = RunningCell.evaluate

    def troubled(self):
        if self.cell.spec.method.startswith("pissa"):
            raise ValueError("no such luck\nsecond line")
        evaluate(self)

    monkeypatch.setattr(RunningCell, "evaluate", troubled)
    monkeypatch.setattr("bench.execution.telling.WRITE_SECONDS", 0.0)
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    states, over = [], threading.Event()
    with served(tmp_path) as found:

        def watch():
            while not over.is_set():
                states.append(found.state())

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            assert main(["run", *typed(tmp_path, "--workers", "1")]) == 1
        finally:
            over.set()
            watching.join()
        state = found.state()
        [failed] = [cell for cell in state["cells"] if cell["state"] == "failed"]
        assert failed["reason"] == "ValueError: no such luck"
        with urlopen(f"{found.address}traceback?cell={failed['id']}", timeout=60) as answer:
            assert "second line" in answer.read().decode()
    assert state["counts"]["done"] == 1
    assert state["leaderboard"] is not None
    phases = {cell["phase"] for each in states for cell in running(each)}
    assert phases & {"prepare", "train", "evaluate"}
    assert files_of(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    [
        ("--workers", "2"),
        pytest.param(
            ("--workers", "2", "--executor", "ray"),
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray"),
        ),
    ],
    ids=["workers", "ray"],
)
def test_both_workers_of_a_run_are_seen_and_ctrl_c_leaves_no_trace_of_them(
    typed, tmp_path, executor
):
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "bench", "run", "--watch"),
            *typed(tmp_path, *executor, "--epochs", "20000"),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=child_environment() | {"OMP_NUM_THREADS": "1"},
    )
    address = ""
    while not address:
        line = run.stderr.readline()
        assert line, "the run ended without an address"
        address = "".join(re.findall(r"watch this run at (\S+)", line))
    threading.Thread(target=run.stderr.read, daemon=True).start()
    while True:
        with urlopen(f"{address}state", timeout=60) as answer:
            state = json.load(answer)
        if len(training(state)) == 2:
            break
        assert run.poll() is None
    assert (state["runs"], state["working"]) == (1, 2)
    run.send_signal(signal.SIGINT)
    assert run.wait(600) == 130
    assert [name for name in files_of(tmp_path) if name.startswith("cell-")] == []
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{address}state", timeout=60)
    found = server.LiveView(tmp_path).state()
    assert found["counts"]["running"] == 0
    assert found["counts"]["interrupted"] == 2, "their records say so"
