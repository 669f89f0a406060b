"""Facts alone and together on the two-layer model: groups, counts, resuming, table and picture."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pandas as pd
import pytest

from bench.cell.context import CellContext
from bench.progress.base import Silent
from bench.studies.interference import training as interference_training
from bench.studies.interference.compare import compare
from bench.studies.interference.plan import Regime, plan_study
from bench.studies.interference.run import run_interference
from bench.studies.interference.store import TrainingStore
from bench.studies.interference.table import MEASURES
from bench.studies.study_report import study_markdown, write_study
from bench.training.loop import DivergenceError


@pytest.fixture(scope="session")
def finished(asked_in, tmp_path_factory):
    """What a whole study said, what it ran and where it is kept."""
    options = asked_in(tmp_path_factory.mktemp("finished"))
    listening = Listening()
    return run_interference(options, listening), listening, options.folder


@pytest.fixture
def kept(finished, asked):
    """The folder of a study of one's own in which every training is kept."""
    folder = asked().folder
    shutil.copytree(finished[2], folder)
    return folder / "trainings"


class Listening(Silent):
    """Remembers what ran; interrupts at a training if told to."""

    def __init__(self, stop_at=None):
        self.ran, self.stop_at = [], stop_at

    def cell(self, index, total, label):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(label)


def lines_of(report):
    return report.table.set_index(["size", "regime"])


def test_the_table_pairs_the_same_facts_in_every_line(finished):
    report, listening, _ = finished
    assert len(listening.ran) == 1 + 3 + 2 + 1 + 1, "before, alone, pairs, five in two regimes"
    lines = lines_of(report)
    assert list(lines.index) == [(k, str(r)) for k in (1, 2, 5) for r in Regime]
    assert (lines["facts"] == 3).all()
    assert list(lines["trainings"]) == [3, 3, 2, 2, 1, 1]
    assert list(lines["updates"]) == [3, 3, 3, 3, 6, 3]
    assert list(lines["exposures"])[:5] == [3.0] * 5
    assert 1.2 <= lines["exposures"].iloc[5] <= 1.8, "3 of 6 batches, of 4 facts and of 1"
    for name in MEASURES:
        inside = lines[f"{name}_low"] <= lines[name] + 1e-9
        assert (inside & (lines[name] <= lines[f"{name}_high"] + 1e-9)).all()


def test_a_fact_alone_is_compared_with_itself(finished):
    alone = lines_of(finished[0]).loc[1]
    for name, exactly in (("interference", 0.0), ("nll_difference", 0.0), ("shrink", 1.0)):
        assert (alone[[name, f"{name}_low", f"{name}_high"]] == exactly).all().all()


def test_up_to_the_batch_size_one_training_counts_in_both_regimes(finished):
    lines = lines_of(finished[0])
    pair, five = lines.loc[2], lines.loc[5]
    assert pair.iloc[0].equals(pair.iloc[1])
    assert pair["nll_difference"].iloc[0] != 0
    assert five["nll_difference"].iloc[0] != five["nll_difference"].iloc[1]


def test_a_second_call_runs_nothing_and_writes_the_same(finished, kept, asked, monkeypatch):
    monkeypatch.setattr(CellContext, "base", None)
    again = Listening()
    report = run_interference(asked(), again)
    assert again.ran == []
    written = [write_study(asked().out / name, said) for name, said in
               (("a", finished[0]), ("b", report))]  # fmt: skip
    for kind in ("csv", "png", "svg"):
        assert getattr(written[0], kind).read_bytes() == getattr(written[1], kind).read_bytes()
    text = study_markdown(report)
    assert "lora\\[r=4\\], lr 0.03, batch size 4: 3 facts, seed 0" in text
    assert "exactly 3 updates" in text


def test_an_interrupted_study_goes_on_where_it_was(finished, kept, asked):
    plan = plan_study(asked())
    for training in plan.trainings[4:]:
        (kept / f"{training.spec.digest}.parquet").unlink()
    stopped = Listening(stop_at=2)
    with pytest.raises(KeyboardInterrupt, match=r"5 finished trainings \(1 in this run"):
        run_interference(asked(), stopped)
    assert stopped.ran == [plan.trainings[4].label]
    rest = Listening()
    report = run_interference(asked(), rest)
    assert rest.ran == [training.label for training in plan.trainings[5:]]
    pd.testing.assert_frame_equal(report.table, finished[0].table)


