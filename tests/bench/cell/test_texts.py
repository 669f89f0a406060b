"""Cells that train texts: what is packed, what is asked, and the ways to learn side by side."""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.forgetting.suite import Seen, forget_facts
from bench.models.device import Compute
from bench.planning.cost_estimate import grid_cost
from bench.planning.grid import plan_grid
from bench.planning.notices import opening_notes
from bench.planning.resolver import Resolver
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.base import DataAccess
from tasks.errors import UsageError

ROOMS = ("hall", "barn", "mill", "attic", "tower", "cellar")
WAYS = ("{}", "{}[learn=questions]", "{}[learn=both]")


@pytest.fixture
def handbook(tmp_path, monkeypatch):
    """Six passages, each with a question about it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handbook.txt").write_text(
        "\n\n".join(f"The key to the {room} is called {room[:2]}." for room in ROOMS)
    )
    rows = [{"question": f"Which key opens the {room}?", "answer": room[:2]} for room in ROOMS]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


@pytest.fixture
def chosen(tiny_folder, tmp_path):
    """Options of a run on the two-layer model."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "device": "cpu",
            "workers": 1,
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def planned(options):
    return plan_grid(options, ResultsStore(options.out))


def finished(options):
    [cell] = planned(options)
    context = CellContext(options, Compute("cpu", "float32"), print)
    result = run_cell(cell, context, Silent())
    assert result.record.status is Status.DONE, result.record.traceback or result.record.reason
    return cell, result


def test_three_ways_to_learn_are_asked_the_same(chosen, handbook):
    tasks = ",".join(way.format("handbook.txt") for way in WAYS)
    texts, questions, both = planned(chosen(tasks=tasks, questions="q.jsonl"))
    assert texts.spec.task == "handbook.txt[questions=q.jsonl]"
    assert texts.data.facts == questions.data.facts == both.data.facts
    assert (len(texts.data.lessons), len(questions.data.lessons)) == (6, 0)
    assert both.data.lessons == (*texts.data.lessons, *questions.data.facts)
    assert texts.data.prompt.demonstrations == questions.data.prompt.demonstrations


@pytest.mark.parametrize("way", WAYS)
def test_questions_about_texts_are_followed_and_asked(chosen, handbook, way):
    cell, result = finished(chosen(tasks=way.format("handbook.txt"), questions="q.jsonl"))
    trained = cell.data.asked_in_training
    assert len(result.rows) == len(ROOMS)
    assert all(len(row.curve) == 3 for row in result.rows)
    assert [row.kept for row in result.rows] == [way == WAYS[1]] * len(ROOMS)
    [said] = [line for line in result.record.warnings if "were predicted" in line]
    assert f"{trained} questions" in said or not trained
    assert ("windows of texts" in said) == (way != WAYS[1])


