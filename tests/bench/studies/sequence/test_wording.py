"""What the study of sequences writes and prints, of made-up answers, the same everywhere."""

from __future__ import annotations

import pytest

from bench.progress.base import Silent
from bench.store.records import Status
from bench.studies.sequence import run
from bench.studies.sequence.store import SequenceRecord, StageOutcome, Trained
from bench.studies.study_report import study_markdown
from bench.studies.terminal import study_text


def made_up(planned):
    """Right after their part, and less so the more parts follow; one sequence of full failed."""
    spec = planned.spec
    if spec.cell.method == "full" and spec.cell.seed == 1:
        reason = "loss inf at step 3"
        return Trained(SequenceRecord(spec=spec, status=Status.DIVERGED, reason=reason))
    outcomes = []
    for stage in range(3):
        for part, facts in enumerate(planned.parts, start=1):
            for place, fact in enumerate(facts):
                share = 0.2 if stage < part else 1.0 - 0.4 * (stage - part)
                right = place + 0.5 < share * len(facts)
                outcomes.append(
                    StageOutcome(
                        fact_id=fact.id, right=right, few_shot=right and place % 2 == 0,
                        generality=float(right), locality=1.0, nll=0.5, stage=stage, part=part,
                    )
                )  # fmt: skip
    drift = [[0.1 * stage + 0.001 * text for text in range(8)] for stage in (1, 2)]
    record = SequenceRecord(spec=spec, status=Status.DONE, updates=80, exposures=8.0, drift=drift)
    return Trained(record, tuple(outcomes))


@pytest.fixture
def report(sequence, monkeypatch):
    """A report of two methods and two seeds."""

    def run_missing(sequences, *_):
        return {planned.spec.digest: made_up(planned) for planned in sequences}

    monkeypatch.setattr(run, "run_missing", run_missing)
    return run.run_sequence(sequence(), Silent())


def test_what_the_tables_of_the_study_of_sequences_say(report, snapshot):
    snapshot("studies", "sequence: the page", study_markdown(report))
    snapshot("studies", "sequence: the terminal", study_text(report, width=120))


def test_a_failed_sequence_is_missing_from_its_method_alone(report):
    table = report.table.set_index(["method", "asked"])
    full = table.loc[("full", "trained prompt")]
    assert (full["seeds"], full["failed"]) == (2, 1)
    assert full["retention"] == table.loc[("lora[r=4]", "trained prompt"), "retention"] == 0.8
    assert full["backward"] == pytest.approx(-0.4)
    assert full["forward"] == 0.0
