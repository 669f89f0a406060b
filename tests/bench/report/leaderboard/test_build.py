"""From records to rows: grouping, aggregation, what is missing stays visible."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.intervals import Crossed, IntervalKind, score_ends
from bench.report.tables.csv import leaderboard_csv, leaderboard_frame
from bench.store.knowledge import KnowledgeCategory
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import failed_cell, fill, make_cell, make_forgetting, metrics_of

SPECIFIED = [
    "model",
    "task",
    "method",
    "seeds",
    "facts",
    "reliability",
    "reliability_unknown",
    "epochs_to_learn_unknown",
    "learned_at_half_dose",
    "robustness.plain",
    "robustness.few_shot",
    "robustness.chat",
    "robustness.bare",
    "generality",
    "portability",
    "portability.multi_hop",
    "portability.alias",
    "portability.inverse",
    "portability.logical",
    "locality",
    "drift_at_90",
    "drift_at_50",
    "forgetting.elements",
    "drift",
    "parameters",
    "flops",
    "seconds.prepare",
    "seconds.train",
    "seconds.evaluate",
    "seconds.forget",
    "peak_bytes.prepare",
    "peak_bytes.train",
    "peak_bytes.evaluate",
    "peak_bytes.forget",
]


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def seeds_of(method, seeds, **changes):
    return [make_cell(spec={"method": method, "seed": seed}, **changes) for seed in seeds]


def test_csv_begins_with_the_specified_columns_and_has_no_nan(tmp_path):
    board = board_of(tmp_path, make_cell(), failed_cell(method="dora"))
    text = leaderboard_csv(board)
    frame = pd.read_csv(io.StringIO(text))
    assert list(frame.columns[: len(SPECIFIED)]) == SPECIFIED
    assert {"reliability_low", "reliability_high", "drift_low", "forgetting.elements_high"} <= set(
        frame.columns
    )
    assert "nan" not in text.lower()
    assert "<NA>" not in text
    assert "4884480," in text, "whole numbers stay whole beside a missing one"


def test_csv_round_trips_the_frame(tmp_path):
    board = board_of(tmp_path, *seeds_of("lora", [0, 1]), *seeds_of("corda", [0], accuracy=0.7))
    read = pd.read_csv(io.StringIO(leaderboard_csv(board)))
    written = leaderboard_frame(board)
    assert list(read.columns) == list(written.columns)
    for column in ("reliability", "drift_low", "seconds.train", "parameters"):
        assert read[column].tolist() == written[column].tolist()


def test_three_seeds_give_the_mean_and_the_interval_over_seeds_and_facts(tmp_path):
    cells = seeds_of("lora", [0, 1, 2])
    values = [record.metrics.reliability for record, _ in cells]
    assert len(set(values)) > 1
    (row,) = board_of(tmp_path, *cells).rows
    answers = np.array([[fact.correct_after for fact in rows] for _, rows in cells], dtype=float)
    half = float(Crossed.of(answers).half_width())
    found = row.metrics["reliability"]
    assert row.seeds == (0, 1, 2)
    assert found.value == pytest.approx(np.mean(values))
    assert found.interval.kind is IntervalKind.SEEDS_AND_FACTS
    low, high = score_ends(np.mean(values), np.array(half), facts=64, seeds=3)
    assert (found.interval.low, found.interval.high) == (pytest.approx(low), pytest.approx(high))


def test_seconds_are_cold_means_and_memory_is_the_highest_peak(tmp_path):
    one, two = seeds_of("lora", [0, 1])
    slow = two[0].phases | {}
    prepare = slow[next(iter(slow))]
    slow[next(iter(slow))] = prepare.model_copy(update={"seconds_cold": 14.5, "peak_bytes": 10**9})
    two = (two[0].model_copy(update={"phases": slow}), two[1])
    frame = leaderboard_frame(board_of(tmp_path, one, two))
    assert frame["seconds.prepare"].tolist() == [13.5]
    assert frame["peak_bytes.prepare"].tolist() == [10**9]


def test_csv_has_what_the_base_knew_and_updates_with_intervals(tmp_path):
    record, rows = make_cell(updates=40)
    board = board_of(tmp_path, (record, rows), make_cell(spec={"task": "elements"}))
    updates, plain = (frame for _, frame in leaderboard_frame(board).iterrows())
    for name in ("reliability_maybe", "reliability_never", "updated", "still_old", "old_before"):
        value = getattr(record.metrics, name)
        assert updates[name] == value
        assert updates[f"{name}_low"] < value < updates[f"{name}_high"]
    over = sum(row.knowledge is KnowledgeCategory.MAYBE for row in rows)
    assert 0 < over < 64
    assert updates["updated"] + updates["still_old"] == pytest.approx(1.0)
    assert updates["prefers_new"] == record.metrics.prefers_new
    assert plain[["updated", "still_old_low", "prefers_new"]].isna().all()
    assert plain["reliability_never"] == updates["reliability_never"]


def test_unknown_facts_are_the_maybes_and_those_never_answered(tmp_path):
    _, rows = make_cell()
    metrics = board_of(tmp_path, make_cell()).rows[0].metrics
    count = {kind: sum(row.knowledge is kind for row in rows) for kind in KnowledgeCategory}
    both = count[KnowledgeCategory.MAYBE], count[KnowledgeCategory.UNKNOWN]
    names = ("reliability_maybe", "reliability_never")
    mean = np.average([metrics[name].value for name in names], weights=both)
    assert metrics["reliability_unknown"].value == pytest.approx(mean)


def test_a_failed_seed_is_visible_and_never_averaged_over(tmp_path):
    done = make_cell(spec={"seed": 0})
    board = board_of(tmp_path, done, failed_cell(seed=1, facts=64, reason="no memory"))
    (row,) = board.rows
    assert row.metrics["reliability"].value == done[0].metrics.reliability
    assert [(f.seed, f.reason) for f in row.failures] == [(1, "no memory")]
    frame = leaderboard_frame(board)
    assert frame[["seeds", "failed_cells", "failures"]].values.tolist() == [
        [1, 1, "1:out_of_memory"]
    ]


def test_a_method_without_any_result_keeps_its_row_and_comes_last(tmp_path):
    board = board_of(tmp_path, failed_cell(method="a-first"), make_cell(spec={"method": "z-last"}))
    assert [row.label for row in board.rows] == ["z-last", "a-first"]
    failed = leaderboard_frame(board).iloc[1]
    assert pd.isna(failed["reliability"])
    assert failed["seeds"] == 0


def test_rows_are_sorted_by_how_soon_unknown_facts_were_learned(tmp_path):
    cells = [make_cell(accuracy=a, spec={"method": m}) for m, a in (("a", 0.3), ("b", 0.9))]
    assert [row.label for row in board_of(tmp_path, *cells).rows] == ["b", "a"]


def test_learning_rates_are_rows_of_their_own_named_apart(tmp_path):
    cells = [make_cell(spec={"learning_rate": rate}) for rate in (1e-3, 1e-4)]
    board = board_of(tmp_path, *cells, make_cell(spec={"method": "dora"}))
    assert sorted(row.label for row in board.rows) == [
        "dora",
        "lora (lr 0.0001)",
        "lora (lr 0.001)",
    ]


def test_cells_of_other_facts_models_and_tasks_are_sections_of_their_own(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(n=64),
        make_cell(n=4, spec={"facts_digest": "0" * 64}),
        make_cell(spec={"model": "gemma3-270m"}),
        make_cell(spec={"task": "elements"}),
    )
    assert [section.title for section in board.sections] == [
        "gemma3-270m on countries",
        "smollm2-135m on countries (4 facts)",
        "smollm2-135m on countries (64 facts)",
        "smollm2-135m on elements",
    ]


def test_an_edited_part_is_not_averaged_with_its_older_self(tmp_path):
    cells = [make_cell(spec={"source_digest": digest * 64, "seed": 0}) for digest in "ab"]
    labels = [row.label for row in board_of(tmp_path, *cells).rows]
    assert sorted(labels) == ["lora (source aaaaaaaa)", "lora (source bbbbbbbb)"]


def test_at_floor_is_said_and_not_counted_as_nothing_forgotten(tmp_path):
    board = board_of(tmp_path, make_cell(forgetting=[make_forgetting(at_floor=True, lost=0.0)]))
    frame = leaderboard_frame(board)
    assert frame["at_floor.elements"].tolist() == [1]
    assert frame["forgetting.elements"].isna().all()
    assert frame["base.elements"].tolist() == [0.5]


def test_unequal_forgetting_items_are_warned_of(tmp_path):
    other = make_forgetting(n=50).model_copy(update={"digest": "9" * 64})
    board = board_of(tmp_path, make_cell(), make_cell(spec={"method": "dora"}, forgetting=[other]))
    assert "elements: measured on 2 different sets of items" in board.sections[0].warnings[0]


def test_forgetting_is_paired_per_item(tmp_path):
    (row,) = board_of(tmp_path, make_cell(forgetting=[make_forgetting(lost=0.1, n=200)])).rows
    lost = row.forgetting["elements"].lost
    assert lost.value == pytest.approx(0.1)
    # Unpaired, two scores of 200 items near 0.5 would be uncertain by 0.1; paired they are not.
    assert lost.interval.high - lost.interval.low < 0.1


def test_warnings_are_said_once_with_the_rows_they_concern(tmp_path):
    cells = [make_cell(spec={"method": m}, warnings=["few tokens"]) for m in ("corda", "dora")]
    assert board_of(tmp_path, *cells).sections[0].warnings == ("corda, dora: few tokens",)


def test_known_facts_only_leave_unknown_reliability_empty(tmp_path):
    board = board_of(tmp_path, make_cell(known=1.1))
    assert board.rows[0].metrics["reliability_unknown"] is None
    assert ",," in leaderboard_csv(board)


def test_an_empty_folder_and_one_with_only_damage(tmp_path):
    with pytest.raises(UsageError, match="no cells in"):
        load_leaderboard(tmp_path)
    store = ResultsStore(fill(tmp_path, [make_cell()]))
    (path,) = store.cells.glob("*.json")
    path.write_text("{")
    board = load_leaderboard(tmp_path)
    assert board.sections == ()
    assert path.name in board.problems[0]


def test_damaged_fact_rows_are_told_and_their_cell_is_left_out(tmp_path):
    store = ResultsStore(fill(tmp_path, [make_cell(), make_cell(spec={"seed": 1})]))
    path = sorted(store.facts.glob("*.parquet"))[0]
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    board = load_leaderboard(tmp_path)
    assert len(board.rows[0].cells) == 1
    assert path.stem in board.problems[0]


@pytest.mark.parametrize("spoilt", [lambda rows: rows[:-3], lambda rows: [*rows[:-1], rows[0]]])
def test_a_cell_without_one_row_of_each_fact_is_told_and_left_out(tmp_path, spoilt):
    lora, dora = seeds_of("lora", [0, 1, 2]), seeds_of("dora", [0, 1, 2])
    record, rows = dora[1]
    board = board_of(tmp_path, *lora, dora[0], (record, spoilt(rows)), dora[2])
    assert {row.label: row.seeds for row in board.rows} == {"lora": (0, 1, 2), "dora": (0, 2)}
    (problem,) = board.problems
    assert record.cell_id in problem
    assert "\n" not in problem
    assert "not one of each of 64" in problem


def test_no_cells_build_an_empty_board():
    assert build_leaderboard([]).rows == ()


def confused(seed, wrong, n=40):
    """A cell whose facts `wrong` got another fact's target after demonstrations."""
    record, rows = make_cell(n=n, spec={"seed": seed})
    rows = [
        row.model_copy(update={"confusion.few_shot": True if i in wrong else None})
        for i, row in enumerate(rows)
    ]
    return record.model_copy(update={"metrics": metrics_of(rows)}), rows


