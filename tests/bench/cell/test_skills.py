"""Skills in whole runs on the two-layer model: generated ones, own examples, tuned grids."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from bench.cell.context import CellContext
from bench.cli import main
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.task_data import TaskCatalog
from bench.progress.base import Silent
from bench.report.show import show_cell
from bench.report.write import write_report
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.context import Context
from tasks.errors import UsageError
from tests.conftest import byte_tokenizer, tiny_llama

HEADING = "### Held-out problems by kind"
SMALL = "arithmetic[n=60,levels=2]"


@pytest.fixture
def chosen(chat_folder, tmp_path):
    """Options of a run, one epoch on eight examples."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "models": str(chat_folder),
            "forgetting": "none",
            "epochs": 1,
            "limit": 8,
            "device": "cpu",
            "workers": 1,
            "out": tmp_path / "out",
        }
        return build_options({**given, **changes})

    return make


def done(options):
    records = run_grid(options, Silent()).records
    for record in records:
        assert record.status is Status.DONE, record.traceback or record.reason
    return records


@pytest.fixture
def instructions(tmp_path):
    """Thirty instructions with responses of two lines, some with an input."""
    rows = [
        {"instruction": f"Say {i}", "output": f"A\n{i}", **({"input": "now"} if i % 2 else {})}
        for i in range(30)
    ]
    path = tmp_path / "my.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def conversations(tmp_path):
    """Thirty conversations of two questions, with a system turn."""
    rows = [
        [("system", "Hi"), ("user", f"{i}?"), ("assistant", "A"), ("user", "B"), ("assistant", "C")]
        for i in range(30)
    ]
    path = tmp_path / "my.jsonl"
    named = [[dict(zip(("role", "content"), turn, strict=True)) for turn in row] for row in rows]
    path.write_text("\n".join(json.dumps({"messages": row}) for row in named))
    return path


def examples_of(options):
    """Return what is trained, and its base."""
    [cell] = plan_grid(options, ResultsStore(options.out))
    context = CellContext(options, Compute("cpu", "float32"), print)
    base, data = context.base(cell), cell.data
    signals = BaseSignals(base, data.trained, data.prompt, context.cache)
    return (
        base.tokenizer,
        signals.contexts,
        data,
        signals.contexts.examples(Context.PLAIN, data.trained),
    )


def test_an_alpaca_response_follows_its_prompt_and_alone_is_trained(chosen, instructions):
    tokenizer, _, data, found = examples_of(chosen(tasks=f"{instructions}[as=alpaca]"))
    for fact, example in zip(data.trained, found, strict=True):
        prompt, target = example.tokens[: example.start], example.tokens[example.start :]
        said = tokenizer.decode(prompt)
        assert said.startswith("Below is an instruction that describes a task")
        assert said.endswith("### Response:")
        assert ("### Input:\nnow" in said) == ("paired with an input" in said)
        assert tokenizer.decode(target[:-1]) == fact.target
        assert target[-1] == tokenizer.eos_token_id


def test_a_conversation_is_put_by_the_chat_template_and_its_last_turn_trained(
    chosen, conversations
):
    tokenizer, contexts, data, found = examples_of(chosen(tasks=f"{conversations}[as=chat]"))
    number = json.loads(data.trained[0].question)[1]["content"]
    example = found[0]
    prompt = f"<system>Hi</><user>{number}</><assistant>A</><user>B</><assistant>"
    assert tokenizer.decode(example.tokens[: example.start]) == prompt
    assert tokenizer.decode(example.tokens[example.start : -1]) == "C"
    assert example.tokens[-1] == tokenizer.eos_token_id
    assert contexts.prompt(Context.BARE, data.trained[0].question) == "B"
    shown = contexts.prompt(Context.FEW_SHOT, data.trained[0].question)
    assert shown.startswith("<system>Hi</><user>")
    assert shown.endswith(prompt.removeprefix("<system>Hi</>"))
    assert shown.count("<assistant>") == 4 * (2 if "<assistant>A</>" in shown[:60] else 1) + 2
    assert Context.CHAT not in contexts.available


@pytest.mark.parametrize("train_prompt", ["chat", "mixed"])
def test_the_chat_template_is_not_asked_for_twice(chosen, conversations, train_prompt):
    options = chosen(tasks=f"{conversations}[as=chat]", train_prompt=train_prompt)
    with pytest.raises(UsageError, match="put by the model's chat template in any case"):
        plan_grid(options, ResultsStore(options.out))


