"""Adapters at default and at tuned rates: which differences are told, and in which setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.findings.answer import Verdict, corrected_answer
from bench.findings.questions import distance, rates, straying
from tests.bench.findings_cells import Plan, evidence_of

YES, NO, NOT_RUN = Verdict.YES, Verdict.NO, Verdict.NOT_RUN


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Nothing here rests on the bootstrap of one seed, which is most of a leaderboard's time."""
    monkeypatch.setattr("bench.report.statistics.RESAMPLES", 100)


def verdicts(evidence):
    return [claim.verdict for claim in corrected_answer(rates.answer(evidence)).claims]


def test_adapters_at_default_rates():
    same = [Plan(method, 1.0, n=200) for method in ("lora", "dora", "pissa")]
    assert verdicts(evidence_of(*same)) == [NOT_RUN, NO, NOT_RUN]
    same[2] = replace(same[2], correct=0.6)
    assert verdicts(evidence_of(*same)) == [NOT_RUN, YES, NOT_RUN]


RATES = (3e-4, 1e-3)


def at_both_rates(default, tuned):
    """Three adapters at default and at tuned rates; the chances are those of pissa."""
    adapters = ("lora", "dora", "pissa")
    for chances, tried in ((default, ()), (tuned, RATES)):
        for method in adapters:
            chance = chances if method == "pissa" else 1.0
            yield Plan(method, chance, n=200, tuned=tried)


def test_differences_that_tuning_removes_keeps_or_brings():
    assert verdicts(evidence_of(*at_both_rates(0.6, 1.0))) == [NO, YES, YES]
    assert verdicts(evidence_of(*at_both_rates(0.6, 0.6))) == [YES, YES, NO]
    assert verdicts(evidence_of(*at_both_rates(1.0, 0.6))) == [YES, NO, NO]


def test_tuned_settings_are_told_in_place_of_default_ones():
    evidence = evidence_of(*at_both_rates(0.6, 1.0))
    assert [setting.tuned for setting in evidence.settings] == [False, True]
    default, tuned = evidence.settings
    assert {row.spec.learning_rate for row in tuned.rows.values()} == {RATES[0]}
    assert default.spec.facts_digest != tuned.spec.facts_digest
    for question in (distance, straying):
        answer = question.answer(evidence)
        assert {effect.setting for effect in answer.claims[0].effects} == {tuned.title}