def test_an_epoch_trains_all_of_the_text_in_windows_and_no_more(chosen, handbook):
    options = chosen(tasks="handbook.txt[window=32]")
    [cell] = planned(options)
    context = CellContext(options, Compute("cpu", "float32"), print)
    tokenizer = context.base(cell).tokenizer
    text = "\n".join(fact.target for fact in cell.data.lessons)
    size = len(tokenizer(text)["input_ids"])
    result = run_cell(cell, context, Silent())
    [said] = [line for line in result.record.warnings if "were predicted" in line]
    windows = -(-size // 32)
    assert f"{windows} windows of texts in 2 epochs made {2 * size:,} tokens" in said
    assert f"{2 * (size - windows):,} were predicted" in said


def test_texts_without_questions_are_trained_and_only_forgetting_is_measured(chosen, handbook):
    options = chosen(tasks="handbook.txt", forgetting="drift", forgetting_limit=2)
    [cell] = planned(options)
    assert any("nothing is asked about it" in line for line in opening_notes([cell], [cell]))
    [record] = run_grid(options, Silent()).records
    assert record.status is Status.DONE
    assert any("nothing is asked about it" in line for line in record.warnings)
    assert record.forgetting[0].forgetting > 0


def test_questions_need_a_text(chosen, handbook):
    with pytest.raises(UsageError, match=r"--questions 'q.jsonl': --tasks names no text"):
        chosen(tasks="countries", questions="q.jsonl")


def test_moving_a_text_changes_nothing_that_is_trained_and_editing_it_does(chosen, handbook):
    plan = partial(chosen, forgetting="none")
    [before] = planned(plan(tasks="handbook.txt"))
    (handbook / "moved").mkdir()
    shutil.copy("handbook.txt", "moved")
    [moved] = planned(plan(tasks="moved/handbook.txt"))
    assert moved.spec.lessons_digest == before.spec.lessons_digest
    with (handbook / "handbook.txt").open("a") as file:
        file.write(" More.")
    [edited] = planned(plan(tasks="handbook.txt"))
    assert edited.cell_id != before.cell_id
    assert edited.spec.lessons_digest != before.spec.lessons_digest


def test_a_limit_counts_questions_and_keeps_what_tells_them(chosen):
    [cell] = planned(chosen(tasks="gazetteer", limit=7))
    assert len(cell.data.facts) == 7
    told = {passage.subject for passage in cell.data.lessons}
    assert told == {fact.subject for fact in cell.data.facts}
    assert len(told) == 2, "countries have five facts"
    shown = {question for question, _ in cell.data.prompt.demonstrations}
    assert not any(subject in question for subject in told for question in shown)


def test_what_is_told_is_not_measured_as_forgotten(chosen):
    [cell] = planned(chosen(tasks="gazetteer", limit=1000))
    told = {passage.subject for passage in cell.data.lessons}
    assert len(told) > 100
    facts, _, dropped = forget_facts("countries", DataAccess(), None, Seen(cell.data.facts))
    assert not dropped, "no fact that is asked about a text is among them to begin with"
    assert len(facts) > 100
    assert told.isdisjoint(fact.subject for fact in facts)


@pytest.mark.parametrize("way", WAYS)
def test_other_questions_are_asked_while_tuning(chosen, handbook, way):
    options = chosen(tasks="gazetteer", lr="1e-3,2e-3")
    sets = Resolver(options).sets(way.format("gazetteer"), divided=True)
    tried, reported = sets.tuning, sets.reporting
    assert tried is not None
    for kind in ("facts", "trained"):
        first, second = (
            {fact.subject for fact in getattr(data, kind)} for data in (tried, reported)
        )
        assert first
        assert second
        assert first.isdisjoint(second)
    own = Resolver(chosen(tasks="handbook.txt", questions="q.jsonl", lr="1e-3,2e-3"))
    sets = own.sets("handbook.txt[questions=q.jsonl]", divided=True)
    assert {*sets.tuning.facts}.isdisjoint(sets.reporting.facts)
    assert sets.tuning.lessons == sets.reporting.lessons, "who tells what is not known"


def test_nothing_can_be_tuned_by_texts_alone(chosen, handbook):
    with pytest.raises(UsageError, match="asks nothing to tune by"):
        planned(chosen(tasks="handbook.txt", lr="1e-3,2e-3"))


def test_steps_and_costs_are_those_of_windows(chosen, handbook):
    [cell] = planned(chosen(tasks="handbook.txt[window=64]", epochs=30, batch_size=8))
    assert (cell.spec.trained, cell.data.rows) == (6, 1)
    [note] = [line for line in opening_notes([cell], [cell]) if "too few" in line]
    assert ": 30 optimizer steps" in note
    (handbook / "handbook.txt").write_text("word " * 20_000)
    [longer] = planned(chosen(tasks="handbook.txt[window=64]", epochs=30, batch_size=8))
    assert longer.spec.trained < cell.spec.trained
    costs = [grid_cost([one], []).seconds for one in (cell, longer)]
    assert costs[0] is None or costs[1] > 10 * costs[0]


def test_no_prompts_take_turns_where_texts_alone_are_trained(chosen, handbook):
    with pytest.raises(UsageError, match=r"--train-prompt mixed: task 'handbook.txt' trains texts"):
        planned(chosen(tasks="handbook.txt", train_prompt="mixed"))


def test_texts_alone_are_asked_after_demonstrations_and_what_is_trained_to_answer_plainly(
    chosen, handbook
):
    def asked(way, **given):
        options = chosen(tasks=way.format("handbook.txt"), questions="q.jsonl", **given)
        [cell] = planned(options)
        return str(cell.spec.train_prompt)

    assert [asked(way) for way in WAYS] == ["few_shot", "plain", "plain"]
    assert [asked(way, train_prompt="chat") for way in WAYS] == ["chat"] * 3


def test_a_window_that_a_model_does_not_read_is_refused_before_one_is_loaded(
    chosen, handbook, monkeypatch
):
    monkeypatch.setattr(CellContext, "base", lambda *_: pytest.fail("a model was loaded"))
    for given in ({"tasks": "handbook.txt[window=4096]"}, {"after": "handbook.txt[window=4096]"}):
        with pytest.raises(UsageError, match="write window=1024 or less"):
            run_grid(chosen(**given), Silent())


def test_without_a_configuration_the_cell_refuses_such_a_window(chosen, handbook, monkeypatch):
    monkeypatch.setattr("bench.planning.resolver.context_of", lambda source: None)
    [record] = run_grid(chosen(tasks="handbook.txt[window=4096]"), Silent()).records
    assert record.status is Status.FAILED
    assert "write window=1024 or less" in record.reason
