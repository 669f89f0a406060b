"""Study commands: what they write, exit statuses, how an interruption ends."""

from __future__ import annotations

import signal

import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench import cli
from bench.progress.base import Silent
from bench.studies.placement.study import PlacementOptions
from bench.studies.study_report import StudyColumn, StudyReport


def report(**changes):
    table = pd.DataFrame({"method": ["lora"]})
    whole = {"name": "placement", "title": "Why?", "about": ("n = 1",), "table": table}
    whole |= {"columns": (StudyColumn("method", "method"),), "figure": Figure()}
    return StudyReport(**whole | changes)


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A `study placement` that ends as told; returns how to run it, and the options it got."""
    got = []

    def run(answer, *arguments):
        def run_placement(options, progress):
            got.append(options)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr(PlacementOptions, "run", run_placement)
        return cli.main(["study", "placement", "--out", str(tmp_path), *arguments])

    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    monkeypatch.setattr("bench.progress.open_progress", Silent)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run, got
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_study_writes_its_files_and_prints_its_table(study, tmp_path, capsys):
    run, got = study
    assert run(report(), "--cuts", "0-2,5", "--method", "dora[r=4]", "--seeds", "0,1") == 0
    assert (got[0].cuts, got[0].method, got[0].seeds) == ((0, 1, 2, 5), "dora[r=4]", (0, 1))
    out = capsys.readouterr().out
    assert "Why?" in out
    assert "lora" in out
    assert str(tmp_path / "studies" / "placement.md") in out
    assert (tmp_path / "studies" / "placement.svg").is_file()


def test_parts_without_a_result_are_listed_and_status_1(study, capsys):
    run, _ = study
    assert run(report(failures=("lora: it diverged",))) == 1
    assert "lora: it diverged" in capsys.readouterr().out


def test_an_interrupted_study_says_how_to_go_on(study, capsys, tmp_path, snapshot):
    run, _ = study
    stop = KeyboardInterrupt("3 finished cells (1 in this run)")
    assert run(stop, "--method", "lora[r=4]") == 130
    out, err = capsys.readouterr()
    assert out == ""
    kept = tmp_path / "studies" / "placement"
    assert str(stop) in err
    assert str(kept) in err
    assert err.endswith("--method 'lora[r=4]'\n")
    assert "python -m bench study placement --out" in err
    snapshot("run", "an interrupted study", err.replace(str(tmp_path), "FOLDER"))
