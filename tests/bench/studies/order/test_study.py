"""Order on the two-layer model: laws of the trainings, counts, resuming, table and picture."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from bench.cell.context import CellContext
from bench.inference.encoding import collate
from bench.inference.generation import greedy_answers
from bench.inference.likelihood import target_logits
from bench.models.device import choose_compute
from bench.progress.base import Silent
from bench.report.statistics.comparison import Measured, compare_all
from bench.studies import learner as learners
from bench.studies.learner import learner
from bench.studies.order.plan import Budget, Order, plan_study
from bench.studies.order.run import run_order
from bench.studies.order.store import OrderStore
from bench.studies.order.table import KEYS, MEASURES, outcomes_of
from bench.studies.order.training import run_training
from bench.studies.study_report import study_markdown, write_study
from bench.training.loop import DivergenceError
from tasks.errors import UsageError
from tasks.prompt import LONGEST_ANSWER
from tasks.scoring import exact_match
from tests.bench.studies.listening import Listening


@pytest.fixture(scope="session")
def finished(order_in, tmp_path_factory):
    """What a whole study said, what it ran and where it is kept."""
    options = order_in(tmp_path_factory.mktemp("order"))
    listening = Listening()
    return run_order(options, listening), listening, options.folder


@pytest.fixture
def kept(finished, order):
    """The folder of a study of one's own in which every training is kept."""
    folder = order().folder
    shutil.copytree(finished[2], folder)
    return folder / "trainings"


@pytest.fixture
def bench(order):
    """What the trainings of a plan share."""
    grid = plan_study(order()).grid
    return CellContext(grid, choose_compute("cpu", grid.dtype), print)


def results_of(options):
    """Return a finished study's plan and its trainings by digest."""
    plan, store = plan_study(options), OrderStore(options.folder)
    return plan, {t.spec.digest: store.read(t.spec) for t in plan.trainings}


def training_of(options, order, budget, size=6):
    """Return the first training of a condition."""
    return next(
        c.trainings[0]
        for c in plan_study(options).conditions
        if (c.order, c.budget, c.size) == (order, budget, size)
    )


def lines_of(report):
    return report.table.set_index(["size", "budget", "order"]).sort_index()


def test_every_fact_is_trained_as_often_as_its_budget_says(finished, kept, order):
    plan, results = results_of(order())
    for training in plan.trainings:
        spec, (record, outcomes) = training.spec, vars(results[training.spec.digest]).values()
        seen = [fact.exposures for fact in outcomes]
        assert [fact.place for fact in outcomes] == [*range(len(training.facts))]
        assert [fact.fact_id for fact in outcomes] == [fact.id for fact in training.facts]
        assert record.exposures == np.mean(seen)
        batches = math.ceil(len(outcomes) / spec.cell.batch_size)
        assert record.updates == (sum(seen) if spec.depth_first else seen[0] * batches)
        if not spec.until_learned:
            assert set(seen) == {3}
            continue
        assert all(count <= 30 for count in seen)
        learned = [fact.taught for fact in outcomes]
        stopped = [count < 30 for count in seen]
        assert all(taught for taught, early in zip(learned, stopped, strict=True) if early)
        if not spec.depth_first:
            assert len(set(seen)) == 1
    assert any(t.record.updates for t in results.values())


def test_a_right_target_is_a_right_answer(finished, kept, order):
    """All target tokens right under teacher forcing: the greedy answer is the target."""
    _, results = results_of(order())
    facts = [fact for trained in results.values() for fact in trained.outcomes]
    assert any(fact.taught for fact in facts)
    assert all(fact.right_then for fact in facts if fact.taught)
    epochs = [t for t in results.values() if not t.record.spec.depth_first]
    assert all(fact.right_then == fact.right for t in epochs for fact in t.outcomes)


def test_one_fact_alone_is_one_after_another_and_epochs_alike(order, bench):
    """Whether it is run as the first of one fact or in epochs over one."""
    alone = training_of(order(), Order.ALONE, Budget.LEARNED, size=1)
    first = replace(alone, spec=alone.spec.model_copy(update={"depth_first": True}))
    base = bench.base(alone.cell)
    found, expected = (run_training(one, base, bench, Silent()) for one in (alone, first))
    assert found.outcomes == expected.outcomes
    assert found.record.updates == expected.record.updates > 1
    assert found.record.drift == expected.record.drift


