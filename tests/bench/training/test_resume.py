"""A training that was stopped goes on as if it had not been: same losses, weights and path."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace

import pytest
import torch

from bench.cell.context import CellContext
from bench.cell.running import RunningCell
from bench.cell.training_states import training_states
from bench.cli.run import _plan_cells
from bench.config.options import build_options
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from bench.training.loop import train
from bench.training.resume import TrainingStates, fits_of

EVERY_STEP = 1e-9
RECIPES = (
    "lora[r=4]",
    "lora[r=4,dropout=0.3]",
    "dora[r=4]",
    "pissa[r=4]",
    "full",
    "lora[r=4]+reweight[refresh=1]",
    "lora[r=4]+freeze",
    "lora[r=4]+curriculum[order=mixed]",
    "lora[r=4]+replay[share=0.5,tasks=elements]",
    "lora[r=4]+kl[texts=8,tokens=8]",
    "lora[r=4]+self_distill[texts=8,tokens=8]",
)


class StoppedError(Exception):
    """Stands for the end of the process."""


class Lines(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def talking(tmp_path_factory, tiny_parts):
    """The two-layer model with a chat template."""
    model, tokenizer = tiny_parts
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    folder = tmp_path_factory.mktemp("talking") / "tiny"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def chosen(tiny_folder, facts_file, tmp_path):
    """Options of one cell on the two-layer model."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 2,
            "epochs": 3,
            "batch_size": 3,
            "device": "cpu",
            "save_every": EVERY_STEP,
            "out": tmp_path,
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def prepared(chosen):
    """Prepare a cell whose training can be run by hand."""

    def make(**changes):
        options = chosen(**changes)
        [cell] = plan_grid(options, ResultsStore(options.out))
        running = RunningCell(cell, CellContext(options, Compute("cpu", "float32"), print), Lines())
        with running.guarded():
            running.prepare()
        assert not running.over, running.result.record.reason
        return running

    return make


def weights(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def trained(running, path, stops):
    """Train a cell, stopping its process after the given numbers of steps; return log and weights.

    A new cell is prepared for each process, as after a kill.
    """
    for stop in [*stops, None]:
        cell = running()

        def on_step(done, loss, stop=stop):
            if done == stop:
                raise StoppedError

        states = TrainingStates(path, {"cell": "a"}, EVERY_STEP, print)
        torch.manual_seed(0)
        try:
            log = train(
                cell.attached.model, cell.cell.recipe.adapter, cell.plan, on_step, None, states
            )
        except StoppedError:
            # What is done with random numbers elsewhere must not matter.
            torch.rand(7)
            continue
        return log, weights(cell.attached.model)
    raise AssertionError


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_that_was_stopped_twice_gives_the_same_losses(prepared, tmp_path, recipe):
    def make():
        return prepared(methods=recipe)

    whole, expected = trained(make, tmp_path / "none.pt", [])
    log, found = trained(make, tmp_path / "state.pt", [2, 8])
    assert log.losses == whole.losses
    assert log.accuracies == whole.accuracies
    assert log.curve == whole.curve
    assert log.flops == pytest.approx(whole.flops)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("stop", range(2, 7))
def test_it_does_not_matter_where_it_was_stopped(prepared, talking, tmp_path, stop):
    given = {"accumulation": 2, "train_prompt": "mixed", "models": str(talking)}

    def make():
        return prepared(methods="lora[r=4,dropout=0.2]", **given)

    whole, expected = trained(make, tmp_path / "none.pt", [])
    assert len(whole.losses) == 6
    log, found = trained(make, tmp_path / "state.pt", [stop])
    assert (log.losses, log.accuracies) == (whole.losses, whole.accuracies)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_state_that_was_left_by_the_last_step_only_measures(prepared, tmp_path):
    whole, _ = trained(prepared, tmp_path / "none.pt", [])
    path = tmp_path / "state.pt"
    trained(prepared, path, [])
    cell = prepared()
    told = []
    states = TrainingStates(
        path, {"cell": "a"}, EVERY_STEP, print, take_up=lambda *g: told.append(g)
    )
    log = train(
        cell.attached.model, cell.cell.recipe.adapter, cell.plan, lambda *_: 1 / 0, None, states
    )
    assert told == [(len(whole.losses), {})]
    assert log.losses == whole.losses


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda path: path.write_bytes(b"no state"), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "cannot be read"),
        (lambda path: torch.save({"fits": {"cell": "b"}, "state": {}}, path), "of another cell"),
    ],
)
def test_a_state_that_does_not_fit_is_left_aside_with_one_line(prepared, tmp_path, write, why):
    path = tmp_path / "state.pt"
    whole, _ = trained(prepared, tmp_path / "none.pt", [])
    trained(prepared, path, [4])
    write(path)
    lines = []
    states = TrainingStates(path, {"cell": "a"}, EVERY_STEP, lines.append)
    cell = prepared()
    log = train(
        cell.attached.model, cell.cell.recipe.adapter, cell.plan, lambda *_: None, None, states
    )
    [line] = lines
    assert why in line
    assert line.endswith("training begins anew")
    assert log.losses == whole.losses


