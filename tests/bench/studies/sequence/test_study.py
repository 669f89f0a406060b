"""Sequences on the two-layer model: laws of the matrix, resuming, tables and picture."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel

from bench.cell.attach import attach
from bench.cell.context import CellContext
from bench.evaluation.responses import respond
from bench.evaluation.signals import BaseSignals
from bench.models.copy_on_write import borrow
from bench.models.device import choose_compute
from bench.progress.base import Silent
from bench.report.statistics.intervals import crossed_intervals
from bench.store.records import Status
from bench.studies import learner as learners
from bench.studies.learner import FactAnswers, learner
from bench.studies.sequence.plan import plan_study
from bench.studies.sequence.run import run_sequence
from bench.studies.sequence.store import SequenceStore
from bench.studies.sequence.table import ASKED, matrix, outcomes_of, retention
from bench.studies.sequence.training import run_training
from bench.studies.study_report import study_markdown, write_study
from bench.studies.terminal import study_text
from bench.training.loop import DivergenceError, train
from tasks.errors import UsageError
from tests.bench.studies.listening import Listening


@pytest.fixture(scope="session")
def finished(sequence_in, tmp_path_factory):
    """What a whole study said, what it ran and where it is kept."""
    options = sequence_in(tmp_path_factory.mktemp("sequence"))
    listening = Listening()
    return run_sequence(options, listening), listening, options.folder


@pytest.fixture
def kept(finished, sequence):
    """The folder of a study of one's own in which every sequence is kept."""
    folder = sequence().folder
    shutil.copytree(finished[2], folder)
    return folder / "trainings"


@pytest.fixture
def bench(sequence):
    """What the sequences of a plan share."""
    grid = plan_study(sequence()).grid
    return CellContext(grid, choose_compute("cpu", grid.dtype), print)


def outcomes_in(options):
    """Return a finished study's plan, its sequences by digest, and their rows."""
    plan, store = plan_study(options), SequenceStore(options.folder)
    results = {one.spec.digest: store.read(one.spec) for one in plan.sequences}
    return plan, results, outcomes_of(plan, results)


def stage_of(trained, stage, part):
    """Return what was measured of a part's facts after a stage, by fact id."""
    rows = [one for one in trained.outcomes if (one.stage, one.part) == (stage, part)]
    return {one.fact_id: one for one in rows}


def same_answers(found, expected, tolerance):
    """Whether stored outcomes are what a model answered elsewhere."""
    assert set(found) == {one.fact_id for one in expected}
    for one in expected:
        stored = found[one.fact_id]
        assert stored.nll == pytest.approx(one.nll, abs=tolerance)
        for name in ("right", "few_shot", "generality", "locality"):
            assert getattr(stored, name) == getattr(one, name)


@pytest.mark.parametrize("method", [0, 2], ids=["lora", "full"])
def test_the_first_entry_is_a_plain_training_of_the_first_part(sequence, bench, method):
    """Of the shared loop, by the functions that a cell calls; nothing of the study's own."""
    planned = plan_study(sequence()).sequences[method]
    cell, spec = planned.cell, planned.spec.cell
    base, part = bench.base(cell), planned.parts[0]
    found = run_training(planned, base, bench, Silent())

    signals = BaseSignals(base, part, cell.data.prompt, bench.cache)
    attached = attach(base, signals, cell.recipe, spec, cell.calibration)
    torch.manual_seed(spec.seed)
    log = train(attached.model, cell.recipe.adapter, attached.plan, lambda *_: None)
    assert len(log.losses) == spec.epochs * len(part)
    after = respond(attached.model, signals.contexts, part, signals.before)
    pairs = zip(part, signals.before.per_fact(), after.per_fact(), strict=True)
    same_answers(stage_of(found, 1, 1), [FactAnswers.of(*each) for each in pairs], 1e-5)
    assert found.record.updates == spec.epochs * len(planned.facts)


def test_an_entry_of_the_diagonal_goes_on_from_the_adapter_saved_before_it(
    sequence, bench, tmp_path
):
    """Saved in PEFT's format, loaded on the untouched base and trained on the next part alone."""
    planned = plan_study(sequence(parts=3)).sequences[0]
    cell, spec = planned.cell, planned.spec.cell
    base = bench.base(cell)
    found = run_training(planned, base, bench, Silent())

    ours = learner(cell, spec, planned.parts[0], planned.facts, base, bench)
    for number, part in enumerate(planned.parts[:2], start=1):
        torch.manual_seed(spec.seed)
        ours.train(ours.plan(part), lambda *_: None)
        folder = tmp_path / f"after {number}"
        attached = ours.attached
        cell.recipe.adapter.save(attached.model, attached.prepared, attached.setting, folder)
        loan = borrow(base)
        model = PeftModel.from_pretrained(loan.model, folder, is_trainable=True)
        loan.settle()
        following = planned.parts[number]
        torch.manual_seed(spec.seed)
        train(model, cell.recipe.adapter, ours.plan(following), lambda *_: None)
        signals = BaseSignals(base, following, cell.data.prompt, bench.cache)
        after = respond(model.eval(), signals.contexts, following, signals.before)
        pairs = zip(following, signals.before.per_fact(), after.per_fact(), strict=True)
        expected = [FactAnswers.of(*each) for each in pairs]
        same_answers(stage_of(found, number + 1, number + 1), expected, 1e-4)


