"""The laws of a comparison: itself, swapped, recomputed plainly, and what is left out."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.report.changes import sentences
from bench.report.changes.build import changes_between
from bench.report.changes.csv import changes_csv
from bench.report.changes.terminal import terminal_changes
from bench.report.statistics.comparison import Verdict
from bench.store.records import Evaluated, Status
from bench.store.store import ResultsStore
from scripts.pack_results import pack
from tests.bench.report.changes.folders import (
    SEEDS,
    answered,
    cells_of,
    compared,
    two_folders,
)
from tests.bench.report_cells import make_cell, make_drift, make_forgetting

EXAMPLES = Path(__file__).parents[4] / "results" / "example"
OPPOSITE = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


def example(*parts):
    folder = EXAMPLES.joinpath(*parts)
    return pytest.param(folder, id=folder.name)


@pytest.mark.parametrize("folder", [example(), example("corda_table1"), example("semantics")])
def test_a_folder_against_itself_says_that_nothing_changed(folder):
    changes = changes_between(folder, folder)
    assert len(changes.pairs) == len(ResultsStore(folder).records().records)
    assert changes.changes
    assert not changes.moved
    assert not changes.marked
    assert {change.comparison.difference.value for change in changes.changes} == {0}
    assert not any(row.answers or row.notes for row in changes.rows)
    assert not sentences.listed(changes)
    assert "Nothing changed" in terminal_changes(changes)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Folders of three methods and seeds: one unchanged, one far worse, one a little better."""
    same = cells_of("lora", 0.9)
    a = [*same, *cells_of("dora", 0.95, drift=0.1), *cells_of("pissa", 0.8)]
    b = [*same, *cells_of("dora", 0.4, lost=0.3, drift=0.5), *cells_of("pissa", 0.82)]
    return two_folders(tmp_path_factory.mktemp("known"), a, b)


def test_swapping_the_folders_flips_every_sign(known):
    a, b = known
    forth, back = changes_between(a, b), changes_between(b, a)
    assert forth.marked
    assert [row.label for row in forth.rows] == [row.label for row in back.rows]
    for there, again in zip(forth.changes, back.changes, strict=True):
        assert there.measure.name == again.measure.name
        assert (there.a, there.b) == (again.b, again.a)
        assert (there.paired, there.moved) == (again.paired, again.moved)
        one, other = there.comparison, again.comparison
        assert one.difference.value == -other.difference.value
        ends = one.difference.interval, other.difference.interval
        assert (ends[0].low, ends[0].high) == pytest.approx((-ends[1].high, -ends[1].low))
        assert (one.p, one.p_holm) == pytest.approx((other.p, other.p_holm))
        assert other.verdict is OPPOSITE.get(one.verdict, one.verdict)
    answers = [[answer for row in side.rows for answer in row.answers] for side in (forth, back)]
    assert [(x.answer_a, x.right_a) for x in answers[0]] == [
        (x.answer_b, x.right_b) for x in answers[1]
    ]


def howe(values):
    """Howe's interval of the mean of `[seeds, facts]`, and its p, written out plainly."""
    seeds, facts = values.shape
    mean, by_seed, by_fact = values.mean(), values.mean(axis=1), values.mean(axis=0)
    over_seeds = facts * by_seed.var(ddof=1)
    over_facts = seeds * by_fact.var(ddof=1)
    rest = values - by_seed[:, None] - by_fact[None, :] + mean
    agreed = np.ptp(by_seed) < 1e-12  # then nothing is known of the rest: it is left to the facts
    error = 0.0 if agreed else (rest**2).sum() / ((seeds - 1) * (facts - 1))
    over_seeds = 0.0 if agreed else over_seeds

    def half(miss):
        t_seeds, t_facts = (stats.t.isf(miss / 2, n - 1) for n in (seeds, facts))
        squared = t_seeds**2 * over_seeds + t_facts**2 * max(over_facts - error, 0)
        return np.sqrt(squared / (seeds * facts))

    low, high = -400.0, 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if half(np.exp(middle)) <= abs(mean) else (middle, high)
    return mean - half(0.05), mean + half(0.05), np.exp(high)