def test_a_state_with_code_in_it_runs_none(prepared, tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"fits": Evil(), "state": {}}, tmp_path / "state.pt")
    lines = []
    states = TrainingStates(tmp_path / "state.pt", {"cell": "a"}, 1.0, lines.append)
    assert states.read() is None
    assert "cannot be read" in lines[0]


def test_other_versions_devices_and_divisions_do_not_fit():
    one = fits_of("c", 1, "cpu")
    assert one == fits_of("c", 1, "cpu")
    for other in (fits_of("c", 2, "cpu"), fits_of("d", 1, "cpu"), fits_of("c", 1, "cuda")):
        assert other != one
    assert {"version of torch", "version of peft", "version of transformers"} <= one.keys()


def test_states_are_written_as_often_as_asked_for(prepared, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("bench.training.resume.time.monotonic", lambda: now[0])
    written = []
    states = TrainingStates(tmp_path / "state.pt", {}, 10.0, print)
    monkeypatch.setattr(
        TrainingStates, "write", lambda self, state: written.append(len(state().course["losses"]))
    )
    cell = prepared()

    def on_step(done, loss):
        now[0] += 4.0

    train(cell.attached.model, cell.cell.recipe.adapter, cell.plan, on_step, None, states)
    assert written[0] == 3, "after 12 of 10 seconds"


def stopped_cell(context, cell, steps):
    """Run a cell whose process ends after some steps: nothing of it is stored."""

    class Stops(Lines):
        def step(self, done, loss):
            if done == steps:
                raise KeyboardInterrupt

    return run_cell(cell, context, Stops())


@pytest.mark.parametrize("steps", [2, 5])
def test_a_cell_goes_on_and_its_record_says_so(chosen, tmp_path, steps):
    def planned(out):
        options = chosen(out=tmp_path / out)
        [cell] = plan_grid(options, ResultsStore(options.out))
        return cell, CellContext(options, Compute("cpu", "float32"), print), options

    cell, context, _ = planned("whole")
    whole = run_cell(cell, context, Silent())
    cell, context, options = planned("stopped")
    store, progress = ResultsStore(options.out), Lines()
    first = stopped_cell(context, cell, steps)
    assert first.record.status is Status.INTERRUPTED
    store.write(first.record, first.rows)
    assert store.unfinished() == {cell.cell_id}

    again = CellContext(options, Compute("cpu", "float32"), print)
    found = run_cell(cell, again, progress)
    store.write(found.record, found.rows)
    assert store.unfinished() == set()
    assert not (options.out / "unfinished").exists()
    assert progress.lines == [f"{cell.label}: going on after step {steps - 1} of 9"]
    record = found.record
    assert (record.status, record.continued) == (Status.DONE, [steps - 1])
    assert any(f"went on after step {steps - 1};" in line for line in record.warnings)
    assert record.losses_digest == whole.record.losses_digest
    assert record.curve == whole.record.curve
    assert record.path == whole.record.path
    assert record.metrics == whole.record.metrics
    assert found.rows == whole.rows


def test_rerun_all_begins_anew_and_the_plan_says_so(chosen, capsys):
    options = chosen()
    [cell] = plan_grid(options, ResultsStore(options.out))
    stopped_cell(CellContext(options, Compute("cpu", "float32"), print), cell, 5)
    _plan_cells(options)
    assert "1 cell goes on with a training" in capsys.readouterr().out
    again, progress = chosen(rerun="all"), Lines()
    _plan_cells(again)
    assert "goes on" not in capsys.readouterr().out
    assert ResultsStore(options.out).unfinished() == {cell.cell_id}, "a plan changes nothing"
    record = run_cell(cell, CellContext(again, Compute("cpu", "float32"), print), progress).record
    assert record.status is Status.DONE
    assert (record.continued, progress.lines) == ([], [])
    # What this run itself leaves is taken up by the next one.
    stopped_cell(CellContext(again, Compute("cpu", "float32"), print), cell, 5)
    record = run_cell(cell, CellContext(options, Compute("cpu", "float32"), print), progress).record
    assert record.continued == [4]


def test_a_path_has_no_points_that_were_measured_otherwise(chosen):
    options = chosen()
    [cell] = plan_grid(options, ResultsStore(options.out))
    stopped_cell(CellContext(options, Compute("cpu", "float32"), print), cell, 5)
    other, progress = chosen(forgetting_limit=3), Lines()
    context = CellContext(other, Compute("cpu", "float32"), print)
    record = run_cell(cell, context, progress).record
    [line] = progress.lines
    assert "of another set of measures after each epoch" in line
    assert record.continued == []


def test_what_a_stopped_process_took_counts(chosen, tmp_path, monkeypatch):
    options = chosen()
    [cell] = plan_grid(options, ResultsStore(options.out))
    context = CellContext(options, Compute("cpu", "float32"), print)
    stopped_cell(context, cell, 5)
    [path] = (options.out / "unfinished").iterdir()
    found = torch.load(path, weights_only=True)
    phases = found["state"]["aside"]["phases"]
    phases["train"]["seconds"] += 1000.0
    phases["train"]["peak_bytes"] = 2**50
    torch.save(found, path)
    record = run_cell(cell, context, Silent()).record
    assert 1000 < record.phases["train"].seconds < 1100
    assert record.phases["train"].peak_bytes == 2**50


def test_nothing_is_kept_where_it_was_not_asked_for_or_could_not_be_taken_up(
    chosen, tmp_path, prepared
):
    assert training_states(prepared(save_every=0)) is None
    file = tmp_path / "adalora.json"
    file.write_text('{"peft_type": "ADALORA", "init_r": 4, "target_r": 2, "total_step": 9}')
    assert training_states(prepared(methods=f"peft[path={file}]")) is None
    file.write_text('{"peft_type": "LORA", "r": 4}')
    assert training_states(prepared(methods=f"peft[path={file}]")) is not None
    monteclora = '{"peft_type": "LORA", "r": 4, "monteclora_config": {}}'
    file.write_text(monteclora)
    assert training_states(prepared(methods=f"peft[path={file}]")) is None


def test_a_state_that_cannot_be_written_costs_one_line_and_no_cell(chosen, tmp_path, prepared):
    whole, _ = trained(prepared, tmp_path / "none.pt", [])
    (tmp_path / "taken").write_text("a file where a folder should be")
    lines = []
    states = TrainingStates(tmp_path / "taken" / "state.pt", {}, EVERY_STEP, lines.append)
    cell = prepared()
    log = train(
        cell.attached.model, cell.cell.recipe.adapter, cell.plan, lambda *_: None, None, states
    )
    assert log.losses == whole.losses
    [line] = lines
    assert line.endswith("training goes on without")


def test_half_a_state_that_a_kill_left_goes_with_the_cell(chosen):
    options = chosen()
    [cell] = plan_grid(options, ResultsStore(options.out))
    context, store = (
        CellContext(options, Compute("cpu", "float32"), print),
        ResultsStore(options.out),
    )
    stopped_cell(context, cell, 4)
    [state] = (options.out / "unfinished").iterdir()
    (state.parent / f".{state.name}.123.tmp").write_bytes(b"half")
    result = run_cell(cell, context, Silent())
    store.write(result.record, result.rows)
    assert not state.parent.exists()


def test_writing_states_takes_no_time_of_the_training(chosen, monkeypatch):
    written = TrainingStates._replace

    def slow(self, content):
        time.sleep(0.3)
        written(self, content)

    monkeypatch.setattr(TrainingStates, "_replace", slow)
    options = chosen()
    [cell] = plan_grid(options, ResultsStore(options.out))
    context = CellContext(options, Compute("cpu", "float32"), print)
    record = run_cell(cell, context, Silent()).record
    assert record.phases["train"].seconds < 9 * 0.3


def test_halved_batches_do_not_go_on_from_whole_ones(prepared):
    cell = prepared()
    whole = training_states(cell)._path
    cell.result.update(micro_batches=2)
    assert training_states(cell)._path != whole


def test_other_trained_parameters_are_an_error(prepared, tmp_path):
    path = tmp_path / "state.pt"
    trained(prepared, path, [4])
    cell = prepared(methods="lora[r=4]+last[n=1]")
    states = TrainingStates(path, {"cell": "a"}, EVERY_STEP, print)
    with pytest.raises(ValueError, match="trains other parameters"):
        train(
            cell.attached.model,
            cell.cell.recipe.adapter,
            replace(cell.plan),
            lambda *_: None,
            None,
            states,
        )


def test_the_digest_of_a_training_tells_every_bit_of_every_loss(prepared, tmp_path):
    log, _ = trained(prepared, tmp_path / "none.pt", [])
    again, _ = trained(prepared, tmp_path / "state.pt", [4])
    assert again.digest == log.digest
    for step in range(len(log.losses)):
        other = copy.deepcopy(log)
        other.losses[step] = math.nextafter(other.losses[step], math.inf)
        assert other.digest != log.digest
    other.losses = log.losses[:-1]
    assert other.digest != log.digest
