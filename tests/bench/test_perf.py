"""The performance suite on the two-layer model: both sides find the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import cli
from bench.perf import whole
from bench.perf.__main__ import DTYPES, NAMES, main
from bench.perf.entries import QUICK, Bench, Outcome, Row, Size, Training, interleaved, share_equal
from bench.perf.machine import Machine
from bench.perf.page import page
from bench.perf.suite import ENTRIES
from bench.perf.usual.__main__ import run
from bench.perf.usual.job import Job

SMALL = Size(
    "small", facts=8, epochs=2, batch_size=4, items=2, repeats=1, exact=0, scale=QUICK.scale
)
MACHINE = Machine("a processor, 2 cores", 8 * 2**30, {"torch": "2"}, "abc", {"float32": 1e9})


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


def test_a_whole_grid_finds_the_same_answers(bench, monkeypatch):
    def in_this_process(module, *arguments):
        if module == "bench":
            assert cli.main(arguments) == 0
        else:
            run(Job.read(Path(arguments[0]))).write(Path(arguments[1]))

    monkeypatch.setattr("bench.quiet.quiet_libraries", lambda: None)
    monkeypatch.setattr(whole, "METHODS", ("lora", "freeze"))
    monkeypatch.setattr(whole, "_run", in_this_process)
    outcome = ENTRIES["grid"](bench)
    [row] = outcome.rows
    assert row.agreed, row.same
    assert [note.partition(":")[0] for note in outcome.notes] == ["lora", "lora+freeze"]


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
    outcomes = {"steps": Outcome([row], [training], ["A note."])}
    text = page("nox -s perf -- --full", MACHINE, outcomes)
    assert verdict in text
    assert "`nox -s perf -- --full`" in text
    assert "Nothing here was measured on a GPU." in text
    assert "| 40%" in text, "0.2 s of products in a step of 0.5 s"
    assert "- A note." in text


def test_the_command_knows_every_entry(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.quiet.quiet_libraries", lambda: None)
    monkeypatch.setattr("bench.perf.suite.run_suite", lambda *a: asked.append(a) or True)
    assert tuple(ENTRIES) == NAMES
    page_path = str(tmp_path / "page.md")
    done = CliRunner().invoke(main, ["--full", "--only", "corda", "--out", page_path])
    assert done.exit_code == 0, done.output
    [(bench, names, _, out)] = asked
    assert (bench.size.name, bench.dtypes, names, str(out)) == (
        "full",
        DTYPES,
        ("corda",),
        page_path,
    )
    assert CliRunner().invoke(main, []).exit_code == 0
    bench, names, *_ = asked[1]
    assert (bench.size, bench.dtypes, names) == (QUICK, ("float32",), QUICK.entries)
    assert set(QUICK.entries) < set(NAMES)
    assert CliRunner().invoke(main, ["--only", "corba"]).exit_code == 2
