"""Whole cells that follow a first step: what they start from, measure, save, and wait for."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.inference.likelihood import negative_log_likelihoods
from bench.models.device import compute_of
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.report.leaderboard.load import load_leaderboard
from bench.runner import run_cells
from bench.store.records import Status
from bench.store.store import ResultsStore
from methods.adapters.full import Full
from methods.adapters.lora import Lora
from methods.two_steps.mode import StepMode


@pytest.fixture(scope="module")
def options_in(tiny_folder, facts_file, lamps_file):
    """Options of a small grid in two steps, for an empty folder."""

    def make(out, mode="frozen", recipe="lora[r=4]", **changes):
        given = {
            "methods": "lora[r=2]",
            "tasks": str(facts_file),
            "after": f"{lamps_file}:{mode}:{recipe}",
            "models": str(tiny_folder),
            "forgetting": "none",
            "forgetting_limit": 2,
            "epochs": 1,
            "limit": 4,
            "batch_size": 4,
            "device": "cpu",
            "out": out,
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def options(options_in, tmp_path):
    return partial(options_in, tmp_path / "results")


class Notes(Silent):
    """Keeps what it is told; presses Ctrl-C when the cell of a number begins to train."""

    def __init__(self, stop_at=None):
        self.lines, self.labels, self.stop_at = [], [], stop_at

    def note(self, line):
        self.lines.append(line)

    def cell(self, index, total, label, together=1):
        self.labels.append(label)

    def phase(self, name, steps=None):
        if name == "train" and len(self.labels) == self.stop_at:
            raise KeyboardInterrupt


def run(chosen, progress=None):
    """Run a grid; return the records of first steps and of their followers."""
    records = run_grid(chosen, progress or Silent()).records
    return (
        [record for record in records if record.spec.after is None],
        [record for record in records if record.spec.after is not None],
    )


def of(records, method):
    [found] = [record for record in records if record.spec.method == method]
    return found


def load(folder, tiny_folder):
    """Load what a cell has saved on the untouched base, as its guide says."""
    if (folder / "adapter_config.json").is_file():
        base = AutoModelForCausalLM.from_pretrained(tiny_folder)
        return PeftModel.from_pretrained(base, folder).eval()
    return AutoModelForCausalLM.from_pretrained(folder).eval()


MODES = {
    "frozen": "lora[r=2],dora[r=2],eva[r=2],lora[r=2]+last[n=1]",
    "trainable": "lora[r=2],dora[r=2]",
    "merged": "lora[r=2],dora[r=2],pissa[r=2],full",
}


@pytest.fixture(scope="module", params=MODES)
def followed(request, options_in, tmp_path_factory):
    """A run in each mode: its options, the record of the first step, those of its followers."""
    chosen = options_in(
        tmp_path_factory.mktemp(request.param),
        request.param,
        methods=MODES[request.param],
        forgetting="drift",
        epochs=3,
        save_adapters=True,
    )
    [first], others = run(chosen)
    return chosen, first, others


def test_every_follower_starts_as_the_model_after_the_first_step(followed):
    chosen, first, others = followed
    assert first.status is Status.DONE
    for record in others:
        assert record.status is Status.DONE, f"{record.spec.method}: {record.reason}"
        assert record.identity, record.spec.method
        assert record.path[0].epoch == 0
        expected = pytest.approx(first.path[-1].drift, abs=1e-5)
        assert record.path[0].drift == expected, "it begins with what the first step has cost"
    assert first.path[0].epoch == 1
    trains_first = chosen.after.mode is StepMode.TRAINABLE
    found = of(others, "lora[r=2]").parameters
    assert found == first.parameters * (0.5 + trains_first), "half the rank, and what was below"


def test_a_saved_follower_answers_on_the_untouched_base_as_in_its_cell(followed, tiny_folder):
    chosen, _, others = followed
    context = CellContext(chosen, compute_of(chosen, here=True), print)
    cells = {cell.cell_id: cell for cell in plan_grid(chosen, ResultsStore(chosen.out))}
    for record in others:
        assert record.adapter_path, record.warnings
        model = load(chosen.out / record.adapter_path, tiny_folder)
        cell = cells[record.cell_id]
        facts, base = cell.data.facts, context.base(cell)
        contexts = BaseSignals(base, facts, cell.data.prompt, context.cache).contexts
        found = negative_log_likelihoods(model, contexts.examples(contexts.asked, facts), 0)
        rows = ResultsStore(chosen.out).rows(record.cell_id).set_index("fact_id")
        expected = rows.loc[[fact.id for fact in facts], "nll_after"].tolist()
        assert found == pytest.approx(expected, abs=1e-4), record.spec.method
        before = rows.loc[[fact.id for fact in facts], "nll_before"].tolist()
        assert found != pytest.approx(before, abs=1e-3)


def test_before_is_told_of_the_untouched_base_and_strategies_go_by_what_is_trained(options):
    asked = {"methods": "lora[r=2]+reweight", "forgetting": "drift", "checkpoints": "last"}
    chosen = options(recipe="lora[r=4,alpha=4000]", **asked)
    _, [record] = run(chosen)
    plain = options(after=None, **asked)
    [alone], _ = run(plain)
    rows, theirs = (ResultsStore(chosen.out).rows(r.cell_id) for r in (record, alone))
    for column in ("answer_before", "knowledge", "distance_before", "nll_before"):
        assert rows[column].tolist() == theirs[column].tolist(), column
    assert rows["weight"].tolist() != theirs["weight"].tolist(), "weighed by another model"
    [one], [other] = record.forgetting, alone.forgetting
    assert (one.base_items, one.digest) == (other.base_items, other.digest)


def test_the_base_is_bit_equal_after_every_mode(options):
    methods = {"frozen": "dora[r=2]", "merged": "pissa,full"}
    for mode, names in methods.items():
        chosen = options(mode, methods=names, save_adapters=True)
        cells = plan_grid(chosen, ResultsStore(chosen.out))
        context = CellContext(chosen, compute_of(chosen, here=True), print)
        pristine = None
        store = ResultsStore(chosen.out)
        store.ensure_writable()
        for cell in cells:
            base = context.base(cell)
            pristine = pristine or {n: p.clone() for n, p in base.model.named_parameters()}
            results = []
            run_cells([cell], context, Silent(), results.append)
            [result] = results
            assert result.record.status is Status.DONE, result.record.reason
            store.write(result.record, result.rows)
            now = dict(context.base(cell).model.named_parameters())
            assert context.base(cell) is base, "it was never dropped"
            assert all(torch.equal(now[n], p) for n, p in pristine.items()), cell.label


def test_training_that_moves_a_frozen_first_adapter_fails_the_cell(options, monkeypatch):
    def moving(self, model, step):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".lora_A.first." in name:
                    parameter.add_(1e-3)

    monkeypatch.setattr(Lora, "after_step", moving)
    _, [record] = run(options())
    assert record.status is Status.FAILED
    assert "of the first step, which is frozen" in record.reason


def test_followers_of_a_failed_first_step_are_skipped_and_say_why(options, monkeypatch):
    broken = options(recipe="full", mode="merged", methods="lora[r=2],dora[r=2]")
    plain = Full.attach
    monkeypatch.setattr(Full, "attach", lambda *_: 1 / 0)
    outcome = run_grid(broken, Silent())
    assert outcome.failed == 3
    first, *others = outcome.records
    for record in others:
        assert record.status is Status.SKIPPED
        assert f"(cell {first.cell_id}) ended as failed" in record.reason
        assert "division by zero" in record.reason
    outcome = run_grid(broken, Silent())
    assert (outcome.ran, outcome.failed) == (0, 3), "nothing to do as long as it is so"
    monkeypatch.setattr(Full, "attach", plain)
    again = options(recipe="full", mode="merged", methods="lora[r=2],dora[r=2]", rerun="failed")
    outcome = run_grid(again, Silent())
    assert (outcome.ran, outcome.failed) == (3, 0)


def test_a_first_step_that_cannot_be_saved_is_told_once_and_its_followers_are_skipped(
    options, monkeypatch
):
    def fail(*_):
        raise RuntimeError("no place\nfor it")

    monkeypatch.setattr(Lora, "save", fail)
    chosen = options()
    [first], [record] = run(chosen)
    assert first.status is Status.DONE
    assert record.status is Status.SKIPPED
    assert "no saved adapter: the adapter was not saved: RuntimeError: no place" in record.reason


def test_a_lost_adapter_of_a_first_step_is_made_again(options):
    chosen = options()
    [first], _ = run(chosen)
    shutil.rmtree(chosen.out / first.adapter_path)
    notes = Notes()
    [again], others = run(options(methods="lora[r=2],lora[r=3]"), notes)
    assert [record.status for record in others] == [Status.DONE] * 2
    assert len(notes.labels) == 2, "the first step, and the follower that was missing"
    assert [epoch.loss for epoch in again.curve] == [epoch.loss for epoch in first.curve]


def test_an_interrupted_run_goes_on(options):
    chosen = options()
    found = [run_grid(chosen, Notes(stop_at=cell)) for cell in (1, 2, None)]
    assert [outcome.interrupted for outcome in found] == [True, True, False]
    assert [outcome.ran for outcome in found] == [0, 1, 1], "the first step, and then its follower"
    assert found[-1].reused == 1
    assert found[-1].failed == 0


@pytest.mark.slow
def test_a_stage_of_first_steps_ends_before_their_followers_in_workers(options, tmp_path):
    asked = {"methods": "lora[r=2],lora[r=3]", "seeds": "0,1"}
    outcome = run_grid(options(workers="2", **asked), Silent())
    assert (outcome.ran, outcome.failed, outcome.lost) == (6, 0, ())
    alone = run_grid(options(workers="1", rerun="all", **asked), Silent())
    losses = [
        {record.cell_id: [epoch.loss for epoch in record.curve] for record in one.records}
        for one in (outcome, alone)
    ]
    assert losses[0] == losses[1]


def test_shards_in_one_folder_share_first_steps(options):
    notes = Notes()
    for part in ("1/2", "2/2"):
        outcome = run_grid(options(seeds="0,1", shard=part), notes)
        assert outcome.failed == 0
    firsts = [label for label in notes.labels if "after" not in label]
    assert len(firsts) == len(set(firsts)) == 2
    assert len(notes.labels) == 4


def test_a_tuned_grid_follows_too(options):
    chosen = options(lr="1e-4,1e-3", tune_seeds=1, epochs=2)
    notes = Notes()
    outcome = run_grid(chosen, notes)
    assert outcome.failed == 0
    assert len(notes.labels) == 2 + 2 + 1
    [row] = [row for row in load_leaderboard(chosen.out).rows if row.spec.after]
    assert row.tuning is not None
    assert len(row.tuning.tried) == 2


def test_cells_on_one_merged_base_train_together_with_the_same_numbers(options):
    asked = {"methods": "lora[r=2],dora[r=3]", "forgetting": "drift", "epochs": 2}
    chosen = options("merged", stack="2", **asked)
    _, together = run(chosen)
    assert {record.stacked for record in together} == {2}
    alone = options("merged", rerun="all", **asked)
    for one, other in zip(together, run(alone)[1], strict=True):
        assert one.cell_id == other.cell_id
        losses = [[epoch.loss for epoch in record.curve] for record in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert one.path[0].epoch == 0
        assert one.path[0].drift == pytest.approx(other.path[0].drift, abs=1e-6)


def test_a_base_in_bfloat16_is_followed_too(options):
    for mode in ("trainable", "merged"):
        _, others = run(options(mode, methods="lora[r=2],dora[r=2]", dtype="bfloat16"))
        for record in others:
            assert record.status is Status.DONE, record.reason
            assert record.identity
            assert record.init_difference == 0.0