def test_more_sizes_reuse_what_is_there_and_a_damaged_file_runs_again(kept, asked):
    damaged = plan_study(asked()).trainings[2]
    path = kept / f"{damaged.spec.digest}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    more = Listening()
    run_interference(asked(sizes="1-3,5"), more)
    assert more.ran == [damaged.label, "3 together, 1/1, seed 0"]


@pytest.mark.parametrize(
    ("error", "status", "final"),
    [
        (DivergenceError(2, math.inf), "1 of 1 diverged: loss inf at step 2", True),
        (RuntimeError("no luck\nat all"), "1 of 1 failed: RuntimeError: no luck", False),
    ],
)
def test_a_failing_training_is_a_line_that_says_so(kept, asked, monkeypatch, error, status, final):
    def breaking(model, adapter, plan, on_step):
        raise error

    monkeypatch.setattr(interference_training, "train", breaking)
    five = next(t for t in plan_study(asked()).trainings if t.spec.max_steps == 6)
    (kept / f"{five.spec.digest}.parquet").unlink()
    report = run_interference(asked(), Silent())
    failed = lines_of(report).loc[(5, "equal exposures")]
    assert (failed["status"], failed["failed"], failed["facts"]) == (status, 1, 0)
    assert failed[list(MEASURES)].isna().all()
    others = report.table.drop(index=4)
    assert (others["status"] == "done").all()
    assert others[list(MEASURES)].notna().all().all()
    text = study_markdown(report)
    assert f"K = 5, equal exposures: {status}; " in text
    assert any(line.endswith(f"{status} |") for line in text.splitlines())
    assert "every training of this size failed" in report.figure.subfigs[1].texts[0].get_text()

    again = Listening()
    run_interference(asked(), again)
    assert again.ran == ([] if final else [five.label])


def test_what_is_stored_is_what_was_measured(kept, asked):
    plan = plan_study(asked())
    store = TrainingStore(asked().folder)
    before, alone = store.read(plan.before.spec), store.read(plan.trainings[1].spec)
    assert [fact.fact_id for fact in before.outcomes] == [fact.id for fact in plan.measured]
    assert (before.record.updates, before.record.exposures) == (0, 0.0)
    assert (alone.record.updates, alone.record.exposures) == (3, 3.0)
    assert {"git_commit", "packages", "device"} <= set(alone.record.provenance)
    [outcome] = alone.outcomes
    first = next(fact for fact in before.outcomes if fact.fact_id == outcome.fact_id)
    assert outcome.state.dtype == np.float32
    assert outcome.nll < first.nll, "it was trained"
    assert np.abs(outcome.state - first.state).max() > 1e-3


def test_seeds_are_taken_together(asked):
    options = asked(seeds="0,1", sizes="2", exposures=2)
    report = run_interference(options, Silent())
    assert (report.table[["seeds", "trainings", "facts"]] == [2, 4, 3]).all().all()
    plan, store = plan_study(options), TrainingStore(options.folder)
    pairs = compare(plan, {t.spec.digest: store.read(t.spec) for t in plan.trainings})
    assert len(pairs) == 2 * 2 * 3
    mean = pairs[pairs["regime"] == "equal updates"]["nll_difference"].mean()
    assert report.table["nll_difference"].iloc[1] == pytest.approx(mean)
    assert set(report.table["interval"]) <= {"two seeds and facts", "facts only"}
    assert "seeds 0, 1" in report.about[0]


def test_the_picture_shows_the_table_and_every_fact(finished):
    report = finished[0]
    above, below = report.figure.subfigs
    for axes, (name, scale) in zip(
        above.axes, (("interference", 100), ("nll_difference", 1), ("shrink", 1)), strict=True
    ):
        drawn = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
        for line, regime in zip(drawn, Regime, strict=True):
            shown = report.table[report.table["regime"] == regime][name]
            np.testing.assert_allclose(line.get_ydata(), scale * shown)
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "5"]
        assert axes.get_ylabel()
    sizes = [int(axes.get_title(loc="left").rpartition("n = ")[2]) for axes in below.axes]
    assert sum(sizes) == 3
    for axes, n in zip(below.axes, sizes, strict=True):
        assert len(axes.get_lines()) == 2 * n + 3 * n, "two lines and three points a fact"
    assert "% of variance" in below.axes[0].get_ylabel()
    assert "3 facts, seed 0" in report.figure.get_suptitle()
