"""`--evaluate`: what was learned, measured on the pristine base and on the trained model."""

import json

import pandas as pd
import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import CellState
from bench.progress.base import Silent
from bench.report.leaderboard.load import load_leaderboard
from bench.report.show import show_cell
from bench.report.write import write_report
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tasks.problems.competition_math import CompetitionMath
from tasks.problems.gsm8k import Gsm8k

TASKS = {
    "metamath_train": [
        {"query": f"Add {i} and 1.", "response": f"{i}+1={i + 1}\nThe answer is: {i + 1}"}
        for i in range(6)
    ],
    "gsm8k_test": [{"question": f"{i}+1?", "answer": f"#### {i + 1}"} for i in range(6)],
    "math_test": [{"problem": f"{i}+1?", "solution": f"\\boxed{{{i + 1}}}"} for i in range(6)],
    "webqs_test": [
        {"question": f"who is {name}", "answers": [name, "nobody"]} for name in ("A", "B", "C")
    ],
}

PUBLISHED = """
title: Somebody's table
task: metamath
settings: {lessons: 6}
spread: 2.0
sources: {paper: a paper, code: its code}
values:
  - model: MODEL
    method: lora[r=4]
    scores: {gsm8k: {paper: 0.5, code: 1.0}, math: {paper: 44.0}}
  - model: MODEL
    method: lora[r=8]
    scores: {gsm8k: {paper: 99.0}}
  - model: another
    method: lora[r=4]
    scores: {gsm8k: {paper: 99.0}}
"""


@pytest.fixture
def options(tiny_folder, tmp_path, monkeypatch):
    """Options of a run on the two-layer model with local files in the sources' formats."""
    for kind in (Gsm8k, CompetitionMath):
        monkeypatch.setattr(kind, "longest", 3)
    data = tmp_path / "data"
    data.mkdir()
    for name, rows in TASKS.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (data / f"{name}.jsonl").write_text(text)

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": "metamath",
            "models": str(tiny_folder),
            "forgetting": "none",
            "evaluate": "gsm8k,lm_eval:webqs",
            "evaluate_limit": 5,
            "batch_size": 2,
            "device": "cpu",
            "workers": 1,
            "data_dir": data,
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def test_what_was_learned_is_recorded_and_completed_by_a_later_run(options):
    chosen = options()
    [record] = run_grid(chosen, Silent()).records
    assert record.status is Status.DONE, record.traceback or record.reason
    assert (record.spec.lessons, record.spec.facts, record.spec.epochs) == (6, 0, 1)
    first = {entry.task: entry for entry in record.evaluated}
    assert list(first) == ["gsm8k", "lm_eval:webqs"]
    assert len(first["gsm8k"].tuned_items) == len(first["gsm8k"].base_items) == 5
    assert {entry.limit for entry in record.evaluated} == {5}
    assert first["lm_eval:webqs"].metric == "exact_match"

    [done] = plan_grid(chosen, ResultsStore(chosen.out))
    assert done.state is CellState.DONE
    more = options(evaluate="gsm8k,math,lm_eval:webqs")
    [lacking] = plan_grid(more, ResultsStore(more.out))
    assert (lacking.state, lacking.why) == (CellState.LACKS, "math (--evaluate)")
    assert lacking.cell_id == done.cell_id, "what is measured is no part of a cell's identity"
    fewer = options(evaluate="math")
    [again] = run_grid(fewer, Silent()).records
    assert [entry.task for entry in again.evaluated] == ["math", "gsm8k", "lm_eval:webqs"]
    assert again.evaluated[1:] == record.evaluated


def test_reports_show_what_was_learned_beside_what_was_published(options):
    chosen = options(evaluate="gsm8k,math", methods="lora[r=4],lora[r=2]")
    run_grid(chosen, Silent())
    text = PUBLISHED.replace("MODEL", chosen.models[0])
    (chosen.out / "published.yaml").write_text(text)
    write_report(chosen.out)
    [section] = load_leaderboard(chosen.out).sections
    assert section.evaluated_tasks == ("gsm8k", "math")
    found = {one.task: one for one in section.published}
    assert {one.label for one in section.published} == {"lora[r=4]"}
    assert found["gsm8k"].band == (0.0, 1.75), "as wide as releases are apart"
    assert found["gsm8k"].ours == 0.0
    assert found["gsm8k"].is_hit
    assert found["math"].band == (43.0, 45.0)
    assert found["math"].is_hit is False
    frame = pd.read_csv(chosen.out / "leaderboard.csv")
    assert list(frame["learned.gsm8k"]) == list(frame["learned_base.gsm8k"]) == [0.0, 0.0]
    for name in ("leaderboard.md", "leaderboard.html"):
        table = (chosen.out / name).read_text()
        for told in ("learned gsm8k", "Somebody's table", "6 trained examples"):
            assert told in table.replace("&#39;", "'"), (name, told)
        assert "nan%" not in table
    [one, _] = ResultsStore(chosen.out).records().records
    assert "gsm8k" in show_cell(chosen.out, one.cell_id, width=120, color=False)
    (chosen.out / "published.yaml").write_text("title: x")
    with pytest.raises(UsageError, match=r"published\.yaml: task: is missing"):
        load_leaderboard(chosen.out)


def test_stacked_cells_are_scored_as_each_alone(options):
    alone, stacked = (
        run_grid(
            options(seeds="0,1", stack=size, evaluate="lm_eval:webqs", out=options().out / size),
            Silent(),
        ).records
        for size in ("1", "2")
    )
    assert [record.stacked for record in stacked] == [2, 2]
    for one, other in zip(alone, stacked, strict=True):
        assert one.evaluated == other.evaluated


@pytest.mark.parametrize(
    ("given", "piece"),
    [
        ("countries", "write gsm8k, math or lm_eval:NAME"),
        ("gsm8k,none", "'none' cannot be combined"),
        ("lm_eval:", "write gsm8k, math or lm_eval:NAME"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(options, given, piece):
    with pytest.raises(UsageError) as raised:
        options(evaluate=given)
    assert piece in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_problems_are_told_before_a_model_is_loaded(options, tmp_path):
    (tmp_path / "data" / "gsm8k_test.jsonl").unlink()
    with pytest.raises(UsageError, match=r"gsm8k_test\.jsonl"):
        run_grid(options(), Silent())