def holm(ps):
    """Return by name the p-values after Holm's correction."""
    adjusted, worst = {}, 0.0
    for place, (name, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        worst = max(worst, p * (len(ps) - place))
        adjusted[name] = min(worst, 1.0)
    return adjusted


COLUMNS = {
    "reliability": ("correct_after", False),
    "epochs_to_learn_unknown": ("epochs_to_learn", True),
    "robustness.chat": ("correct.chat", False),
}


def difference(known, method, measure):
    """Return B minus A `[seeds, facts]` from the stored files alone."""
    found = []
    for folder in known:
        store = ResultsStore(folder)
        records = [r for r in store.records().records if r.spec.method == method]
        side = []
        for record in sorted(records, key=lambda record: record.spec.seed):
            if measure == "drift":
                [entry] = [e for e in record.forgetting if e.task == "drift"]
                side.append(np.array(entry.tuned_items) - np.array(entry.base_items))
            elif measure.startswith("forgetting."):
                [entry] = [e for e in record.forgetting if f"forgetting.{e.task}" == measure]
                side.append(np.array(entry.base_items) - np.array(entry.tuned_items))
            else:
                column, unknown = COLUMNS[measure]
                rows = pd.read_parquet(folder / "facts" / f"{record.cell_id}.parquet")
                rows = rows.sort_values("fact_id")
                rows = rows[rows["knowledge"] != "known"] if unknown else rows
                side.append(rows[column].astype(float).to_numpy())
        found.append(np.array(side))
    return found[1] - found[0]


@pytest.mark.parametrize("measure", [*COLUMNS, "drift", "forgetting.elements"])
def test_numbers_are_those_of_a_plain_recomputation(known, measure):
    rows = {row.label: row.changes[measure] for row in changes_between(*known).rows}
    plain = {method: difference(known, method, measure) for method in rows}
    ps = {}
    for method, values in plain.items():
        change = rows[method]
        assert change.comparison.seeds == SEEDS
        assert change.comparison.difference.value == pytest.approx(values.mean(), abs=1e-12)
        assert change.b - change.a == pytest.approx(values.mean(), abs=1e-12)
        assert (change.paired, change.moved) == (values.size, np.count_nonzero(values))
        if values.any():
            low, high, p = howe(values)
            interval = change.comparison.difference.interval
            assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)
            assert change.comparison.p == pytest.approx(p, rel=1e-6)
        ps[method] = change.comparison.p
    assert ps["lora"] == 1, "it is the same in both"
    for method, p in holm(ps).items():
        assert rows[method].comparison.p_holm == pytest.approx(p)


def test_what_got_far_worse_is_marked_and_what_stayed_is_not_shown(known):
    changes = changes_between(*known)
    rows = {row.label: row.changes for row in changes.rows}
    for measure in ("reliability", "drift", "forgetting.elements"):
        assert rows["dora"][measure].comparison.verdict is Verdict.WORSE
        assert rows["lora"][measure].comparison.verdict is Verdict.TIE
    shown = terminal_changes(changes)
    assert "▼" in shown
    assert not [line for line in shown.splitlines() if line.startswith("lora")]
    assert "Nothing differs in lora" in shown


def test_two_seeds_are_shown_and_decide_nothing(tmp_path):
    seeds = (0, 1)
    changes = compared(tmp_path, cells_of("lora", 0.95, seeds), cells_of("lora", 0.3, seeds))
    assert changes.moved
    assert not changes.marked
    assert {change.comparison.p for change in changes.changes} == {None}
    assert "fewer than 3 seeds decide nothing" in sentences.outcome(changes)


def test_only_seeds_that_both_have_are_compared(tmp_path):
    a, b = cells_of("lora", 0.9, (0, 1, 2, 3)), cells_of("lora", 0.7, (1, 2, 3, 4))
    changes = compared(tmp_path, a, b)
    assert {change.comparison.seeds for change in changes.changes} == {(1, 2, 3)}
    assert [cell.record.spec.seed for cell in changes.only_a] == [0]
    assert [cell.record.spec.seed for cell in changes.only_b] == [4]


