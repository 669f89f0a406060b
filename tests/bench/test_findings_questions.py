"""Planted effects: each question says yes, no or not decidable where it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.findings.answer import Unit, Verdict, corrected_answer
from bench.findings.company import Company
from bench.findings.evidence import Evidence
from bench.findings.questions import (
    QUESTIONS,
    company,
    distance,
    keeping,
    layers,
    selection,
    straying,
)
from bench.records import Status
from bench.studies.interference_plan import TrainingSpec
from bench.studies.interference_store import FactOutcome, Trained, TrainingRecord
from tests.bench.findings_cells import Plan, evidence_of
from tests.bench.report_cells import make_spec

YES, NO, OPEN, NOT_RUN = Verdict.YES, Verdict.NO, Verdict.OPEN, Verdict.NOT_RUN


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Nothing here rests on the bootstrap of one seed, which is most of a leaderboard's time."""
    monkeypatch.setattr("bench.report.statistics.RESAMPLES", 100)


def verdicts(question, evidence):
    return [claim.verdict for claim in corrected_answer(question.answer(evidence)).claims]


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__module__.rpartition(".")[2])
def test_without_results_nothing_is_claimed(ask):
    answer = ask(Evidence(()))
    assert {claim.verdict for claim in answer.claims} == {NOT_RUN}
    assert not answer.contradicts


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__module__.rpartition(".")[2])
def test_missing_methods_and_seeds_are_never_a_crash(ask):
    evidence = evidence_of(
        Plan("pissa", 0.8, seeds=(0,), n=8),
        Plan("lora+filter", 0.8, seeds=(1,), n=8),
        Plan("lora+freeze", 0.8, seeds=(1, 2), n=8),
        Plan("corda", 0.8, seeds=(2,), n=8, distances=np.zeros(8)),
        Plan("lora", 0.8, seeds=(), n=8),
    )
    assert {claim.verdict for claim in corrected_answer(ask(evidence)).claims} <= {OPEN, NOT_RUN}


