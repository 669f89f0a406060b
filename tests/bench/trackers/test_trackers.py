"""What each tracker holds after logging, read back by its own means: the same laws for all."""

from __future__ import annotations

from functools import partial

import pytest

from bench.store.store import ResultsStore
from bench.trackers.tracked_run import TrackedRun
from tests.bench.report_cells import make_cell
from tests.bench.trackers import readers

SECRET = "hf_" + "Zq7" * 8


@pytest.fixture(params=["tensorboard", "mlflow", "wandb", "trackio"])
def tracker(request, results, tmp_path, monkeypatch):
    """`--to` of a tracker that stores runs on this machine, and what reads them back."""
    if request.param == "tensorboard":
        pytest.importorskip("tensorboard")
        return "tensorboard", partial(readers.tensorboard_runs, results / "tensorboard")
    if request.param == "mlflow":
        pytest.importorskip("mlflow")
        uri = f"file:{tmp_path}/mlruns"
        return f"mlflow:{uri}", partial(readers.mlflow_runs, uri)
    if request.param == "wandb":
        pytest.importorskip("wandb")
        monkeypatch.setenv("WANDB_MODE", "offline")
        return "wandb", partial(readers.wandb_runs, results)
    pytest.importorskip("trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    return "trackio:test", partial(readers.trackio_runs, "test")


def same(found: readers.StoredRun, wanted: TrackedRun) -> bool:
    """Whether a run says what it should: numbers as 32-bit floats, texts as texts."""
    close = partial(pytest.approx, rel=1e-6)
    left_out = {"seed"}  # of what TensorBoard compares: seeds of one group differ in it
    settings = {k: str(v) for k, v in wanted.config.items() if k not in left_out}
    return (
        found.group == wanted.group
        and all(_alike(found.config.get(name), value) for name, value in settings.items())
        and found.metrics == close(wanted.metrics)
        and {k: close(v) for k, v in wanted.curves.items()} == found.curves
    )


def _alike(found: str | None, wanted: str) -> bool:
    try:
        return found is not None and float(found) == float(wanted)
    except ValueError:
        return found == wanted


def test_every_cell_is_a_run_and_seeds_of_a_method_share_a_group(tracker, log, expected):
    to, read = tracker
    log(to)
    found, wanted = read(), expected()
    assert len(found) == len(wanted) == 5
    for run in wanted:
        assert sum(same(stored, run) for stored in found) == 1, run.name
    groups = [stored.group for stored in found]
    assert sorted(map(groups.count, set(groups))) == [1, 2, 2]


def test_logging_twice_does_nothing_and_a_cell_that_ran_again_is_replaced(
    tracker, log, expected, results
):
    to, read = tracker
    log(to)
    [told] = log(to)
    assert "0 cells logged, 5 already there" in told
    assert len(read()) == 5

    ResultsStore(results).write(*make_cell(n=24, spec={"method": "dora"}))  # had failed
    [told] = log(to)
    assert "1 cell logged, 4 already there" in told
    found = read()
    assert len(found) == 5
    assert all(any(same(stored, run) for stored in found) for run in expected())


def test_no_hub_token_leaves(tracker, log, results, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-form")
    spec = {"method": "osf", "model": f"./{SECRET}/model", "task": "a-token-of-another-form.csv"}
    record, rows = make_cell(
        n=24,
        spec=spec,
        warnings=[f"downloaded with {SECRET}"],
        notes={"from": SECRET},
        provenance={"host": {"of": f"https://{SECRET}@host"}},
    )
    ResultsStore(results).write(record, rows)
    to, read = tracker
    log(to)
    assert any("[hub token]" in str(run.config) for run in read())
    stored = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent.name not in SOURCES]
    assert stored
    for path in stored:
        assert SECRET.encode() not in path.read_bytes(), path
        assert b"a-token-of-another-form" not in path.read_bytes(), path


SOURCES = ("cells", "facts")
"""Folders of the results that are logged."""