def test_cells_of_two_versions_are_compared_and_the_version_is_told(tmp_path):
    new = cells_of(
        "lora", spec={"source_digest": "d" * 64}, provenance={"packages": {"peft": "0.22"}}
    )
    old = cells_of("lora", provenance={"packages": {"peft": "0.21"}, "finished": "yesterday"})
    changes = compared(tmp_path, old, new)
    assert not changes.moved
    assert not changes.only_a
    [version] = changes.versions
    assert (version.what, version.cells, version.labels) == ("source_digest", 3, ("lora",))
    [line] = sentences.versions(changes)
    assert "cccccccccccc → dddddddddddd" in line
    [line] = sentences.software(changes)
    assert line == "peft: 0.21 → 0.22"


def test_where_facts_differ_those_that_both_have_are_compared(tmp_path):
    [a], [b] = cells_of("lora", seeds=(0,)), cells_of("lora", 0.2, (0,))
    record, rows = b
    spec = record.spec.model_copy(update={"facts_digest": "0" * 64})
    reworded = [
        row.model_copy(update={"question": f"{row.question}!"}) if i < 24 else row
        for i, row in enumerate(rows)
    ]
    b = record.model_copy(update={"spec": spec, "cell_id": "f" * 32}), reworded
    [row] = compared(tmp_path, [a], [b]).rows
    change = row.changes["reliability"]
    assert change.paired == 40
    right = [np.mean([one.correct_after for one in side[24:]]) for side in (a[1], rows)]
    assert (change.a, change.b) == pytest.approx(right)
    assert row.notes == ("compared on the 40 of 64 facts that all cells have",)
    assert {answer.fact_id for answer in row.answers} <= {one.fact_id for one in rows[24:]}


def test_facts_are_paired_by_their_ids_whatever_the_order_of_the_rows(tmp_path):
    [(record, rows)] = cells_of("lora", seeds=(0,))
    changes = compared(tmp_path, [(record, rows)], [(record, rows[::-1])])
    assert changes.changes
    assert not changes.moved


def test_a_fact_that_is_only_right_in_one_folder_is_named(tmp_path):
    [a] = cells_of("lora", 1.0, (0,))
    b = answered(a, 5, answer_after="Atlantis", correct_after=False)
    b = answered(b, 6, answer_after="City 6, of course")
    [row] = compared(tmp_path, [a], [b]).rows
    assert [(x.fact_id, x.right_a, x.right_b) for x in row.answers] == [
        ("fact-0005", True, False),
        ("fact-0006", True, True),
    ]
    assert (row.answers[0].answer_a, row.answers[0].answer_b) == ("City 5", "Atlantis")
    assert row.changes["reliability"].moved == 1


def test_what_was_measured_on_other_items_is_not_compared(tmp_path):
    drift = make_drift()
    items = make_forgetting()
    a = make_cell(forgetting=[items, drift])
    b = make_cell(forgetting=[items.model_copy(update={"digest": "0" * 64})])
    [row] = compared(tmp_path, [a], [b]).rows
    assert not {"forgetting.elements", "drift"} & {*row.changes}
    assert row.notes == (
        "drift: measured only in A",
        "elements: measured on other items in B, so not compared",
    )


def test_what_was_learned_of_other_tasks_is_compared(tmp_path):
    def learned(right):
        items = [1.0] * right + [0.0] * (20 - right)
        return Evaluated(
            task="gsm8k", metric="acc", base=0.0, tuned=right / 20, base_items=[0.0] * 20,
            tuned_items=items, limit=20, digest="9" * 64,
        )  # fmt: skip

    a, b = make_cell(evaluated=[learned(5)]), make_cell(evaluated=[learned(15)])
    [row] = compared(tmp_path, [a], [b]).rows
    change = row.changes["learned.gsm8k"]
    assert (change.a, change.b, change.moved) == (0.25, 0.75, 10)
    assert change.comparison.more_is_better