FAR = np.linspace(0.1, 1.0, 200)
ENDS = (FAR < 0.28) | (FAR > 0.82)


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        (np.where(ENDS, 0.4, 0.95), [YES, YES, YES]),
        (np.where(FAR > 0.82, 0.4, 0.95), [NO, NO, YES]),
        (np.full(200, 0.99), [NO, NO, NO]),
        (np.where(ENDS, 0.65, 0.9), [OPEN, OPEN, OPEN]),
    ],
)
def test_accuracy_falls_at_both_ends(correct, expected):
    n = 40 if OPEN in expected else 200
    chosen = slice(None, None, 200 // n)
    plans = [Plan(m, correct[chosen], n=n, distances=FAR[chosen]) for m in ("lora", "dora")]
    assert verdicts(distance, evidence_of(*plans)) == expected


def test_distance_among_unknown_facts_is_a_claim_of_its_own():
    """Known facts are learned less here, which makes the nearest bucket bad among all facts."""
    distances = np.where(np.arange(200) < 60, 0.0, FAR)
    correct = np.where(distances == 0, 0.4, np.where(FAR > 0.82, 0.4, 0.97))
    found = verdicts(distance, evidence_of(Plan("lora", correct, n=200, distances=distances)))
    assert found == [YES, NO, YES]


def test_facts_stray_near_their_targets():
    stray = np.where(np.arange(200) % 5 == 0, FAR + 0.1, 0.0)
    near, far = np.where(FAR < 0.28, FAR + 0.1, 0.0), np.where(FAR > 0.82, FAR + 0.1, 0.0)
    for after, expected in (
        (stray, [YES, OPEN]),
        (near, [YES, YES]),
        (far, [YES, NO]),
        (0.0, [NO, NO]),
    ):
        plans = [Plan(m, 1.0, n=200, distances=FAR, after=after) for m in ("lora", "dora")]
        assert verdicts(straying, evidence_of(*plans)) == [*expected, NO, NOT_RUN]


def test_facts_stray_by_method_or_by_number():
    stray = np.where(np.arange(200) % 5 == 0, FAR + 0.1, 0.0)
    plans = [
        Plan("lora", 1.0, n=200, distances=FAR, after=stray),
        Plan("dora", 1.0, n=200, distances=FAR, after=0.0),
        Plan("lora", 1.0, n=100, distances=FAR[:100], after=0.0, spec={"facts_digest": "few"}),
    ]
    assert verdicts(straying, evidence_of(*plans))[2:] == [YES, YES]
    plans[2] = replace(plans[2], after=stray[:100])
    assert verdicts(straying, evidence_of(*plans))[3] is NO


def training(size, seed, right, steps, n=40):
    """A training of the study in batches of 8 with 20 exposures, all of `n` facts measured."""
    cell = make_spec(facts=size, seed=seed, epochs=20, batch_size=8, facts_digest=f"{size}-{seed}")
    if size == 0:
        cell = cell.model_copy(update={"recipe": "", "epochs": 0, "batch_size": 0, "seed": 0})
    spec = TrainingSpec(cell=cell, max_steps=steps, measured_digest="all")
    outcomes = tuple(
        FactOutcome(f"f{i:02d}", "a", "a", bool(ok), 0.0 if ok else 0.6, 0.1, np.zeros(2, "f4"))
        for i, ok in enumerate(np.broadcast_to(right, n))
    )
    return Trained(TrainingRecord(spec=spec, status=Status.DONE, seconds=2.0), outcomes)


def trained_together(at_exposures, at_updates, seeds=(0, 1, 2), n=40):
    trained = [
        training(size, seed, right, steps, n)
        for seed in seeds
        for size, right, steps in (
            (1, True, 20),
            (32, at_exposures, 80),
            (32, at_updates, 20),
        )
    ]
    before = {o.fact_id: o for o in training(0, 0, False, 0, n).outcomes}
    return Company(trained[0].record.spec.cell, before, tuple(trained), 18.0)


def test_facts_interfere_at_equal_updates_and_not_at_equal_exposures():
    found = trained_together(True, np.arange(100) % 3 > 0, n=100)
    assert verdicts(company, Evidence((), (found,))) == [NO, YES]
    assert verdicts(company, Evidence((), (trained_together(True, True),))) == [OPEN, OPEN]
    one = trained_together(True, np.arange(100) % 3 > 0, seeds=(0,), n=100)
    assert verdicts(company, Evidence((), (one,))) == [OPEN, OPEN]


def test_company_makes_facts_stray():
    """Alone every fact reaches its target, together the known third leaves it."""
    found = trained_together(np.arange(40) % 3 > 0, True)
    known = {fact: replace(o, correct=True, distance=0.0) for fact, o in found.before.items()}
    answer = corrected_answer(straying.answer(Evidence((), (replace(found, before=known),))))
    [effect] = answer.claims[3].effects
    assert effect.value == pytest.approx(14 / 40)
    assert answer.claims[3].verdict is YES


def selected(filter_, random, drop, n=200):
    kept = np.arange(n) % 5 > 0
    other = np.arange(n) % 5 < 4
    return evidence_of(
        Plan("lora+filter", filter_, n=n, kept=kept),
        Plan("lora+random_filter", random, n=n, kept=other),
        Plan("lora+drop", drop, n=n, kept=other),
    )


def test_a_filter_has_to_beat_every_control():
    assert verdicts(selection, selected(0.9, 0.6, 0.5))[:2] == [YES, YES]
    assert verdicts(selection, selected(0.9, 0.6, 0.98))[:2] == [NO, NO]
    assert verdicts(selection, selected(0.6, 0.9, 0.9))[:2] == [NO, NO]
    assert verdicts(selection, selected(0.7, 0.6, 0.6, n=25))[:2] == [OPEN, OPEN]


def test_a_filter_is_compared_on_the_facts_that_both_train():
    effects = selection.answer(selected(0.9, 0.6, 0.5)).claims[1].effects
    assert {effect.facts for effect in effects} == {120}


@pytest.mark.parametrize("control", ["lora", "lora+uniform"])
def test_weights_of_either_sign_are_held_against_equal_ones(control):
    evidence = evidence_of(
        Plan(control, 0.6, n=200),
        Plan("lora+reweight", 0.9, n=200),
        Plan("lora+reweight[sign=-1]", 0.6, n=200),
    )
    assert verdicts(selection, evidence) == [NOT_RUN, NOT_RUN, YES, NO]
    told = selection.answer(evidence).caveats[-1]
    assert f"with equal weights {control} answers" in told
    assert "points at the most" in told


def test_weights_are_compared_where_they_are_small_and_where_they_are_large():
    light = np.arange(200) < 50
    weights = np.where(light, 0.4, 1.2)
    chances = np.where(light, 0.3, 0.9)
    answer = selection.answer(
        evidence_of(
            Plan("lora", 0.9, n=200), Plan("lora+reweight", chances, weights=weights, n=200)
        )
    )
    small, large = answer.details[-2:]
    assert small.name == "lora+reweight - lora, 50 facts of weights below 1"
    assert large.name == "lora+reweight - lora, 150 facts of weights above 1"
    assert small.value < -0.4 < -0.1 < large.value
    equal = selection.answer(evidence_of(Plan("lora", n=200), Plan("lora+reweight", n=200)))
    assert not any("weights" in effect.name for effect in equal.details)


def placed(freeze, full, window=0.5, stability=0.8, n=200):
    top, low = list(range(20, 30)), list(range(10))
    return evidence_of(
        Plan("lora", full, n=n),
        Plan(
            "lora+freeze",
            freeze,
            n=n,
            notes={"layers": top, "cut": 20, "cut_stability": stability},
            flops=1e12,
            seconds=10.0,
            luck="the same layers",
        ),
        Plan("lora+window[first=1,last=10]", window, n=n, notes={"layers": low}),
        Plan("lora+last[n=10]", freeze, n=n, notes={"layers": top}, luck="the same layers"),
        Plan("lora+last[n=20]", freeze, n=n, notes={"layers": list(range(10, 30))}),
    )


def test_freezing_matches_full_depth_loses_or_is_open():
    assert verdicts(layers, placed(1.0, 1.0)) == [YES, YES, NOT_RUN, NO, YES]
    assert verdicts(layers, placed(0.6, 0.95, window=0.6, stability=0.2))[0] is NO
    assert verdicts(layers, placed(0.6, 0.95, window=0.6, stability=0.2))[4] is NO
    assert verdicts(layers, placed(0.85, 0.9, n=24))[0] is OPEN
    assert verdicts(layers, placed(0.9, 0.9, stability=0.51))[4] is OPEN


def test_freezing_is_compared_with_equal_depth_and_says_what_it_saves():
    answer = layers.answer(placed(0.8, 0.9))
    assert [effect.name for effect in answer.claims[1].effects] == [
        "lora+freeze - lora+window[first=1,last=10]"
    ]
    [same] = answer.claims[3].effects
    assert (same.estimate.interval.low, same.estimate.interval.high) == (0.0, 0.0)
    assert [effect.value for effect in answer.measured] == [0.75, 0.75]
    assert {effect.unit for effect in answer.measured} == {Unit.PERCENT}
    assert [effect.name for effect in answer.details] == [
        "lora+freeze - lora+last[n=20]",
        "lora - lora+last[n=10]",
    ]


def kept_knowledge(kpm, others, ipm=0.8):
    lost = {"elements": others, "nq_open": 0.2}
    return evidence_of(
        *(Plan(method, 0.8, n=200, lost=lost) for method in ("lora", "pissa", "milora")),
        Plan("corda[calibration=elements]", 0.8, n=200, lost={**lost, "elements": kpm}),
        Plan("corda[mode=ipm]", ipm, n=200, lost=lost),
    )


def test_kpm_keeps_calibrated_and_other_knowledge_apart():
    assert verdicts(keeping, kept_knowledge(0.02, 0.35)) == [YES, NO, OPEN]
    assert verdicts(keeping, kept_knowledge(0.35, 0.02))[0] is NO
    answer = keeping.answer(kept_knowledge(0.02, 0.35))
    assert {effect.setting.rpartition(": ")[2] for effect in answer.claims[0].effects} == {
        "elements"
    }
    assert {effect.setting.rpartition(": ")[2] for effect in answer.claims[1].effects} == {
        "nq_open"
    }


def test_kpm_cannot_win_against_rivals_that_were_not_run():
    plans = [
        Plan("lora", 0.8, n=200, lost={"elements": 0.35}),
        Plan("corda[calibration=elements]", 0.8, n=200, lost={"elements": 0.02}),
    ]
    assert verdicts(keeping, evidence_of(*plans))[0] is OPEN
    plans[1] = replace(plans[1], lost={"elements": 0.35})
    assert verdicts(keeping, evidence_of(*plans))[0] is NO


def test_ipm_learns_more():
    assert verdicts(keeping, kept_knowledge(0.1, 0.1, ipm=1.0))[2] is YES
    assert verdicts(keeping, kept_knowledge(0.1, 0.1, ipm=0.6))[2] is NO
