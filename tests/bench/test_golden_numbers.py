"""Shared machinery keeps its numbers, or gets a new version; see `golden_numbers.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.evaluation import embedding_space
from bench.training import loop, schedule
from methods import layer_deviation
from methods.versions import MACHINERY
from tests.bench import golden_numbers
from tests.bench.golden_numbers import MEASURES, TRAINING, measured, problem, stored


def test_every_piece_of_machinery_has_numbers():
    assert {*MEASURES} == {*stored()} == {TRAINING, *MACHINERY}


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_move_with_a_version_alone(name):
    assert problem(name, stored()[name], measured(name)) == ""


def in_order(lengths, size, generator):
    indices = list(range(len(lengths)))
    return [indices[start : start + size] for start in range(0, len(lengths), size)]


@pytest.mark.parametrize(
    ("name", "module", "constant", "value"),
    [
        (TRAINING, loop, "batches_by_length", in_order),
        ("cuts", layer_deviation, "_SMALLEST", 0.5),
        ("distance", embedding_space, "CONTEXT", "So"),
    ],
)
def test_numbers_that_move_without_a_version_fail(monkeypatch, name, module, constant, value):
    before = measured(name)
    monkeypatch.setattr(module, constant, value)
    now = measured(name)
    found = problem(name, before, now)
    assert "raise its version" in found
    assert golden_numbers.COMMAND in found
    raised = replace(now, version="a new one")
    assert "run" in problem(name, before, raised), "a new version needs new numbers"
    assert problem(name, raised, raised) == ""


def test_rounding_does_not_count_and_little_more_does():
    kept = stored()["weights"]

    def scaled(factor):
        numbers = {kind: [factor * x for x in v] for kind, v in kept.numbers.items()}
        return replace(kept, numbers=numbers)

    assert problem("weights", kept, scaled(1 + 5e-5)) == ""
    assert problem("weights", kept, scaled(1 + 2e-4)) != ""
    assert problem("weights", kept, scaled(float("nan"))) != ""
    assert problem("weights", kept, replace(kept, numbers={})) != ""
    assert problem("weights", None, kept) != ""


def test_a_changed_value_of_the_schedule_is_a_version_of_its_own(monkeypatch):
    before = measured(TRAINING)
    monkeypatch.setattr(schedule, "CLIP_NORM", 0.9)
    now = measured(TRAINING)
    assert golden_numbers.moved_numbers(before.numbers, now.numbers), "training uses the value"
    assert "the table" in problem(TRAINING, before, now)


def test_the_table_is_not_written_over_numbers_that_moved(monkeypatch, tmp_path, capsys):
    table = tmp_path / "table.json"
    monkeypatch.setattr(golden_numbers, "TABLE", table)
    monkeypatch.setattr(golden_numbers, "MEASURES", {"cuts": MEASURES["cuts"]})
    assert golden_numbers.write() == 0
    written = table.read_bytes()
    monkeypatch.setattr(layer_deviation, "_SMALLEST", 0.5)
    assert golden_numbers.write() == 1
    assert "raise its version" in capsys.readouterr().err
    assert table.read_bytes() == written
    monkeypatch.setitem(MACHINERY, "cuts", replace(MACHINERY["cuts"], version=2))
    assert golden_numbers.write() == 0
    assert problem("cuts", stored()["cuts"], measured("cuts")) == ""
