"""Facts alone and together on the two-layer model: groups, counts, resuming, table and picture."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pandas as pd
import pytest

from bench.cell.context import CellContext
from bench.progress.base import Silent
from bench.report.statistics.intervals import FEWEST_ITEMS
from bench.studies.interference import training as interference_training
from bench.studies.interference.compare import compare
from bench.studies.interference.plan import Regime, plan_study
from bench.studies.interference.run import run_interference
from bench.studies.interference.store import ASKED, TrainingStore
from bench.studies.interference.table import ASKED_AS, COUNTED, MEASURES
from bench.studies.study_report import shown_lines, study_markdown, write_study
from bench.training.loop import DivergenceError
from tasks.context import Context
from tasks.scoring import normalise
from tests.bench.studies.listening import Listening


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


def lines_of(report, asked=Context.PLAIN):
    """Return the lines of one context by size and regime."""
    table = report.table
    return table[table["asked"] == ASKED_AS[asked]].set_index(["size", "regime"])


def pairs_of(options):
    """Return what a finished study compares, and what it compares it from."""
    plan, store = plan_study(options), TrainingStore(options.folder)
    results = {t.spec.digest: store.read(t.spec) for t in plan.trainings}
    return compare(plan, results), plan, results


def test_the_table_pairs_the_same_facts_in_every_line(finished):
    report, listening, _ = finished
    assert len(listening.ran) == 1 + 5 + 3 + 1 + 1, "before, alone, pairs, five in two regimes"
    for asked in ASKED:
        lines = lines_of(report, asked)
        assert list(lines.index) == [(k, str(r)) for k in (1, 2, 5) for r in Regime]
        assert (lines["facts"] == 5).all()
        assert list(lines["trainings"]) == [5, 5, 3, 3, 1, 1]
        assert list(lines["updates"]) == [3, 3, 3, 3, 6, 3]
        assert list(lines["exposures"])[:5] == [3.0] * 5
        assert 1.2 <= lines["exposures"].iloc[5] <= 1.8, "3 of 6 batches, of 4 facts and of 1"
        for name in MEASURES:
            found = lines[lines[name].notna() & lines[f"{name}_low"].notna()]
            assert (found[f"{name}_low"] <= found[name] + 1e-9).all()
            assert (found[name] <= found[f"{name}_high"] + 1e-9).all()


def test_a_fact_alone_is_compared_with_itself(finished):
    for asked in ASKED:
        alone = lines_of(finished[0], asked).loc[1]
        same = {"interference": 0.0, "nll_difference": 0.0}
        if asked is Context.PLAIN:
            same |= {"shrink": 1.0, "epochs_difference": 0.0}
        for name, exactly in same.items():
            assert (alone[[name, f"{name}_low", f"{name}_high"]] == exactly).all().all()
        assert (alone["straying"] == alone["straying_alone"]).all()
        assert alone["confusion"].isna().all(), "no other fact was trained"


def test_up_to_the_batch_size_one_training_counts_in_both_regimes(finished):
    for asked in ASKED:
        lines = lines_of(finished[0], asked)
        pair, five = lines.loc[2], lines.loc[5]
        assert pair.iloc[0].equals(pair.iloc[1])
        assert pair["nll_difference"].iloc[0] != 0
        assert five["nll_difference"].iloc[0] != five["nll_difference"].iloc[1]


def test_measures_are_those_of_the_stored_answers(finished, kept, asked):
    pairs, plan, results = pairs_of(asked())
    assert len(pairs) == 3 * 2 * 5 * len(ASKED)
    before = {fact.fact_id: fact for fact in results[plan.before.spec.digest].outcomes}
    targets = {fact.id: normalise(fact.target) for fact in plan.cell.data.facts}
    for condition in plan.conditions:
        for training in condition.trainings:
            ids = [fact.id for fact in training.group.facts]
            for fact in results[training.spec.digest].outcomes:
                for context in ASKED:
                    [row] = _rows(pairs, condition, fact.fact_id, context)
                    said, was = fact.said(context), before[fact.fact_id].said(context)
                    others = {targets[one] for one in ids if one != fact.fact_id}
                    wrong = normalise(said.answer) != targets[fact.fact_id]
                    assert said.correct is not wrong
                    confused = float(normalise(said.answer) in others) if wrong and others else None
                    assert row["confusion"] == confused or (
                        confused is None and math.isnan(row["confusion"])
                    )
                    chance = normalise(was.answer) in others if others and not was.correct else None
                    np.testing.assert_equal(
                        row["confusion_before"], math.nan if chance is None else float(chance)
                    )
                    if context is Context.FEW_SHOT or was.answer:
                        assert row["straying"] == float(said.distance > was.distance + 1e-3)
                    else:
                        assert math.isnan(row["straying"])
                    assert row["nll_joint"] == said.nll
    table = finished[0].table
    assert table["confusion"].notna().any(), "some answers were wrong"
    for _, line in table.iterrows():
        mine = pairs[(pairs["size"] == line["size"]) & (pairs["regime"] == line["regime"])]
        for context in ASKED:
            if line["asked"] == ASKED_AS[context]:
                found = mine[mine["asked"] == context]
                for name in MEASURES:
                    np.testing.assert_allclose(line[name], found[name].astype(float).mean())
                for name in COUNTED:
                    assert line[f"{name}_items"] == found[name].notna().sum()


def _rows(pairs, condition, fact_id, context):
    same = (pairs["size"] == condition.size) & (pairs["regime"] == condition.regime)
    same &= (pairs["fact_id"] == fact_id) & (pairs["asked"] == context)
    return pairs[same].to_dict("records")


def test_the_dose_is_compared_only_where_it_is_the_same(finished, kept, asked):
    pairs, plan, results = pairs_of(asked())
    doses = ["epochs_alone", "epochs_joint", "epochs_difference"]
    plain = pairs["asked"] == Context.PLAIN
    fewer = (pairs["size"] == 5) & (pairs["regime"] == Regime.UPDATES)
    assert pairs.loc[plain & ~fewer, doses].notna().all().all()
    assert pairs.loc[fewer | ~plain, doses].isna().all().all()
    for training in plan.trainings[1:]:
        for fact in results[training.spec.digest].outcomes:
            assert fact.exposures <= 3
            assert 0 <= fact.epochs_to_learn <= fact.exposures + 1
    # Five facts in batches of four: in the second of two epochs only one batch fits.
    [cut] = [t for t in plan.trainings if t.spec.max_steps == 3 and len(t.group.facts) == 5]
    seen = [fact.exposures for fact in results[cut.spec.digest].outcomes]
    assert set(seen) == {1, 2}


def test_a_mean_over_few_facts_or_answers_is_not_shown(finished):
    report = finished[0]
    place = [column.name for column in report.columns].index("confusion")
    shown = [line[place] for line in shown_lines(report)]
    few = report.table["confusion_items"] < FEWEST_ITEMS
    assert few.any()
    assert [text == "-" for text in shown] == list(few | report.table["confusion"].isna())


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
    assert "lora\\[r=4\\], lr 0.03, batch size 4: 5 facts, seed 0" in text
    assert "exactly 3 updates" in text


def test_an_interrupted_study_goes_on_where_it_was(finished, kept, asked):
    plan = plan_study(asked())
    for training in plan.trainings[6:]:
        (kept / f"{training.spec.digest}.parquet").unlink()
    stopped = Listening(stop_at=2)
    with pytest.raises(KeyboardInterrupt, match=r"7 finished trainings \(1 in this run"):
        run_interference(asked(), stopped)
    assert stopped.ran == [plan.trainings[6].label]
    rest = Listening()
    report = run_interference(asked(), rest)
    assert rest.ran == [training.label for training in plan.trainings[7:]]
    pd.testing.assert_frame_equal(report.table, finished[0].table)


def test_more_sizes_reuse_what_is_there_and_a_damaged_file_runs_again(kept, asked):
    damaged = plan_study(asked()).trainings[2]
    path = kept / f"{damaged.spec.digest}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    more = Listening()
    run_interference(asked(sizes="1-3,5"), more)
    assert more.ran == [damaged.label, *(f"3 together, {i}/2, seed 0" for i in (1, 2))]


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
    others = report.table[report.table["failed"] == 0]
    assert len(others) == len(report.table) - len(ASKED)
    assert (others["status"] == "done").all()
    assert others[["interference", "nll_difference"]].notna().all().all()
    text = study_markdown(report)
    assert text.count(f"K = 5, equal exposures: {status}; ") == 1
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
    for context in ASKED:
        assert outcome.said(context).nll < first.said(context).nll, "it was trained"
    assert (first.exposures, first.epochs_to_learn) == (0, None)
    assert outcome.exposures == 3
    assert np.abs(outcome.state - first.state).max() > 1e-3


def test_seeds_are_taken_together(asked):
    options = asked(seeds="0,1", sizes="2", exposures=2)
    report = run_interference(options, Silent())
    assert (report.table[["seeds", "trainings", "facts"]] == [2, 6, 5]).all().all()
    pairs, _, _ = pairs_of(options)
    assert len(pairs) == 2 * 2 * 5 * len(ASKED)
    for context in ASKED:
        mine = pairs[(pairs["regime"] == "equal updates") & (pairs["asked"] == context)]
        line = lines_of(report, context).loc[(2, "equal updates")]
        assert line["nll_difference"] == pytest.approx(mine["nll_difference"].mean())
        wrong = mine.dropna(subset="confusion").groupby("seed")["confusion"]
        if wrong.ngroups:
            assert line["confusion"] == pytest.approx(wrong.mean().mean())
            assert line["confusion_items"] == wrong.size().min()
    assert set(report.table["interval"]) <= {"two seeds and facts", "facts only"}
    assert "seeds 0, 1" in report.about[0]


def test_without_equal_updates_nothing_else_changes(asked, finished, kept):
    plan, both = plan_study(asked(regimes="exposures")), plan_study(asked())
    left_out = {t.spec.digest for t in both.trainings} - {t.spec.digest for t in plan.trainings}
    assert len(left_out) == 1, "the five for as many updates as a fact alone"
    (kept / f"{left_out.pop()}.parquet").unlink()
    listening = Listening()
    report = run_interference(asked(regimes="exposures"), listening)
    assert not listening.ran
    whole = finished[0].table
    expected = whole[whole["regime"] == "equal exposures"].reset_index(drop=True)
    pd.testing.assert_frame_equal(report.table, expected)
    assert not any("equal updates" in line for line in report.about)
    [legend] = report.figure.subfigs[0].legends
    assert len(legend.get_texts()) == 2
    assert "--regimes exposures" in report.command


def test_the_picture_shows_the_table_and_every_fact(finished):
    report = finished[0]
    above, below = report.figure.subfigs
    for asked, panels in zip(ASKED, (above.axes[:5], above.axes[5:]), strict=True):
        lines = report.table[report.table["asked"] == ASKED_AS[asked]]
        for axes, (name, scale) in zip(panels, DRAWN, strict=False):
            assert_drawn(axes, lines, name, scale)
    plain = report.table[report.table["asked"] == ASKED_AS[Context.PLAIN]]
    assert_drawn(above.axes[4], plain, "epochs_joint", 1)
    assert_drawn(above.axes[9], plain, "shrink", 1)
    sizes = [int(axes.get_title(loc="left").rpartition("n = ")[2]) for axes in below.axes]
    assert sum(sizes) == 5
    for axes, n in zip(below.axes, sizes, strict=True):
        assert len(axes.get_lines()) == 2 * n + 3 * n, "two lines and three points a fact"
    assert "% of variance" in below.axes[0].get_ylabel()
    assert "5 facts, seed 0" in report.figure.get_suptitle()


DRAWN = (("interference", 100), ("nll_difference", 1), ("confusion", 100), ("straying", 100))


def assert_drawn(axes, lines, name, scale):
    """A panel shows a measure of enough facts or answers, or says that there is none."""
    enough = lines[lines[name].notna() & (lines.get(f"{name}_items", lines["facts"]) >= 5)]
    drawn = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    for line, regime in zip(drawn, Regime, strict=True):
        shown = enough[enough["regime"] == regime]
        np.testing.assert_allclose(line.get_ydata(), scale * shown[name].astype(float))
    assert bool(axes.texts) == enough.empty
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "5"]
    assert axes.get_ylabel()