def test_the_first_row_is_the_untouched_base(finished, kept, sequence, bench):
    plan, results, _ = outcomes_in(sequence())
    planned = plan.sequences[0]
    base = bench.base(planned.cell)
    signals = BaseSignals(base, planned.facts, planned.cell.data.prompt, bench.cache)
    for trained in results.values():
        for part in (1, 2):
            for fact_id, said in stage_of(trained, 0, part).items():
                place = [fact.id for fact in planned.facts].index(fact_id)
                assert said.nll == pytest.approx(signals.before.nll[place], abs=1e-5)
        learned = [s.nll for p in (1, 2) for s in stage_of(trained, p, p).values()]
        before = [s.nll for p in (1, 2) for s in stage_of(trained, 0, p).values()]
        assert np.mean(learned) < np.mean(before)
        assert len(trained.outcomes) == 3 * 10
        assert [len(items) for items in trained.record.drift] == [32, 32]


def test_the_tables_are_those_of_the_stored_answers(finished, kept, sequence):
    _, _, outcomes = outcomes_in(sequence())
    report = finished[0]
    assert outcomes["right"].any(), "something was learned"
    for line in report.table.to_dict("records"):
        field = next(name for name, asked in ASKED.items() if asked == line["asked"])
        mine = outcomes[outcomes["method"] == line["method"]]

        def mean(stage, part, of=mine, name=field):
            return of[(of["stage"] == stage) & (of["part"] == part)][name].astype(float).mean()

        matrices = np.array([[mean(k, j) for j in (1, 2)] for k in (0, 1, 2)])
        np.testing.assert_allclose(matrix(outcomes, line["method"], field, 2), matrices)
        assert line["before"] == pytest.approx(matrices[0].mean())
        assert line["learned"] == pytest.approx(np.mean([matrices[1, 0], matrices[2, 1]]))
        assert line["retention"] == pytest.approx(matrices[2].mean())
        assert line["backward"] == pytest.approx(matrices[2, 0] - matrices[1, 0])
        assert line["forward"] == pytest.approx(matrices[1, 1] - matrices[0, 1])
        assert (line["facts"], line["backward_items"], line["forward_items"]) == (10, 5, 5)
        last = mine[mine["stage"] == 2]
        if field == "right":
            assert line["generality"] == pytest.approx(last["generality"].mean())
        else:
            assert pd.isna(line["generality"])
        [more] = report.further
        told = more.table[
            (more.table["method"] == line["method"]) & (more.table["asked"] == line["asked"])
        ]
        np.testing.assert_allclose(told[["part_1", "part_2"]].to_numpy(float), matrices)
        assert told["so_far"].iloc[1] == pytest.approx(matrices[1, 0])
        assert told["so_far"].iloc[2] == pytest.approx(matrices[2].mean())


def test_retention_is_by_the_parts_that_followed(finished, kept, sequence):
    plan, _, outcomes = outcomes_in(sequence())
    for method in plan.methods:
        found = retention(outcomes, method, "right", 2)
        mine = outcomes[outcomes["method"] == method]
        for lag, facts in ((0, 10), (1, 5)):
            rows = mine[mine["stage"] - mine["part"] == lag]
            wide = rows.pivot(index="fact_id", columns="seed", values="right").astype(float)
            assert wide.shape == (facts, 2)
            assert found[lag].value == pytest.approx(wide.to_numpy().mean())
            [expected] = crossed_intervals(wide.to_numpy().T[None], are_shares=True)
            assert (found[lag].interval.low, found[lag].interval.high) == pytest.approx(
                (max(expected.low, 0), min(expected.high, 1))
            )


def test_a_second_call_runs_nothing_and_writes_the_same(finished, kept, sequence, monkeypatch):
    monkeypatch.setattr(CellContext, "base", None)
    again = Listening()
    report = run_sequence(sequence(), again)
    assert again.ran == []
    outs = [sequence().out / name for name in ("a", "b")]
    for out, said in zip(outs, (finished[0], report), strict=True):
        write_study(out, said)
    for name in ("sequence.csv", "sequence_matrix.csv", "sequence.md", "sequence.png",
                 "sequence.svg"):  # fmt: skip
        first, second = ((out / "studies" / name).read_bytes() for out in outs)
        assert first == second or name.endswith(".md"), "the command names another folder"


