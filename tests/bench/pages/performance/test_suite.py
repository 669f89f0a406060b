"""The performance suite on the two-layer model: both sides find the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench import cli
from bench.models.device import Compute
from bench.pages.performance import grid as whole
from bench.pages.performance import initialisation as preparation
from bench.pages.performance import stacked, suite
from bench.pages.performance.__main__ import NAMES, main
from bench.pages.performance.baseline.__main__ import run
from bench.pages.performance.baseline.job import Found, Job
from bench.pages.performance.entries import (
    QUICK,
    Bench,
    Outcome,
    Row,
    Size,
    Training,
    interleaved,
    share_equal,
)
from bench.pages.performance.machine import SHAPES, Machine, Measured, best_speed, read_kept
from bench.pages.performance.page import page
from bench.pages.performance.suite import ENTRIES, run_suite
from bench.store.records import Epoch
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell

SMALL = Size(
    "small",
    facts=8,
    epochs=2,
    batch_size=4,
    items=2,
    repeats=1,
    rounds=1,
    exact=0,
    scale=QUICK.scale,
)
MACHINE = Machine(
    "a processor, 2 cores", 8 * 2**30, {"torch": "2"}, "abc", {"float32": 1e9, "bfloat16": 1e8}
)


@pytest.fixture
def bench(tiny_folder, facts_file, tmp_path):
    return Bench(str(tiny_folder), str(facts_file), SMALL, ("float32",), tmp_path)


@pytest.mark.parametrize("name", ["steps", "freeze", "corda", "pissa", "evaluation"])
def test_both_sides_find_the_same(bench, name):
    outcome = ENTRIES[name](bench)
    assert outcome.rows
    compared = [row for row in outcome.rows if row.same]
    assert compared
    assert all(row.agreed for row in compared), compared
    assert all(row.usual > 0 and row.ours > 0 for row in outcome.rows)
    if name == "steps":
        assert len(outcome.trainings) == 4
        assert "by operation: " in outcome.notes[0]


@pytest.mark.parametrize(("asked", "told"), [(float("inf"), True), (0.0, False)])
def test_a_preparation_that_is_too_slow_says_what_bounds_it(bench, monkeypatch, asked, told):
    monkeypatch.setattr(preparation, "PISSA_RATIO", asked)
    threads = torch.get_num_threads()
    notes = ENTRIES["pissa"](bench).notes
    assert any("on one core: aten::" in note for note in notes) is told
    assert torch.get_num_threads() == threads


def test_a_whole_grid_finds_the_same_answers(bench, monkeypatch):
    def in_this_process(module, *arguments):
        if module == "bench":
            assert cli.main(arguments) == 0
        else:
            run(Job.read(Path(arguments[0]))).write(Path(arguments[1]))

    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    monkeypatch.setattr(whole, "METHODS", ("lora", "freeze"))
    monkeypatch.setattr(whole, "run_module", in_this_process)
    outcome = ENTRIES["grid"](bench)
    [row] = outcome.rows
    assert row.agreed, row.same
    assert row.same.startswith("100% of answers equal"), "float32 on one machine"
    assert [note.partition(",")[0] for note in outcome.notes[:-1]] == ["lora", "lora+freeze"]
    assert all("path" in note for note in outcome.notes), "drift after the first epoch"


def test_the_small_grid_has_a_row_for_one_cell(bench, monkeypatch):
    def run_grid(_, methods, out, **more):
        ran.append((methods, out.name, more))

    found = Found([], [], [], [], [], [], [], [], [], {"train": 1.0})
    cells = [
        whole._Cell(make_cell(n=8, spec={"method": name})[0], 9.0, found, 1.0, 0.0)
        for name in whole.SMALL_METHODS
    ]
    ran = []
    monkeypatch.setattr(whole, "run_grid", run_grid)
    monkeypatch.setattr(whole, "_both_sides", lambda *_: whole._Sides(4.0, cells))
    outcome = ENTRIES["grid-small"](bench)
    cell, grid = outcome.rows
    assert ran == [(("lora",), "one-cell", {})]
    assert cell.usual == 9.0
    assert (grid.usual, grid.ours, grid.ratio) == (36.0, 4.0, 9.0)
    assert grid.reached
    assert "baseline's 36 s they take 4 s" in outcome.notes[-1]
    assert "9.0x" in outcome.notes[-1], "what training alone leaves as a bound"


@pytest.mark.parametrize(
    ("moved", "agreed"),
    [((0, 0), True), ((5e-6, 5e-5), True), ((5e-5, 0), False), ((0, 5e-4), False)],
)
def test_stacked_cells_are_compared_with_the_same_cells_alone(bench, monkeypatch, moved, agreed):
    def run_grid(_, methods, out, **more):
        ran.append((out.name, more["stack"], more["lr"], more["workers"]))
        losses = [2 * (1 + step * (more["stack"] > 1)) for step in moved]
        curve = [Epoch(epoch=n, loss=x, token_accuracy=0.5) for n, x in enumerate(losses, 1)]
        made = [make_cell(n=8, spec={"method": name}) for name in methods]
        fill(out, [(cell.model_copy(update={"curve": curve}), rows) for cell, rows in made])

    ran = []
    monkeypatch.setattr(stacked, "run_grid", run_grid)
    outcome = ENTRIES["stacked"](bench)
    [row] = outcome.rows
    assert row.agreed is agreed, row.same
    assert ran == [("stack-8", 8, "0.0001,0.0003", 1), ("stack-1", 1, "0.0001,0.0003", 1)]
    assert "Phases of all stacked cells: " in outcome.notes[0]


def test_both_kinds_of_device_stand_side_by_side():
    gpu = dataclasses.replace(MACHINE, processor="a GPU", device="cuda")
    on_cpu = Outcome([Row("a step", 2.0, 1.0), Row("a product", 3.0, 1.0)])
    on_gpu = Outcome([Row("a step", 0.5, 0.1)], notes=["A note."])
    measured = {
        "cpu": {"steps": Measured("first", MACHINE, 1.0, on_cpu)},
        "cuda": {"steps": Measured("second", gpu, 1.0, on_gpu)},
    }
    text = page(measured)
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:1] == "|"}
    assert [cell.strip() for cell in lines["a step"].split("|")[2:5]] == ["2", "1", "2.00x"]
    assert "5.00x" in lines["a step"]
    assert "5.00x" not in lines["a product"]
    assert "GPU: ours (s)" in lines[""]
    assert "- GPU: a GPU, 8 GiB" in text
    assert "- GPU. A note." in text
    assert "measured on a GPU" not in text
    alone = page({"cpu": measured["cpu"]})
    assert "Nothing here was measured on a GPU" in alone
    assert alone.count("not measured") == 2, "one for each line of the table"


def test_rounds_take_turns_and_the_first_is_not_counted():
    calls = []

    def run(name, seconds):
        calls.append(name)
        return seconds.pop(0)

    slow, fast = [99.0, 3.0, 5.0, 4.0], [98.0, 1.0, 1.0, 9.0]
    found = interleaved({"a": lambda: run("a", slow), "b": lambda: run("b", fast)}, 3)
    assert found == {"a": 4.0, "b": 1.0}
    assert calls == ["a", "b"] * 4
    assert interleaved({"a": lambda: 7.0}, 1, warm=False) == {"a": 7.0}
    assert share_equal([1, 2, 3, 4], [1, 2, 0, 4]) == 0.75


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("x", 8.0, 2.0, 4.0), "| reached "),
        (Row("x", 7.0, 2.0, 4.0), "| not reached "),
        (Row("x", 7.0, 2.0, 4.0, "losses within 1", agreed=False), "| numbers differ "),
    ],
)
def test_the_page_says_what_was_reached_and_on_what(row, verdict):
    training = Training("lora, float32, ours", seconds=0.5, flops=2e8, dtype="float32")
    outcome = Outcome([row], [training], ["A note."])
    text = page({"cpu": {"steps": Measured("nox -s perf -- --full", MACHINE, 61.0, outcome)}})
    assert verdict in text
    assert "`nox -s perf -- --full`, at commit abc: steps 1 min 1 s" in text
    assert "- Not trained in bfloat16: " in text
    assert "Nothing here was measured on a GPU: none was at hand." in text
    assert "| 40%" in text, "0.2 s of products in a step of 0.5 s"
    assert "- A note." in text


def test_the_page_keeps_what_other_runs_measured(bench, tmp_path, monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("no such luck")

    found = {"steps": Outcome([Row("a step", 2.0, 1.0)]), "freeze": Outcome([Row("x", 3.0, 1.0)])}
    for name, outcome in found.items():
        monkeypatch.setitem(suite.ENTRIES, name, lambda _, outcome=outcome: outcome)
    monkeypatch.setitem(suite.ENTRIES, "corda", fail)
    out = tmp_path / "page.md"
    assert run_suite(bench, ["freeze"], "first", MACHINE, out)
    first = out.read_text()
    assert not run_suite(bench, ["corda", "steps"], "second", MACHINE, out)
    assert "no such luck" in capsys.readouterr().err
    text = out.read_text()
    assert "`first`" in text
    assert text.index("`second`") < text.index("`first`"), "in the order of the entries"
    assert "| a step" in text
    assert "| x " in text
    kept = read_kept(tmp_path / "page.json")["cpu"]
    assert list(kept) == ["steps", "freeze"]
    assert page({"cpu": {"freeze": kept["freeze"]}}) == first
    assert text.count("- CPU: ") == 1, "both ran on the same one"
    (tmp_path / "page.json").write_text('{"cpu": 1}')
    with pytest.raises(UsageError, match=r"page.json' does not hold measurements: cpu: "):
        run_suite(bench, ["freeze"], "third", MACHINE, out)


def test_dtypes_that_a_machine_emulates_are_left_out():
    assert MACHINE.has_units("float32")
    assert not MACHINE.has_units("bfloat16")


def test_the_command_knows_every_entry(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    monkeypatch.setattr(
        "bench.pages.performance.suite.run_suite", lambda *a: asked.append(a) or True
    )
    monkeypatch.setattr("bench.pages.performance.machine.this_machine", lambda device: MACHINE)
    assert tuple(ENTRIES) == NAMES
    page_path = str(tmp_path / "page.md")
    done = CliRunner().invoke(main, ["--full", "--only", "corda", "--out", page_path])
    assert done.exit_code == 0, done.output
    [(bench, names, _, machine, out)] = asked
    assert (bench.size.name, bench.dtypes, names) == ("full", ("float32",), ("corda",))
    assert (machine, str(out)) == (MACHINE, page_path)
    assert CliRunner().invoke(main, []).exit_code == 0
    bench, names, *_ = asked[1]
    assert (bench.size, bench.dtypes, names) == (QUICK, ("float32",), QUICK.entries)
    assert set(QUICK.entries) < set(NAMES)
    assert bench.device == "cpu"
    assert CliRunner().invoke(main, ["--only", "corba"]).exit_code == 2
    monkeypatch.setattr(
        "bench.models.device.choose_compute", lambda *_: Compute("cuda:0", "bfloat16")
    )
    assert CliRunner().invoke(main, ["--full", "--device", "cuda", "--out", page_path]).output == ""
    bench, names, *_ = asked[2]
    assert (bench.device, bench.dtypes) == ("cuda:0", ("bfloat16", "float32"))
    assert names == [name for name in NAMES if name != "scale"]
    refused = CliRunner().invoke(main, ["--device", "cuda", "--only", "scale"])
    assert refused.exit_code == 2
    assert "leave out --device" in refused.output
    monkeypatch.setattr("bench.models.device.choose_compute", lambda *_: Compute("mps", "float32"))
    refused = CliRunner().invoke(main, ["--device", "mps"])
    assert refused.exit_code == 2
    assert "--device mps is not measured" in refused.output


def test_no_larger_product_is_tried_in_a_dtype_that_is_emulated(monkeypatch):
    tried = []

    def speed(dtype, *shape):
        *shape, _device = shape
        tried.append(tuple(shape))
        return 1e9 if dtype == "bfloat16" else 1e11

    monkeypatch.setattr("bench.pages.performance.machine.gemm_speed", speed)
    assert best_speed("bfloat16") == 1e9
    assert tried == [SHAPES[0]]
    assert best_speed("float32") == 1e11
    assert tried[1:] == list(SHAPES)
