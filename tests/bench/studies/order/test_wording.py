"""What the study of order writes and prints, of made-up answers that are the same everywhere."""

from __future__ import annotations

import pytest

from bench.progress.base import Silent
from bench.store.records import Status
from bench.studies.order import run
from bench.studies.order.store import FactOutcome, OrderRecord, Trained
from bench.studies.study_report import study_markdown
from bench.studies.terminal import study_text


def made_up(training):
    """One after another the last third is right, in epochs most are; batches of seed 2 failed."""
    spec, size = training.spec, len(training.facts)
    if spec.cell.batch_size > 1 and spec.cell.seed == 2 and not spec.until_learned:
        reason = "loss inf at step 3"
        return Trained(OrderRecord(spec=spec, status=Status.DIVERGED, reason=reason))
    outcomes = []
    for place, fact in enumerate(training.facts):
        mixed = (place * 7 + spec.cell.seed * 3) % 10
        right = place >= 2 * size / 3 if spec.depth_first else mixed < 8
        outcomes.append(
            FactOutcome(
                fact_id=fact.id, right=right, few_shot=right and mixed < 5,
                generality=float(right and mixed < 7), locality=None, nll=0.5, place=place,
                exposures=4, taught=True, right_then=right or spec.depth_first, known=place == 0,
            )
        )  # fmt: skip
    drift = [0.1 * (1 + spec.depth_first) + 0.001 * text for text in range(8)]
    record = OrderRecord(
        spec=spec, status=Status.DONE, updates=4 * size, exposures=4.0, drift=drift
    )
    return Trained(record, tuple(outcomes))


@pytest.fixture
def report(order, monkeypatch):
    """A report of three seeds, one fact alone and ten together."""

    def run_missing(trainings, *_):
        return {training.spec.digest: made_up(training) for training in trainings}

    monkeypatch.setattr(run, "run_missing", run_missing)
    return run.run_order(order(sizes="1,10", seeds="0-2"), Silent())


def test_what_the_table_of_the_study_of_order_says(report, snapshot):
    command = report.command
    assert "study order" in command
    snapshot("studies", "order: the page", study_markdown(report))
    snapshot("studies", "order: the terminal", study_text(report, width=120))


def test_the_last_panel_shows_facts_by_their_place(report):
    """Two halves of ten facts: one after another, none of the first half is right in the end."""
    panel = report.figure.axes[-1]
    assert panel.get_title(loc="left") == "K = 10, until learned"
    lines = [line for line in panel.get_lines() if line.get_linestyle() == "-"]
    assert list(lines[0].get_ydata()) == [0.0, 60.0]
    [then] = [line for line in panel.get_lines() if line.get_linestyle() == ":"]
    assert list(then.get_ydata()) == [100.0, 100.0]