def test_an_interrupted_study_goes_on_where_it_was(finished, kept, sequence):
    plan = plan_study(sequence())
    for planned in plan.sequences[1:]:
        (kept / f"{planned.spec.digest}.parquet").unlink()
    stopped = Listening(stop_at=2)
    with pytest.raises(KeyboardInterrupt, match=r"2 finished trainings \(1 in this run"):
        run_sequence(sequence(), stopped)
    rest = Listening()
    report = run_sequence(sequence(), rest)
    assert rest.ran == [planned.label for planned in plan.sequences[2:]]
    pd.testing.assert_frame_equal(report.table, finished[0].table)


@pytest.mark.parametrize(
    ("error", "status", "final"),
    [
        (DivergenceError(2, math.inf), "diverged: loss inf at step 2", True),
        (RuntimeError("no luck\nat all"), "failed: RuntimeError: no luck", False),
    ],
)
def test_a_failing_sequence_is_a_line_that_says_so(
    kept, sequence, monkeypatch, error, status, final
):
    def breaking(*given, **named):
        raise error

    monkeypatch.setattr(learners, "train", breaking)
    broken = [one for one in plan_study(sequence()).sequences if one.spec.cell.method == "full"]
    for planned in broken:
        (kept / f"{planned.spec.digest}.parquet").unlink()
    report = run_sequence(sequence(), Silent())
    assert report.failures == tuple(f"full, seed {s}: {status}; it is missing" for s in (0, 1))
    by_method = report.table.set_index("method")
    assert (by_method.loc["lora[r=4]", "status"] == "done").all()
    assert by_method.loc["full", ["retention", "drift"]].isna().all().all()
    text = study_markdown(report)
    assert f"seed 0 {status}" in text

    again = Listening()
    run_sequence(sequence(), again)
    assert again.ran == ([] if final else [planned.label for planned in broken])


def test_a_study_in_which_everything_fails_says_why(sequence):
    with pytest.raises(UsageError, match=r"every sequence failed: loss .* at step"):
        run_sequence(sequence(lr=1e30, methods="lora"), Silent())


def test_predictions_that_are_not_finite_are_a_divergence(sequence, bench, monkeypatch):
    class Suite:
        def measure(self, model):
            return [type("Measured", (), {"tuned_items": [0.1, math.nan]})]

    monkeypatch.setattr(bench, "suite", lambda cell: Suite())
    planned = plan_study(sequence(epochs=1)).sequences[0]
    trained = run_training(planned, bench.base(planned.cell), bench, Silent())
    assert trained.record.status is Status.DIVERGED
    assert trained.outcomes == ()


def test_an_adapter_that_changes_frozen_weights_is_refused_and_the_base_loaded_anew(
    sequence, bench, monkeypatch
):
    planned = plan_study(sequence(epochs=1)).sequences[0]
    base = bench.base(planned.cell)
    real = learners.train

    def meddling(model, *given, **named):
        log = real(model, *given, **named)
        with torch.no_grad():
            next(p for p in model.parameters() if not p.requires_grad).add_(1)
        return log

    monkeypatch.setattr(learners, "train", meddling)
    trained = run_training(planned, base, bench, Silent())
    assert trained.record.status is Status.FAILED
    assert "which requires no gradients" in trained.record.reason
    assert bench.resident == ""


def test_what_is_printed_is_what_is_written(finished, snapshot):
    report = finished[0]
    shown = study_text(report, width=100)
    for line in ("part 1", "backward", "Accuracy on each part after each part was trained:"):
        assert line in shown
    text = study_markdown(report)
    assert text.count("| method ") == 2
    assert "Accuracy on each part after each part was trained:" in text


def test_the_picture_shows_the_matrices_and_retention(finished, kept, sequence):
    plan, results, outcomes = outcomes_in(sequence())
    panels = finished[0].figure.axes
    shown = [axes for axes in panels if axes.get_visible()]
    assert len(shown) == 2 + 3
    for axes, method in zip(shown, plan.methods, strict=False):
        values = 100 * matrix(outcomes, method, "right", 2)
        np.testing.assert_allclose(axes.images[0].get_array(), values)
        assert [text.get_text() for text in axes.texts] == [f"{v:.0f}" for v in values.flat]
        assert axes.get_title(loc="left") == method
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["before", "1", "2"]
        assert [box.get_xy() for box in axes.patches] == [(-0.5, 0.5), (0.5, 1.5)]
    curves = shown[2]
    for line, method in zip(curves.get_lines(), plan.methods, strict=True):
        found = retention(outcomes, method, "right", 2)
        np.testing.assert_allclose(line.get_ydata(), [100 * found[lag].value for lag in (0, 1)])
    for line, method in zip(shown[4].get_lines(), plan.methods, strict=True):
        mine = [results[one.spec.digest].record.drift for one in plan.sequences
                if one.spec.cell.method == method]  # fmt: skip
        np.testing.assert_allclose(line.get_ydata(), [0, *np.mean(mine, axis=(0, 2))])
