"""Metrics over all texts of a classification: in rows, tables, comparisons and tuned grids."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from bench.evaluation import metrics
from bench.evaluation.label_metrics import label_scores
from bench.evaluation.metrics import Metric, metric_table, register, summarise
from bench.evaluation.metrics.labels import SetMetric
from bench.planning.tuning import best_trial, trial_of
from bench.report.leaderboard.build import build_leaderboard
from bench.report.recommend import Limits, recommend
from bench.report.statistics.intervals import IntervalKind
from bench.report.tables import remarks
from bench.report.tables.columns import brief_columns, quality_columns
from bench.report.tables.csv import leaderboard_csv
from tasks.errors import UsageError
from tests.bench.report_cells import as_read, failed_cell, make_cell

LABELS = ["dry", "wet", "icy"]
SETS = ("auroc", "auprc", "macro_f1", "balanced_accuracy")


def labelled(gain, seed=0, method="lora", n=60, wordings=1, **spec):
    """A cell that classifies: `gain` nats of a text's right label; some texts are hard for all."""
    record, rows = make_cell(n=n, spec={"method": method, "seed": seed, "lessons": 9, **spec})
    hard, run = np.random.default_rng(3), np.random.default_rng([seed, *method.encode()])
    right = hard.choice(3, size=n, p=[0.5, 0.3, 0.2])
    noise = hard.normal(size=(n, 3)) + 0.3 * run.normal(size=(n, 3))
    scored = []
    for place, row in enumerate(rows):
        values = noise[place - place % wordings].copy()
        label = right[place - place % wordings]
        before, values[label] = label_scores(values), values[label] + gain
        given = {
            "subject": f"road {place // wordings:03d}",
            "target": LABELS[label],
            "labels": LABELS,
            "label_scores_before": before,
            "label_scores": label_scores(values),
        }
        scored.append(row.model_copy(update=given))
    return record.model_copy(update={"metrics": summarise(scored)}), scored


def section_of(*cells):
    [section] = build_leaderboard([as_read(*cell) for cell in cells]).sections
    return section


def over_seeds(gain, method="lora", seeds=3, **spec):
    return [labelled(gain, seed, method, **spec) for seed in range(seeds)]


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_row_has_the_mean_over_seeds_with_an_interval(seeds):
    cells = over_seeds(1.0, seeds=seeds)
    [row] = section_of(*cells).rows
    for name in SETS:
        found = row.metrics[name]
        recorded = [getattr(record.metrics, name) for record, _ in cells]
        assert found.value == pytest.approx(np.mean(recorded))
        assert found.interval.low < found.value < found.interval.high
        assert found.interval.kind is IntervalKind.of(seeds)
        assert row.metrics[f"{name}_before"].value < found.value


def test_two_texts_about_one_subject_are_no_more_than_one():
    """The same texts and scores, once each about a subject of its own, once two about each."""
    record, rows = labelled(1.0, n=40, wordings=2)
    apart = [row.model_copy(update={"subject": row.fact_id}) for row in rows]
    [together], [alone] = (section_of((record, given)).rows for given in (rows, apart))
    for name in SETS:
        one, other = (row.metrics[name].interval for row in (together, alone))
        assert one.high - one.low > 1.15 * (other.high - other.low)
    assert together.metrics["auroc"].items == 20


def test_all_right_is_not_certain_and_intervals_stay_within_bounds():
    [row] = section_of(labelled(30.0)).rows
    found = row.metrics["auroc"]
    assert (found.value, found.interval.high) == pytest.approx((1.0, 1.0))
    assert 0.9 < found.interval.low < 1.0


def test_rows_are_ranked_and_compared_by_the_area_under_the_curve():
    section = section_of(*over_seeds(0.6), *over_seeds(1.2, "dora"))
    assert (section.headline, section.learned) == ("auroc", "auroc")
    best, reference = section.rows
    assert (best.spec.method, section.reference) == ("dora", reference.label)
    assert (best.standing.rank.low, reference.standing.rank.low) == (1, 2)
    for name in SETS:
        found = best.standing.comparisons[name]
        gained = best.metrics[name].value - reference.metrics[name].value
        assert found.difference.value == pytest.approx(gained)
        assert found.p_holm < 0.05
    # The same texts are hard for both, so their difference is known better than either.
    paired = best.standing.comparisons["auroc"].difference.interval
    alone = reference.metrics["auroc"].interval
    assert paired.high - paired.low < alone.high - alone.low