def test_a_cell_that_ended_otherwise_is_told_and_not_compared(tmp_path):
    [(done, rows)] = cells_of("lora", seeds=(0,))
    failed = done.model_copy(update={"status": Status.DIVERGED, "reason": "loss is not finite"})
    changes = compared(tmp_path, [(done, rows)], [(failed, [])])
    assert not changes.rows
    [line] = sentences.ended(changes)
    assert "seed 0: done in A, diverged (loss is not finite) in B" in line
    assert "nothing is compared" in sentences.outcome(changes)


def test_cells_of_one_folder_are_told_with_what_the_other_has_instead(tmp_path):
    a = [*cells_of("lora"), *cells_of("dora"), *cells_of("pissa", seeds=(0, 1))]
    b = [*cells_of("lora"), *cells_of("dora", spec={"learning_rate": 3e-4}), *cells_of("pissa")]
    assert sentences.alone(compared(tmp_path, a, b)) == [
        "A: dora on countries, smollm2-135m, seeds 0, 1, 2; B has lr 0.0003 instead of 0.001",
        "B: dora on countries, smollm2-135m, seeds 0, 1, 2; A has lr 0.001 instead of 0.0003",
        "B: pissa on countries, smollm2-135m, seed 2; A has other seeds",
    ]


def test_a_damaged_cell_is_listed_and_the_others_are_compared(tmp_path):
    a, b = two_folders(tmp_path, cells_of("lora"), cells_of("lora", 0.5))
    cells = sorted((b / "cells").glob("*.json"))
    cells[0].write_text("{")
    facts = b / "facts" / f"{cells[1].stem}.parquet"
    facts.write_bytes(facts.read_bytes()[:4] + b"\0" * 400 + facts.read_bytes()[404:])
    changes = changes_between(a, b)
    lines = sentences.problems(changes)
    assert [line.startswith("B: ") for line in lines] == [True, True]
    assert {cells[0].name in lines[0], cells[1].stem in lines[1]} == {True}
    assert {len(change.comparison.seeds) for change in changes.changes} == {1}


def test_candidates_of_a_tuned_grid_are_left_out(tmp_path):
    def tuned(fact_set):
        values = {"method": "lora", "other_digest": "1" * 64, "other_facts": 8, "over": ("lr",)}
        return {"tuned": {**values, "fact_set": fact_set}}

    cells = [*cells_of("lora", spec=tuned("tuning")), *cells_of("lora", spec=tuned("reporting"))]
    changes = compared(tmp_path, cells, cells)
    assert len(changes.pairs) == 3
    assert changes.candidates == 6
    assert not changes.moved


def test_the_csv_has_a_line_for_every_comparison_with_the_numbers_that_are_shown(known):
    changes = changes_between(*known)
    table = pd.read_csv(StringIO(changes_csv(changes)))
    assert len(table) == len(changes.changes)
    assert (table["difference"] - (table["b"] - table["a"])).abs().max() < 1e-9
    assert ((table["low"] <= table["difference"]) & (table["difference"] <= table["high"])).all()
    marked = table[table["verdict"].isin(["better", "worse"])]
    assert len(marked) == len(changes.marked)
    signs = np.sign(marked["difference"]) * np.where(marked["more_is_better"], 1, -1)
    assert (signs == np.where(marked["verdict"] == "better", 1, -1)).all()


def test_packed_cells_are_compared_with_loose_ones(tmp_path):
    cells = cells_of("lora")
    a, b = two_folders(tmp_path, cells, cells)
    pack(b)
    changes = changes_between(a, b)
    assert len(changes.pairs) == 3
    assert not changes.moved


def test_rows_that_differ_in_a_alone_have_labels_of_their_own(tmp_path):
    """Cells of two sources in A may meet cells of one source in B."""
    a = [*cells_of("lora", seeds=(0,)), *cells_of("lora", seeds=(1,), spec={"evaluation": 9})]
    changes = compared(tmp_path, a, cells_of("lora", seeds=(0, 1)))
    labels = [row.label for row in changes.rows]
    assert len({*labels}) == 2