@pytest.mark.parametrize(("optimizer", "near"), [("fresh", 3e-5), ("kept", 1e-6)])
def test_one_after_another_equals_a_loop_of_torch_alone(order, bench, optimizer, near):
    """Weights, updates and what is right in between, by hand.

    The first step of a fresh AdamW moves each weight by the sign of its gradient, however small,
    so rounding, which differs between processors, shows more with fresh ones.
    """
    options = order(optimizer=optimizer, most=12)
    planned = training_of(options, Order.DEPTH, Budget.LEARNED)
    base = bench.base(planned.cell)
    found = run_training(planned, base, bench, Silent())

    facts = planned.facts
    ours = learner(planned.cell, planned.spec.cell, facts, facts, base, bench)
    model, tokenizer = ours.model, ours.contexts.tokenizer
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizers = []
    for fact, outcome in zip(facts, found.outcomes, strict=True):
        if optimizer == "fresh" or not optimizers:
            optimizers.append(torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0))
        [context] = ours.contexts.trained
        batch = collate(ours.contexts.examples(context, [fact]), [0], tokenizer.pad_token_id)
        updates = 0
        while updates < 12:
            logits = target_logits(model, batch)
            labels = batch.labels[batch.labels >= 0]
            kept_logits = logits[batch.labels >= 0]
            if bool((kept_logits.argmax(-1) == labels).all()):
                break
            torch.nn.functional.cross_entropy(kept_logits, labels).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizers[-1].step()
            optimizers[-1].zero_grad()
            updates += 1
        assert outcome.exposures == updates
        prompt = ours.contexts.prompt(context, fact.question)
        [said] = greedy_answers(model, tokenizer, [prompt], budget=LONGEST_ANSWER)
        assert outcome.right_then == exact_match(said.split("\n")[0], fact.answers)
    for outcome, answers in zip(found.outcomes, ours.answers(), strict=True):
        assert outcome.nll == pytest.approx(answers.nll, rel=near)
        assert (outcome.right, outcome.few_shot) == (answers.right, answers.few_shot)
    assert len({fact.exposures for fact in found.outcomes}) > 1, "some are harder than others"


def test_answers_are_those_of_a_cell(order, bench):
    """As `FactAnswers` says: paraphrases that carried over, and neighbours that the base knew."""
    from bench.studies.learner import FactAnswers
    from tests.bench.studies.conftest import LETTERS

    planned = training_of(order(), Order.BREADTH, Budget.EXPOSURES)
    base = bench.base(planned.cell)
    ours = learner(planned.cell, planned.spec.cell, planned.facts, planned.facts, base, bench)
    fact = planned.facts[0]
    assert fact.target in LETTERS
    [before, *_], [after, *_] = ours.signals.before.per_fact(), ours.ask().per_fact()
    told = FactAnswers.of(
        fact,
        before._replace(neighbours=(True, True, False)),
        after._replace(
            paraphrases=(True, False), neighbours=(True, False, True),
            answers={**after.answers, after.asked: f"{fact.target}."},
        ),
    )  # fmt: skip
    assert (told.right, told.generality, told.locality) == (True, 0.5, 0.5)
    nothing = FactAnswers.of(
        replace(fact, paraphrases=()),
        before._replace(neighbours=(False,)),
        after._replace(paraphrases=(), neighbours=(False,)),
    )
    assert (nothing.generality, nothing.locality) == (None, None)


def test_the_table_is_that_of_the_stored_answers(finished, kept, order):
    plan, results = results_of(order())
    outcomes = outcomes_of(plan, results)
    assert len(outcomes) == (5 + 3 * 6) * len(Budget)
    for line in finished[0].table.to_dict("records"):
        same = np.logical_and.reduce([outcomes[key] == line[key] for key in KEYS])
        mine = outcomes[same]
        assert line["facts"] == len(mine)
        for name in set(MEASURES) - {"drift"}:
            values = mine[name].astype(float)
            if values.isna().all():
                assert pd.isna(line[name])
            else:
                assert line[name] == pytest.approx(values.mean())
        assert line["lost"] == pytest.approx(line["right_then"] - line["right"])
        trained = [
            results[t.spec.digest].record
            for c in plan.conditions
            if all(line[key] == str(getattr(c, key)) for key in ("budget", "order"))
            and c.size == line["size"]
            for t in c.trainings
        ]
        assert line["drift"] == pytest.approx(np.mean([record.drift for record in trained]))
        for name in MEASURES:
            if not pd.isna(line[f"{name}_low"]):
                assert line[f"{name}_low"] <= line[name] + 1e-9 <= line[f"{name}_high"] + 2e-9


def test_differences_are_paired_by_fact(finished, kept, order):
    plan, results = results_of(order())
    outcomes = outcomes_of(plan, results)
    lines = lines_of(finished[0])
    alone = lines.loc[1]
    assert alone["right_difference"].isna().all(), "one fact has no order"
    for budget in map(str, Budget):
        told = lines.loc[(6, budget)]
        assert math.isnan(told.loc[str(Order.DEPTH), "right_difference"])
        here = outcomes[(outcomes["size"] == 6) & (outcomes["budget"] == budget)]
        values = {
            name: frame.set_index("fact_id")["few_shot"].astype(float)
            for name, frame in here.groupby("order")
        }
        depth = values[str(Order.DEPTH)].sort_index()
        for name in (str(Order.BREADTH), str(Order.BATCHES)):
            mine = values[name].sort_index()
            [found] = compare_all(
                [(Measured({0: mine.to_numpy()}, (-1, 1)), Measured({0: depth.to_numpy()}))]
            )
            ends = (found.difference.interval.low, found.difference.interval.high)
            line = told.loc[name]
            assert line["few_shot_difference"] == pytest.approx((mine - depth).mean())
            assert (line["few_shot_difference_low"], line["few_shot_difference_high"]) == ends
            assert line["right_verdict"] == "", "one seed tests nothing"


