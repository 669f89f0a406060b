"""Shared machinery keeps its numbers, or gets a new version; see `golden_numbers.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.cell import attach
from bench.cell.decisions import decide
from bench.evaluation import embedding_space, knowledge_category, signals
from bench.forgetting import drift
from bench.inference import generation, likelihood
from bench.inference.likelihood import fact_losses, target_logits
from bench.training import loop, rows, schedule
from methods import calibration, covariance, difference, layer_deviation
from methods.adapters.peft import Peft
from methods.encoder import Encoded
from methods.explained_variance import Directions
from methods.versions import MACHINERY
from methods.weighting import DistanceWeights
from tasks import prompt, scoring
from tasks.form import Form
from tasks.prompt import Prompt
from tests.bench import golden_numbers
from tests.bench.golden_numbers import EVALUATED, MEASURES, TRAINING, measured, problem, stored


def test_every_piece_of_machinery_has_numbers():
    assert {*MEASURES} == {*stored()} == {TRAINING, EVALUATED, *MACHINERY}


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_move_with_a_version_alone(name):
    assert problem(name, stored()[name], measured(name)) == ""


def in_order(lengths, size, generator):
    indices = list(range(len(lengths)))
    return [indices[start : start + size] for start in range(0, len(lengths), size)]


@pytest.mark.parametrize(
    ("name", "module", "constant", "value"),
    [
        (TRAINING, rows, "batches_by_length", in_order),
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
    raised = replace(now, version=golden_numbers.count_of(before.version) + 1)
    assert "run" in problem(name, before, raised), "a new version needs new numbers"
    assert problem(name, raised, raised) == ""


def of_the_next_seed(recipe, signals, layer_count, seed):
    return decide(recipe, signals, layer_count, seed + 1)


def uncentred_directions(measured, key, count):
    """What EVA's directions would be if their variance was that around 0."""
    values = torch.linalg.eigvalsh(measured.per_token(key)).flip(0)
    return Directions(torch.empty(0), values[:count] / values.sum())


EDITS = [
    (TRAINING, schedule, "rate_factor", lambda *_: lambda step: 1 / (1 + step)),
    (TRAINING, loop, "hash_fraction", lambda *_: 0.5),
    (TRAINING, loop, "fact_losses", lambda *given: [2 * each for each in fact_losses(*given)]),
    (TRAINING, attach, "data_order_seed", lambda *_: 1),
    (TRAINING, attach, "decide", of_the_next_seed),
    (TRAINING, DistanceWeights, "refreshed", lambda *_: False),
    (TRAINING, Peft, "extra_loss", lambda *_: None),
    (TRAINING, Peft, "after_step", lambda *_: None),
    (EVALUATED, Form, "target", lambda _, answer: f" {answer}."),
    (EVALUATED, Form, "token_budget", lambda *_: 32),
    (EVALUATED, Prompt, "few_shot", lambda _, question: prompt.question_text(question)),
    (EVALUATED, scoring, "normalise", str.casefold),
    (EVALUATED, scoring, "_f1", lambda one, other: float(one == other)),
    (EVALUATED, scoring, "_words", str.split),
    (EVALUATED, generation, "greedy", lambda logits, *_: logits.argmin(-1)),
    (EVALUATED, generation, "hash_fraction", lambda *_: 0.5),
    (EVALUATED, likelihood, "target_logits", lambda *given: 2 * target_logits(*given)),
    (EVALUATED, signals, "_correct", lambda _, facts: torch.ones(len(facts))),
    (EVALUATED, knowledge_category, "TEMPERATURE", 5.0),
    (EVALUATED, drift, "_mean_divergences", lambda p, q: (p - q).abs().mean((1, 2)).double()),
    (EVALUATED, drift, "SEED", 1),
    (EVALUATED, drift, "TOKENS", 63),
    (EVALUATED, drift, "STARTS", ("The",) * 8),
    ("distance", embedding_space.AnswerSpace, "movement", lambda *_: 0.0),
    ("distance", embedding_space, "answer_distance", lambda table, one, many: float(len(many))),
    ("distance", Encoded, "distances", lambda _, signals: signals.distance),
    ("weights", DistanceWeights, "refreshed", lambda _, epoch: epoch > 1),
    ("calibration", calibration, "fact_text", lambda fact: fact.question),
    ("calibration", calibration, "calibration_facts", lambda facts, samples: facts[:samples]),
    ("covariance", covariance, "_Accumulator", lambda _, kind=covariance._Accumulator: kind(True)),
    ("low-rank adapters", difference, "begin", lambda *_, **__: None),
    ("gradient", signals, "fact_losses", lambda logits, labels: (logits.logsumexp((1, 2)), None)),
    ("explained variance", golden_numbers, "main_directions", uncentred_directions),
]


@pytest.mark.parametrize(("name", "place", "formula", "value"), EDITS)
def test_an_edited_formula_moves_its_numbers(monkeypatch, name, place, formula, value):
    monkeypatch.setattr(place, formula, value)
    assert "raise its version" in problem(name, stored()[name], measured(name))


def test_every_number_is_judged_by_its_own_size():
    kept = golden_numbers.Golden(1, {"one": [100.0, 20.0, 0.0]})

    def moved(*numbers):
        return problem("weights", kept, replace(kept, numbers={"one": [*numbers]}))

    assert moved(100.009, 20.0019, 0.0009) == ""
    assert all([moved(100.011, 20, 0), moved(100, 20.0021, 0), moved(100, 20, 0.0011)])


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
    written = table.read_bytes()
    monkeypatch.setitem(MACHINERY, "cuts", replace(MACHINERY["cuts"], version=0))
    assert golden_numbers.write() == 1, "the version was lowered"
    assert "less than" in capsys.readouterr().err
    assert table.read_bytes() == written
    monkeypatch.setitem(MACHINERY, "cuts", replace(MACHINERY["cuts"], version=2))
    assert golden_numbers.write() == 0
    assert problem("cuts", stored()["cuts"], measured("cuts")) == ""
