"""Cells that classify: scores of all labels are stored, and measures follow from what is stored."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.cell.context import CellContext
from bench.cli import main
from bench.config.options import build_options
from bench.evaluation.responses import respond_together, respond_untrained
from bench.execution.run import run_grid
from bench.inference.contexts import Contexts
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.notices import few_of_a_label
from bench.planning.tuning import CLOSE
from bench.progress.base import Silent
from bench.report.show import show_cell
from bench.report.write import write_report
from bench.runner import run_cell
from bench.stacking.model import stack_models
from bench.store.formats import read_parquet, write_parquet
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.base import TASKS, DataAccess
from tasks.context import Context
from tasks.division import FactSet
from tasks.prompt import BUILT_IN, Prompt
from tests.bench.stacking.stacks import adapted

TASK = TASKS["continents"]()
FACTS = TASK.load(DataAccess())[:3]


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """Ninety short notes with two labels, two about each ward."""
    path = tmp_path_factory.mktemp("labels") / "notes.csv"
    rows = [
        f"bed {i} {'up' if i % 3 else 'down'},{'ok' if i % 3 else 'ill'},ward {i // 2}"
        for i in range(90)
    ]
    path.write_text("\n".join(["text,label,subject", *rows]))
    return path


@pytest.fixture
def chosen(tiny_folder, notes, tmp_path):
    """Options of a run on these notes, one epoch."""

    def make(**changes):
        given = {
            "methods": "lora[r=2]",
            "models": str(tiny_folder),
            "tasks": str(notes),
            "forgetting": "none",
            "epochs": 1,
            "limit": 16,
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


def areas_of(options, record):
    """The areas by scikit-learn, from the stored scores of the base and of the trained model."""
    rows = ResultsStore(options.out).rows(record.cell_id)
    right = [row.labels.tolist().index(row.target) for row in rows.itertuples()]
    truth = np.eye(len(rows["labels"][0]))[right]
    columns = (np.stack(rows[name]) for name in ("label_scores_before", "label_scores"))
    return [roc_auc_score(truth, scores, average="macro") for scores in columns]


def test_own_labels_in_a_whole_run_with_its_report(chosen, notes):
    options = chosen(methods="lora[r=2],dora[r=2]", tasks=f"{notes}[balanced=true]")
    records = done(options)
    write_report(options.out, "lora[r=2]", wanted_plots="none")
    board = pd.read_csv(options.out / "leaderboard.csv").set_index("method")
    for method in ("lora[r=2]", "dora[r=2]"):
        [record] = [one for one in records if one.spec.method == method]
        before, after = areas_of(options, record)
        line = board.loc[method]
        assert line["auroc"] == pytest.approx(after, abs=1e-9)
        assert line["auroc_before"] == pytest.approx(before, abs=1e-9)
        assert line["auroc_low"] <= line["auroc"] <= line["auroc_high"]
        assert 0 <= line["auprc"] <= 1
    assert board["headline"].unique().tolist() == ["auroc"]
    assert board.loc["dora[r=2]", "auroc_difference"] == pytest.approx(
        board.loc["dora[r=2]", "auroc"] - board.loc["lora[r=2]", "auroc"]
    )
    [warned] = {line for record in records for line in record.warnings if "too narrow" in line}
    held_out = ResultsStore(options.out).rows(records[0].cell_id)
    wards = held_out[held_out["target"] == "ill"]["subject"].nunique()
    assert f"ill {wards}" in warned
    said = (options.out / "leaderboard.md").read_text()
    assert "AUROC (%) ↑" in said
    shown = show_cell(options.out, records[0].cell_id)
    assert "auroc" in shown


def test_a_tuned_grid_of_labels_chooses_by_the_area(chosen, capsys):
    options = chosen(lr="1e-5,3e-2", tune_seeds=1)
    records = done(options)
    by_set = {name: [r for r in records if r.spec.fact_set == name] for name in FactSet}
    tried = {r.spec.learning_rate: areas_of(options, r)[1] for r in by_set[FactSet.TUNING]}
    [reported] = by_set[FactSet.REPORTING]
    best = max(tried.values())
    near = {rate for rate, area in tried.items() if area >= best - CLOSE}
    assert len(tried) == 2
    assert reported.spec.learning_rate in near
    facts = [{*ResultsStore(options.out).rows(r.cell_id)["subject"]} for r in records]
    assert facts[-1].isdisjoint(facts[0])
    write_report(options.out, wanted_plots="none")
    assert "scored by AUROC" in (options.out / "leaderboard.md").read_text()
    plan = ["plan", "--methods", "lora[r=2]", "--tasks", options.tasks[0], "--lr", "1e-5,3e-2"]
    plan += ["--models", options.models[0], "--forgetting", "none", "--out", str(options.out)]
    assert main([*plan, "--epochs", "1", "--tune-seeds", "1"]) == 0
    assert "held out" in capsys.readouterr().out


def test_what_is_rare_in_training_is_said_before_it(chosen, notes):
    [planned] = plan_grid(chosen(limit=1), ResultsStore(chosen().out))
    [label] = {"ok", "ill"} - {fact.target for fact in planned.data.trained}
    assert any(f"no text with the label '{label}'" in x for x in few_of_a_label(planned.data))
    [planned] = plan_grid(chosen(), ResultsStore(chosen().out))
    assert not any("no text" in line for line in few_of_a_label(planned.data))


def test_stored_scores_give_the_areas_of_the_record(tiny_folder, tmp_path):
    options = build_options(
        {
            "methods": "lora[r=4]",
            "models": str(tiny_folder),
            "tasks": "continents",
            "forgetting": "none",
            "limit": 8,
            "epochs": 1,
            "device": "cpu",
            "workers": 1,
            "out": tmp_path,
        }
    )
    [planned] = plan_grid(options, ResultsStore(options.out))
    result = run_cell(planned, CellContext(options, Compute("cpu", "float32"), print), Silent())
    assert result.record.status is Status.DONE, result.record.traceback or result.record.reason
    write_parquet(result.rows, tmp_path / "rows.parquet")
    stored = read_parquet(tmp_path / "rows.parquet").to_pylist()
    metrics = result.record.metrics
    for column, name in (("label_scores", "auroc"), ("label_scores_before", "auroc_before")):
        scores = np.array([row[column] for row in stored])
        assert scores.sum(1) == pytest.approx(1)
        right = [row["labels"].index(row["target"]) for row in stored]
        theirs = roc_auc_score(right, scores, multi_class="ovr", average="macro")
        assert getattr(metrics, name) == pytest.approx(theirs, abs=1e-12)
        areas = []
        for label in range(scores.shape[1]):
            own = [s[label] for s, true in zip(scores, right, strict=True) if true == label]
            rest = [s[label] for s, true in zip(scores, right, strict=True) if true != label]
            areas.append(np.mean([(a > b) + 0.5 * (a == b) for a, b in product(own, rest)]))
        assert np.mean(areas) == pytest.approx(theirs, abs=1e-12)


def test_a_score_is_the_probability_of_the_whole_label_and_its_stop(tiny_base):
    contexts = Contexts(tiny_base.tokenizer, Prompt(BUILT_IN, form=TASK.form))
    found = respond_untrained(tiny_base.model, contexts, FACTS)
    for fact, scores in zip(FACTS, found.label_scores, strict=True):
        sums = []
        for label in fact.choices:
            [example] = contexts.encode(Context.PLAIN, [(fact.question, label)])
            tokens = torch.tensor([example.tokens])
            with torch.no_grad():
                logits = tiny_base.model(tokens).logits[0].double().log_softmax(-1)
            own = logits[example.start - 1 : -1].gather(1, tokens[0, example.start :, None])
            sums.append(own.sum())
        assert list(scores) == pytest.approx(torch.stack(sums).softmax(0).tolist(), rel=1e-3)


def test_members_of_a_stack_score_labels_as_each_alone(tiny_base):
    contexts = Contexts(tiny_base.tokenizer, Prompt(BUILT_IN, form=TASK.form))
    before = respond_untrained(tiny_base.model, contexts, FACTS)
    models = [adapted(tiny_base, seed, spread=0.3) for seed in range(2)]
    stack = stack_models(tiny_base.model, models)
    found = respond_together(stack, contexts, FACTS, before)
    for model, member in zip(models, found, strict=True):
        [alone] = respond_together(model, contexts, FACTS, before)
        for one, other in zip(alone.label_scores, member.label_scores, strict=True):
            assert list(one) == pytest.approx(list(other), rel=1e-3)
    assert found[0].label_scores != found[1].label_scores