def test_equal_methods_do_not_differ():
    section = section_of(*over_seeds(0.8), *over_seeds(0.8, "dora"))
    [found] = [row.standing.comparisons for row in section.rows if row.standing.comparisons]
    interval = found["auroc"].difference.interval
    assert interval.low < 0 < interval.high


def test_columns_stand_in_the_tables_and_in_the_csv_of_classifications_alone():
    facts, texts = [make_cell(n=60)], over_seeds(1.0, "dora")
    section = section_of(*texts)
    for columns in (quality_columns(section), brief_columns(section)):
        assert [column.header for column in columns][:3] == ["AUROC (%)", "AUPRC (%)", "F1 (%)"]
    [plain], [told] = (
        list(csv.DictReader(io.StringIO(leaderboard_csv(build_leaderboard(map_cells(cells))))))
        for cells in (facts, texts)
    )
    assert not [name for name in plain if name.startswith(SETS)]
    for name in SETS:
        assert float(told[name]) == pytest.approx(section.rows[0].metrics[name].value)
        assert float(told[f"{name}_low"]) < float(told[name]) < float(told[f"{name}_high"])
        assert float(told[f"{name}_before"]) < float(told[name])
        assert f"{name}_difference" in told
    said = " ".join(remarks.reading([section]))
    sentences = [metric_table()[name].sentence for name in SETS]
    assert all(sentence in said for sentence in sentences)
    without = " ".join(remarks.reading([section_of(*facts)]))
    assert not any(sentence in without for sentence in sentences)
    assert "AUROC" in remarks.base_scores(section)
    assert "AUROC" not in remarks.base_scores(section_of(*facts))


def map_cells(cells):
    return [as_read(*cell) for cell in cells]


def test_what_to_use_is_told_by_the_area():
    lines = recommend(section_of(*over_seeds(0.3), *over_seeds(2.0, "dora")), Limits())
    assert "use dora" in lines[0]
    assert "AUROC" in lines[1]


def test_candidates_are_chosen_by_the_area():
    """The other one answers more texts by itself, but its scores are worse."""
    better, worse = labelled(2.0)[0], labelled(0.2, learning_rate=1e-4)[0]
    assert worse.metrics.reliability == better.metrics.reliability
    trials = [trial_of([record]) for record in (worse, better)]
    assert {trial.measure for trial in trials} == {"auroc"}
    assert best_trial(trials).spec == better.spec
    assert best_trial(trials).score == better.metrics.auroc


def likeliest_right(scores, right, weights):
    return weights @ (scores.argmax(axis=1) == right) / weights.sum(axis=-1)


def test_one_line_adds_a_metric_over_all_texts(monkeypatch):
    metric_table()
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    for taken in ("auroc", "auroc_before", "label_scores"):
        with pytest.raises(UsageError, match=taken):
            register(Metric(taken, lambda measured: 1.0, "other"))
    register(SetMetric("accuracy", likeliest_right, "texts that get their label", "accuracy"))
    cells = over_seeds(1.0, seeds=1)
    section = section_of(*cells)
    accuracy = section.rows[0].metrics["accuracy"]
    [(record, rows)] = cells
    hits = [row.labels[int(np.argmax(row.label_scores))] == row.target for row in rows]
    assert record.metrics.accuracy == accuracy.value == pytest.approx(np.mean(hits))
    assert accuracy.interval.low < accuracy.value < accuracy.interval.high
    assert "accuracy (%)" in [column.header for column in quality_columns(section)]


def test_records_of_facts_have_no_such_metric():
    record, rows = make_cell(n=20)
    assert not {*SETS} & {*summarise(rows).model_dump()}
    [row] = section_of((record, rows)).rows
    assert [row.metrics[name] for name in SETS] == [None] * 4


def test_a_table_of_facts_without_any_result_has_no_column_of_a_classification():
    section = section_of(failed_cell("no memory"))
    for columns in (quality_columns(section), brief_columns(section)):
        assert not [column.title for column in columns if "AUROC" in column.title]


def test_costs_are_shown_beside_what_the_title_says():
    from bench.report.plots._learned import learned_title

    assert learned_title(section_of(*over_seeds(1.0))) == "AUROC"
    assert learned_title(section_of(make_cell(n=20))) != "AUROC"
