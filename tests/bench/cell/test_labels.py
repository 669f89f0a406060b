"""Cells that classify: scores of all labels are stored, and measures follow from what is stored."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.responses import respond_together, respond_untrained
from bench.inference.contexts import Contexts
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.stacking.model import stack_models
from bench.store.formats import read_parquet, write_parquet
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.base import TASKS, DataAccess
from tasks.context import Context
from tasks.prompt import BUILT_IN, Prompt
from tests.bench.stacking.stacks import adapted

TASK = TASKS["continents"]()
FACTS = TASK.load(DataAccess())[:3]


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