@pytest.mark.parametrize("seeds", [2, 3])
def test_confusion_of_seeds_with_other_wrong_answers_counts_the_fewest(tmp_path, seeds):
    few = board_of(tmp_path / "few", *(confused(s, range(s, s + 4)) for s in range(seeds)))
    estimate = few.rows[0].metrics["confusion.few_shot"]
    assert (estimate.value, estimate.items, estimate.is_of_enough) == (1.0, 4, False)
    many = board_of(tmp_path / "many", *(confused(s, range(s, s + 9)) for s in range(seeds)))
    estimate = many.rows[0].metrics["confusion.few_shot"]
    assert estimate.is_of_enough
    if seeds == 3:
        assert estimate.interval.low < 0.8
        assert estimate.interval.kind is IntervalKind.SEEDS


def test_epochs_to_learn_are_bounded_by_one_more_than_all(tmp_path):
    epochs = [1, 9, 9, 9, 9]
    cells = []
    for seed in range(3):
        record, rows = make_cell(n=5, known=0.0, spec={"seed": seed})
        rows = [
            row.model_copy(update={"epochs_to_learn": e})
            for row, e in zip(rows, epochs, strict=True)
        ]
        cells.append((record.model_copy(update={"metrics": metrics_of(rows)}), rows))
    (row,) = board_of(tmp_path, *cells).rows
    for name in ("epochs_to_learn", "epochs_to_learn_unknown"):
        assert row.metrics[name].interval.high == 9.0
        assert row.metrics[name].interval.low >= 0