def test_conversations_need_a_chat_template(chosen, conversations, tiny_folder):
    options = chosen(tasks=f"{conversations}[as=chat]", models=str(tiny_folder))
    [record] = run_grid(options, Silent()).records
    assert record.status is Status.FAILED
    assert "conversations need a chat template" in record.reason


def test_a_template_that_refuses_a_system_turn_is_named(chosen, conversations, tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system turns') }}"
    folder = tmp_path / "strict"
    tiny_llama().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    [record] = run_grid(
        chosen(tasks=f"{conversations}[as=chat]", models=str(folder)), Silent()
    ).records
    assert "chat template refuses a conversation of 4 turns: no system turns" in record.reason


def test_own_examples_run_and_report(chosen, instructions, conversations):
    options = chosen(
        tasks=f"{instructions}[as=alpaca],{conversations}[as=chat]", forgetting="drift"
    )
    records = done(options)
    assert {record.spec.lessons for record in records} == {8}
    files = write_report(options.out)
    text = files.markdown.read_text(encoding="utf-8")
    assert "my.json" in text
    assert HEADING not in text, "their rows are of one kind"


@pytest.mark.parametrize(
    "recipe",
    ["lora[r=4]+filter", "lora[r=4]+reweight", "lora[r=4]+freeze", "corda[mode=ipm,r=4]", "full"],
)
def test_recipes_work_on_problems_with_worked_steps(chosen, recipe):
    options = chosen(tasks=SMALL, methods=recipe, forgetting="countries", forgetting_limit=2)
    [record] = done(options)
    assert record.metrics.reliability is not None
    rows = ResultsStore(options.out).rows(record.cell_id)
    assert not rows["kept"].any(), "what is asked was not trained"
    assert (rows["weight"] == 0).all()


def test_the_report_shows_levels_and_show_the_steps(chosen):
    options = chosen(tasks="arithmetic[n=200,levels=2]", limit=20)
    [record] = done(options)
    text = write_report(options.out).markdown.read_text(encoding="utf-8")
    assert HEADING in text
    assert "1 digit (%)" in text
    assert "sum=" in show_cell(options.out, record.cell_id[:8], width=200)


def test_tuning_and_reporting_share_neither_examples_nor_problems(chosen):
    options = chosen(tasks="arithmetic", lr="1e-3,1e-2", limit=500)
    sets = TaskCatalog(options).sets("arithmetic", divided=True)
    groups = [
        {fact.subject for fact in facts}
        for data in (sets.reporting, sets.tuning)
        for facts in (data.lessons, data.facts)
    ]
    assert all(groups)
    for one, other in combinations(groups, 2):
        assert one.isdisjoint(other)
    shown = {question for question, _ in sets.reporting.prompt.demonstrations}
    everything = [f for d in (sets.reporting, sets.tuning) for f in (*d.lessons, *d.facts)]
    assert shown.isdisjoint(fact.question for fact in everything)


def test_rates_are_tuned_on_other_problems(chosen):
    options = chosen(tasks=SMALL, lr="1e-3,1e-2", tune_seeds=1)
    done(options)
    assert "### Tuning" in write_report(options.out).markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize("study", ["placement", "calibration"])
def test_studies_that_compare_rows_take_a_skill(chat_folder, tmp_path, study):
    chosen = ["--model", str(chat_folder), "--task", "arithmetic[n=40]", "--out", str(tmp_path)]
    small = ["--limit", "4", "--epochs", "1", "--forgetting", "none", "--device", "cpu"]
    more = {"placement": ["--cuts", "1"], "calibration": ["--samples", "2", "--modes", "ipm"]}
    assert main(["study", study, *chosen, *small, *more[study]]) == 0
    assert (tmp_path / "studies" / f"{study}.csv").is_file()


def test_a_plan_says_how_much_is_trained_and_held_out(chat_folder, tmp_path, capsys):
    chosen = ["--models", str(chat_folder), "--tasks", "arithmetic", "--out", str(tmp_path)]
    assert main(["plan", *chosen, "--methods", "lora", "--forgetting", "none"]) == 0
    assert "arithmetic: 518 of 518 examples, 114 held out" in capsys.readouterr().out


def test_a_skill_cannot_be_exported(tmp_path, capsys):
    assert main(["export-task", "arithmetic", str(tmp_path)]) == 2
    assert "is learned and not measured as forgotten" in capsys.readouterr().err


def test_a_skill_is_refused_as_forgetting_before_anything_loads(chosen):
    with pytest.raises(UsageError, match="'dates' is learned and not measured as forgotten"):
        chosen(tasks="countries", forgetting="dates")