def test_three_seeds_are_compared_and_corrected(order):
    options = order(seeds="0-2", sizes="6", most=2, exposures=1, methods="lora[r=4],full")
    report = run_order(options, Silent())
    told = report.table
    others = told[told["order"] != str(Order.DEPTH)]
    assert (told["seeds"] == 3).all()
    assert others["drift_p_holm"].notna().all()
    assert set(others["drift_verdict"]) <= {"better", "worse", "tie"}
    assert list(dict.fromkeys(told["method"])) == ["lora[r=4]", "full"]
    assert (told[told["order"] == str(Order.DEPTH)]["drift_verdict"] == "").all()
    assert any("Holm-corrected" in line for line in report.about)
    assert len(report.figure.axes) == 2 * 5


def test_a_second_call_runs_nothing_and_writes_the_same(finished, kept, order, monkeypatch):
    monkeypatch.setattr(CellContext, "base", None)
    again = Listening()
    report = run_order(order(), again)
    assert again.ran == []
    written = [write_study(order().out / name, said) for name, said in
               (("a", finished[0]), ("b", report))]  # fmt: skip
    for kind in ("csv", "png", "svg"):
        assert getattr(written[0], kind).read_bytes() == getattr(written[1], kind).read_bytes()


def test_an_interrupted_study_goes_on_where_it_was(finished, kept, order):
    plan = plan_study(order())
    for training in plan.trainings[12:]:
        (kept / f"{training.spec.digest}.parquet").unlink()
    stopped = Listening(stop_at=2)
    with pytest.raises(KeyboardInterrupt, match=r"13 finished trainings \(1 in this run"):
        run_order(order(), stopped)
    assert stopped.ran == [plan.trainings[12].label]
    rest = Listening()
    report = run_order(order(), rest)
    assert rest.ran == [training.label for training in plan.trainings[13:]]
    pd.testing.assert_frame_equal(report.table, finished[0].table)


@pytest.mark.parametrize(
    ("error", "status", "final"),
    [
        (DivergenceError(2, math.inf), "1 of 1 diverged: loss inf at step 2", True),
        (RuntimeError("no luck\nat all"), "1 of 1 failed: RuntimeError: no luck", False),
    ],
)
def test_a_failing_training_is_a_line_that_says_so(kept, order, monkeypatch, error, status, final):
    def breaking(*given, **named):
        raise error

    monkeypatch.setattr(learners, "train", breaking)
    broken = training_of(order(), Order.BATCHES, Budget.LEARNED)
    (kept / f"{broken.spec.digest}.parquet").unlink()
    report = run_order(order(), Silent())
    failed = lines_of(report).loc[(6, "until learned", "epochs, in batches")]
    assert (failed["status"], failed["failed"], failed["facts"]) == (status, 1, 0)
    assert failed[list(MEASURES)].isna().all()
    others = report.table[report.table["failed"] == 0]
    assert len(others) == len(report.table) - 1
    assert (others["status"] == "done").all()
    text = study_markdown(report)
    assert text.count(f"K = 6, until learned, epochs, in batches: {status}; ") == 1

    again = Listening()
    run_order(order(), again)
    assert again.ran == ([] if final else [broken.label])


def test_a_study_in_which_everything_fails_says_why(order):
    with pytest.raises(UsageError, match=r"every training failed: loss .* at step"):
        run_order(order(lr=1e30, sizes="2"), Silent())


def test_an_adapter_that_counts_the_steps_of_one_training_is_refused(
    order, bench, monkeypatch, tmp_path
):
    config = {
        "peft_type": "ADALORA", "init_r": 4, "target_r": 2, "total_step": 10, "tinit": 1,
        "tfinal": 1, "target_modules": ["q_proj"],
    }  # fmt: skip
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(config))
    planned = training_of(order(methods=f"peft[path={path}]"), Order.DEPTH, Budget.LEARNED)
    trained = run_training(planned, bench.base(planned.cell), bench, Silent())
    assert "reallocates its ranks by the step" in trained.record.reason


def test_the_picture_shows_the_table(finished):
    report = finished[0]
    panels = report.figure.axes
    assert len(panels) == 5
    for axes, (name, budget, scale) in zip(
        panels,
        [("right", "until learned", 100), ("right", "equal exposures", 100),
         ("few_shot", "until learned", 100), ("drift", "until learned", 1)],
        strict=False,
    ):  # fmt: skip
        lines = report.table[report.table["budget"] == budget]
        drawn = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
        for line, order in zip(drawn, [o for o in Order if o is not Order.ALONE], strict=True):
            shown = lines[lines["order"].isin(["alone", str(order)])][name].astype(float)
            np.testing.assert_allclose(line.get_ydata(), scale * shown)
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "6"]
        assert axes.get_title(loc="left").endswith(budget)
    assert "fewer than 10 facts" in panels[4].texts[0].get_text()
