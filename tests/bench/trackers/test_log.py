"""`run --log-to` and `log`: what is refused before anything runs, and trackers that fail."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench import cli
from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.store.records import Status
from bench.store.store import ResultsStore
from bench.trackers import log as logging
from bench.trackers import registry
from bench.trackers.registry import TrackerKind
from tests.bench.report_cells import fill, make_cell


class Noted(Silent):
    """Keeps the lines that are shown to the user."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


class Fake:
    """A tracker that keeps runs in a list, and fails after some."""

    look = "nowhere"

    def __init__(self, target: str, folder: Path) -> None:
        self.target, self.folder = target, folder

    def log(self, run) -> bool:
        if len(logged) == fails_after[0]:
            raise fails_with[0]
        # The record is stored before its cell is logged.
        assert ResultsStore(self.folder).read(run.cell_id).status is run.status
        logged.append(run)
        return True

    def close(self) -> None:
        closed.append(self.target)


logged: list = []
closed: list[str] = []
fails_after = [-1]
fails_with: list[BaseException] = [ConnectionError("refused")]


@pytest.fixture
def fake(monkeypatch):
    """A tracker `fake` that can be named; returns what it was given, and when to fail."""
    module = ModuleType("fake_tracker")
    module.Fake = Fake
    monkeypatch.setitem(sys.modules, "fake_tracker", module)
    monkeypatch.setitem(registry.TRACKERS, "fake", TrackerKind("fake_tracker:Fake", ()))
    monkeypatch.setattr(sys.modules[__name__], "fails_after", [-1])
    monkeypatch.setattr(sys.modules[__name__], "fails_with", [ConnectionError("refused")])
    logged.clear()
    closed.clear()
    return logged


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    def make(**changes):
        given = {
            "methods": "lora[r=4],lora[r=2]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "device": "cpu",
            "workers": "1",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def test_a_run_logs_each_cell_once_and_a_later_run_the_cells_of_an_earlier_one(fake, options):
    progress = Noted()
    run_grid(options(methods="lora[r=4]", log_to="none"), progress)
    assert not fake
    outcome = run_grid(options(log_to="fake:here"), progress)
    assert sorted(run.cell_id for run in fake) == sorted(r.cell_id for r in outcome.records)
    assert (outcome.ran, outcome.reused, closed) == (1, 1, ["here"])
    assert fake[0].config["lora.r"] == 2, "logged as soon as it ended, those of before at the end"
    assert progress.lines[-1] == "fake: 2 cells logged; to look: nowhere"


@pytest.mark.slow
def test_a_run_with_workers_logs_each_cell_once(fake, options):
    outcome = run_grid(options(log_to="fake", workers="2"), Noted())
    assert outcome.ran == len(fake) == 2


def test_a_tracker_that_fails_takes_nothing_down_and_is_reported_once(fake, options):
    fails_after[0] = 0
    progress = Noted()
    outcome = run_grid(options(log_to="fake"), progress)
    assert [record.status for record in outcome.records] == [Status.DONE] * 2
    assert outcome.failed == 0
    [told] = [line for line in progress.lines if "fake" in line]
    assert "ConnectionError: refused" in told
    assert "command log" in told
    fails_after[0] = -1
    assert cli.main(["log", str(options().out), "--to", "fake"]) == 0
    assert len(fake) == 2


def test_a_tracker_that_hangs_is_left_alone(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logging, "LONGEST", 0.2)
    monkeypatch.setattr(Fake, "log", lambda *_: __import__("time").sleep(60))
    cells = [make_cell(n=12, spec={"seed": seed}) for seed in (0, 1)]
    status = cli.main(["log", str(fill(tmp_path, cells)), "--to", "fake,fake:other"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.count("no answer within 0.2 s") == 2


def test_a_damaged_cell_is_told_and_the_others_are_logged(fake, tmp_path, capsys):
    cells = [make_cell(n=12, spec={"seed": seed}) for seed in (0, 1)]
    folder = fill(tmp_path, cells)
    broken = cells[0][0].cell_id
    (folder / "cells" / f"{broken}.json").write_text("{")
    assert cli.main(["log", str(folder), "--to", "fake"]) == 0
    assert [run.cell_id for run in fake] == [cells[1][0].cell_id]
    assert broken in capsys.readouterr().err


def test_an_interrupted_cell_is_not_logged(fake, tmp_path):
    record, _ = make_cell(n=12)
    left = record.model_copy(update={"status": Status.INTERRUPTED, "reason": "Ctrl-C"})
    assert cli.main(["log", str(fill(tmp_path, [(left, [])])), "--to", "fake"]) == 0
    assert not fake


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("wandbb", "did you mean wandb"),
        ("clearml", "tensorboard, wandb, mlflow, trackio"),
        ("mlflow:", "after the colon"),
        ("mlflow:https://me:pa55word@host/x", "MLFLOW_TRACKING_PASSWORD"),
        ("fake:LICENSE/x", "pip install"),
    ],
)
def test_what_cannot_be_logged_to_is_told_before_anything_runs(
    written, told, fake, options, monkeypatch, capsys
):
    monkeypatch.setitem(registry.TRACKERS, "fake", TrackerKind("no:where", ("no_such_package",)))
    typed = ["run", "--tasks", "countries", "--out", str(options().out), "--log-to", written]
    assert cli.main(typed) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "--log-to" in err
    assert "pa55word" not in err
    assert not options().out.exists()


def test_a_tracker_that_cannot_be_opened_ends_the_run_before_any_cell(
    fake, options, monkeypatch, capsys
):
    def refuse(self, target, folder):
        raise ConnectionError("no server there")

    monkeypatch.setattr(Fake, "__init__", refuse)
    chosen = options()
    typed = ["run", "--methods", "lora[r=4]", "--tasks", *chosen.tasks, "--models", *chosen.models]
    assert cli.main([*typed, "--out", str(chosen.out), "--log-to", "fake"]) == 2
    assert "fake cannot be used: ConnectionError: no server there" in capsys.readouterr().err
    assert not ResultsStore(chosen.out).records().records


def test_wandb_asks_for_no_key_in_the_middle_of_a_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert cli.main(["log", str(fill(tmp_path, [make_cell(n=12)])), "--to", "wandb"]) == 2
    assert "wandb login" in capsys.readouterr().err


@pytest.mark.slow
def test_mlflow_keeps_runs_in_a_database_unless_told_otherwise(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlflow")
    from tests.bench.trackers.readers import mlflow_runs

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = fill(tmp_path, [make_cell(n=12)])
    for _ in range(2):
        assert cli.main(["log", str(folder), "--to", "mlflow"]) == 0
    [run] = mlflow_runs(f"sqlite:///{folder}/mlflow.db")
    assert run.metrics["drift"] == pytest.approx(0.1, rel=0.5)
    assert "1 already there" in capsys.readouterr().out
