"""Texts in grids: several adapters, cells that are trained together, and rates that are tuned."""

from __future__ import annotations

import json

import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.report.write import write_report
from bench.store.asks import Asks
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.division import FactSet
from tests.bench.test_running_together import assert_same_numbers

ROOMS = ("hall", "barn", "mill", "attic", "tower", "cellar", "porch", "vault")
NAME = "handbook.txt[questions=q.jsonl]"


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch):
    """Run a grid on eight passages with a question about each; return options and records."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handbook.txt").write_text(
        "\n\n".join(f"The key to the {room} is called {room[:2]}." for room in ROOMS)
    )
    rows = [{"question": f"Which key opens the {room}?", "answer": room[:2]} for room in ROOMS]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def grid(**changes):
        given = {
            "methods": "lora[r=4],dora[r=4]",
            "tasks": "handbook.txt[window=32]",
            "questions": "q.jsonl",
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 2,
            "epochs": 2,
            "batch_size": 2,
            "device": "cpu",
            "workers": 1,
        }
        options = build_options({**given, **changes})
        records = run_grid(options, Silent()).records
        for record in records:
            assert record.status is Status.DONE, record.traceback or record.reason
        return options, {record.cell_id: record for record in records}

    return grid


@pytest.mark.parametrize("learn", ["texts", "both"])
def test_cells_that_train_texts_together_have_the_numbers_of_each_alone(run, learn):
    tasks = f"handbook.txt[window=32,learn={learn}]"
    forgetting = "drift" if learn == "texts" else "none"
    options, alone = run(tasks=tasks, out="alone", forgetting=forgetting)
    together, stacked = run(tasks=tasks, out="together", stack=2, forgetting=forgetting)
    assert {record.spec.method for record in alone.values()} == {"lora[r=4]", "dora[r=4]"}
    assert alone.keys() == stacked.keys()
    for cell_id, one in alone.items():
        assert (one.stacked, stacked[cell_id].stacked) == (1, 2)
        assert_same_numbers(one, stacked[cell_id])
        assert one.asks is (Asks.QUESTIONS if learn == "texts" else Asks.TRAINED_QUESTIONS)
        assert stacked[cell_id].asks is one.asks
        curves = [ResultsStore(o.out).rows(cell_id)["curve"] for o in (options, together)]
        assert [len(curve) for curve in curves[0]] == [3] * len(ROOMS)
        assert [list(c) for c in curves[1]] == [pytest.approx(list(c)) for c in curves[0]]
    losses = [record.curve[-1].loss for record in alone.values()]
    assert losses[0] != losses[1], "two methods"


def test_rates_are_tuned_by_some_questions_and_reported_by_the_others(run):
    options, records = run(
        methods="dora[r=4]", lr="1e-3,1e-2", tune_seeds=1, stack=2, forgetting="none"
    )
    sets = {fact_set: [] for fact_set in FactSet}
    for record in records.values():
        sets[record.spec.tuned.fact_set].append(record)
    tried, [reported] = sets[FactSet.TUNING], sets[FactSet.REPORTING]
    assert {record.spec.learning_rate for record in tried} == {1e-3, 1e-2}
    assert reported.spec.learning_rate in {1e-3, 1e-2}
    asked = [
        {*ResultsStore(options.out).rows(record.cell_id)["question"]}
        for record in (*tried, reported)
    ]
    assert asked[0] == asked[1]
    assert asked[0].isdisjoint(asked[2])
    assert len(asked[0] | asked[2]) == len(ROOMS)
    # All of the text is trained in any case: which passage tells what is not known.
    assert {record.spec.lessons for record in records.values()} == {len(ROOMS)}
    assert len({record.spec.lessons_digest for record in records.values()}) == 1
    text = write_report(options.out, wanted_plots="none").markdown.read_text("utf-8")
    assert f"chosen by {len(asked[0])} other questions" in text
    assert f"{len(asked[2])} questions, asked after training on {len(ROOMS)} passages" in text
    assert "facts about other subjects" not in text
