"""The questions on cells with planted effects: a yes, a no, and what stays open."""

from __future__ import annotations

import numpy as np
import pytest

from bench.pages.findings.evidence import Evidence
from bench.pages.findings.questions import QUESTIONS, distance, keeping, speed
from bench.pages.findings.verdict import Verdict
from bench.pages.findings.write import page_text, read_findings
from tests.bench.findings_cells import Plan, evidence_of

TRAINED = {"epochs": 6, "schedule": "constant", "task": "fictional[n=2000]"}
CORDA = "corda[calibration=countries]"


def plan(method="lora", n=64, **changes):
    settings = {"n": n, "seeds": tuple(range(8)), "tuned": (1e-3,), "known": False}
    spec = {**TRAINED, **changes.pop("spec", {})}
    return Plan(method, spec=spec, **{**settings, "epochs": 3, "drift": 0.4, **changes})


@pytest.mark.parametrize(
    ("epochs", "verdict"), [(2, Verdict.YES), (3, Verdict.NO), (4, Verdict.NO)]
)
def test_pissa_learns_sooner_by_an_epoch_or_not_at_all(epochs, verdict):
    found = speed.answer(evidence_of(plan(), plan("pissa", epochs=epochs)))
    assert found.verdict is verdict
    assert found.claims[1].verdict is (Verdict.NO if epochs == 3 else Verdict.YES)


def test_facts_that_the_base_knows_do_not_count():
    known = np.arange(64) < 32
    pissa = plan("pissa", epochs=np.where(known, 1, 3), known=known)
    found = speed.answer(evidence_of(plan(known=known), pissa))
    assert found.verdict is Verdict.NO
    assert found.claims[0].effects[0].facts == 32


def test_four_seeds_decide_nothing_and_other_trainings_are_not_asked():
    few = [plan(m, seeds=(0, 1, 2, 3), epochs=e) for m, e in (("lora", 4), ("pissa", 2))]
    assert speed.answer(evidence_of(*few)).verdict is Verdict.OPEN
    cosine = [plan(m, spec={"schedule": "cosine"}) for m in ("lora", "pissa")]
    assert speed.answer(evidence_of(*cosine)).verdict is Verdict.NOT_RUN


RELATIONS = [f"relation {i % 4}" for i in range(512)]


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(2, 2, Verdict.YES), (2, 0, Verdict.NO), (0, 0, Verdict.NO)],
)
def test_both_ends_must_be_slower_than_the_middle(near, far, verdict):
    distances = np.linspace(0.1, 1.0, 512)
    epochs = 3 + np.where(distances < 0.4, near, np.where(distances > 0.7, far, 0))
    made = plan(n=512, distances=distances, relations=RELATIONS, epochs=epochs)
    assert distance.answer(evidence_of(made)).verdict is verdict


def test_a_difference_between_relations_is_none_of_distance():
    relation = np.arange(512) * 3 // 512
    distances = 0.2 + 0.3 * relation + np.tile(np.linspace(0, 0.05, 512 // 64), 64)
    made = plan(
        n=512,
        distances=distances,
        relations=[f"relation {i}" for i in relation],
        epochs=np.array([5, 2, 5])[relation],
    )
    found = distance.answer(evidence_of(made))
    assert found.verdict is Verdict.NO
    assert min(effect.value for effect in found.details) > 2, "with relations mixed it looks so"


@pytest.mark.parametrize(
    ("drift", "verdict"), [(0.2, Verdict.YES), (0.4, Verdict.NO), (0.6, Verdict.NO)]
)
def test_drift_is_compared_at_equal_learning(drift, verdict):
    found = keeping.answer(evidence_of(plan(), plan(CORDA, drift=drift)))
    assert found.verdict is verdict
    expected = np.log(0.4 / drift)
    assert found.claims[0].effects[0].value == pytest.approx(expected, abs=0.12)


def test_learning_less_is_no_keeping():
    slow = plan(CORDA, drift=0.4, epochs=5)
    found = keeping.answer(evidence_of(plan(), slow))
    assert found.verdict is Verdict.NO
    assert found.claims[0].effects[0].value < 0, "by then it has drifted more"


def test_without_cells_every_question_says_that_it_was_not_run(tmp_path):
    assert {ask(Evidence(())).verdict for ask in QUESTIONS} == {Verdict.NOT_RUN}
    page = page_text(read_findings(tmp_path, QUESTIONS), tmp_path, tmp_path)
    assert page.count("**not run yet**") == len(QUESTIONS)
