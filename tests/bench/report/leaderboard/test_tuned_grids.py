"""What the report shows of tuned grids: the best candidates' cells, and how they were chosen."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots import tuning as tuning_plot
from bench.report.plots._style import image, method_styles, settings
from bench.report.recommend import Limits, recommend
from bench.report.show import show_cell
from bench.report.tables.remarks import marks, warnings
from bench.report.tables.tuning import tuning_table
from bench.report.write import write_report
from bench.store.records import Status, Tuned
from tests.bench.report_cells import fill, make_cell

TUNING, REPORTING = "t" * 64, "r" * 64
RATES = (1e-4, 3e-4, 1e-3)
DOSE = ("learned_half", "drift_at_90", "drift_at_50")


def cell(method, rate, fact_set="tuning", over=("lr",), asked=None, **changes):
    """A cell of a tuned grid with made-up numbers."""
    digests = [TUNING, REPORTING] if fact_set == "tuning" else [REPORTING, TUNING]
    tuned = Tuned(
        fact_set=fact_set,
        method=asked or method,
        other_digest=digests[1],
        other_facts=64,
        over=over,
    )
    spec = changes.pop("spec", {})
    seed = {"seed": 1000} if fact_set == "tuning" else {}
    spec = {"method": method, "learning_rate": rate, "facts_digest": digests[0], **seed, **spec}
    dose = {name: changes.pop(name) for name in DOSE if name in changes}
    record, rows = make_cell(spec={**spec, "tuned": tuned}, **changes)
    metrics = record.metrics.model_copy(update=dose)
    return record.model_copy(update={"metrics": metrics}), rows


def grid(methods=("lora", "dora"), accuracies=(0.3, 0.8, 0.6), seeds=(0, 1)):
    """Methods with three rates tried; the middle one is best, and reported."""
    for method in methods:
        for rate, accuracy in zip(RATES, accuracies, strict=True):
            yield tried(method, rate, accuracy)
        for seed in seeds:
            yield cell(method, RATES[1], "reporting", accuracy=0.7, spec={"seed": seed})


def tried(method, rate, accuracy, seed=1000, **dose):
    """A candidate of `grid`, with what else it measured."""
    lost = {"lost": rate * 100, "drift": rate * 1000}
    return cell(method, rate, accuracy=accuracy, spec={"seed": seed}, **lost, **dose)


def dosed(method="lora", halves=(0.55, 0.79, 0.8), at_90=(0.1, 0.2, 0.4), seeds=(1000, 1001)):
    """Candidates whose final accuracy says nothing: the highest rate learns most at half."""
    for seed in seeds:
        for rate, half, drift in zip(RATES, halves, at_90, strict=True):
            off = 0.01 * (seed - 1000)
            dose = {
                "learned_half": half + off,
                "drift_at_90": drift + off,
                "drift_at_50": drift / 2,
            }
            yield tried(method, rate, 1.0, seed, **dose)


def test_candidates_are_compared_over_their_seeds_before_the_ceiling(tmp_path):
    cells = [*dosed(), *[c for c in grid(["lora"]) if c[0].spec.fact_set == "reporting"]]
    [section] = board_of(tmp_path / "whole", *cells).sections
    [row] = section.rows
    assert row.tuning.best.spec.learning_rate == 3e-4, "as good within two points, and less drift"
    entry = row.tuning.tried[1]
    assert [c.record.spec.seed for c in entry.cells] == [1000, 1001]
    assert entry.scores["learned_half"].value == pytest.approx(0.795)
    assert entry.trial.lost["drift_at_90"] == pytest.approx(0.205)
    assert warnings(section) == []
    table = tuning_table(section)
    assert "79.5" in table.lines[1][2]
    assert table.lines[1][3].startswith("0.205")
    # The second seed of the best is missing: it is not tried yet.
    partly = [c for c in cells if (c[0].spec.seed, c[0].spec.learning_rate) != (1001, 3e-4)]
    [row] = board_of(tmp_path / "partly", *partly).rows
    assert [e.trial.spec.learning_rate for e in row.tuning.tried] == [1e-4, 1e-3]


def test_candidates_at_the_ceiling_and_other_seeds_are_warned_of(tmp_path, snapshot):
    cells = [
        *dosed(halves=(0.5, 0.985, 0.99)),
        *dosed("dora", seeds=(1000,)),
        *[c for c in grid() if c[0].spec.fact_set == "reporting"],
    ]
    [section] = board_of(tmp_path, *cells).sections
    ceiling, seeds = warnings(section)
    assert "98%" in ceiling
    assert "1000 and 1001" in seeds
    snapshot("tuning", "candidates at the ceiling, and other seeds", f"{ceiling}\n{seeds}")


def reported(method="lora"):
    return [c for c in grid([method]) if c[0].spec.fact_set == "reporting"]


def floored(ends, seeds=(1000, 1001)):
    """Candidates that have learned less than a tenth at half the epochs, the lowest rate most."""
    for seed in seeds:
        for rate, half, end in zip(RATES, (0.09, 0.08, 0.0), ends, strict=True):
            dose = {"learned_half": half, "drift_at_50": rate}
            yield tried("lora", rate, end, seed, **dose)


def test_where_none_has_learned_a_tenth_at_half_the_end_decides(tmp_path, snapshot):
    [section] = board_of(tmp_path, *floored((0.2, 0.9, 0.5)), *reported()).sections
    [row] = section.rows
    assert row.tuning.best.spec.learning_rate == RATES[1]
    assert {entry.trial.measure for entry in row.tuning.tried} == {"reliability"}
    [said] = [line for line in warnings(section) if "10%" in line]
    assert said.startswith("lora: ")
    assert "means little" not in said
    table = tuning_table(section)
    assert table.headers[2:4] == ["learned in half the epochs (%) ↑", "answered in the end (%) ↑"]
    assert [line[2].split()[0] for line in table.lines] == ["9.0", "8.0", "0.0"]
    snapshot("tuning", "candidates at the floor", f"{said}\n{table.remark}")


def test_one_method_at_the_floor_changes_nothing_for_another(tmp_path):
    others = dosed("dora", halves=(0.55, 0.79, 0.8))
    cells = [*floored((0.2, 0.9, 0.5)), *others, *reported(), *reported("dora")]
    [section] = board_of(tmp_path, *cells).sections
    lora, dora = (next(r for r in section.rows if r.label == name) for name in ("lora", "dora"))
    assert {entry.trial.measure for entry in lora.tuning.tried} == {"reliability"}
    assert {entry.trial.measure for entry in dora.tuning.tried} == {"learned_half"}
    assert dora.tuning.best.spec.learning_rate == 3e-4
    assert len(tuning_table(section).lines) == 6


def test_candidates_that_learned_next_to_nothing_in_the_end_are_warned_of(tmp_path):
    [section] = board_of(tmp_path, *floored((0.02, 0.05, 0.04)), *reported()).sections
    [said] = [line for line in warnings(section) if "10%" in line]
    assert said.startswith("lora: no candidate learned 10% in the end")
    assert "means little" in said


def diverged(made):
    record, _ = made
    keep = record.model_dump(include={"cell_id", "spec"})
    return type(record).model_validate(
        {**keep, "status": Status.DIVERGED, "reason": "loss nan at step 3"}
    ), []


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def test_only_cells_of_the_reporting_set_count_anywhere(tmp_path):
    cells = list(grid())
    board = board_of(tmp_path / "all", *cells)
    alone = board_of(tmp_path / "alone", *[c for c in cells if c[0].spec.fact_set == "reporting"])
    [section], [without] = board.sections, alone.sections
    assert (section.title, section.facts) == ("smollm2-135m on countries", 64)
    for row, bare in zip(section.rows, without.rows, strict=True):
        assert (row.label, row.metrics, row.standing) == (bare.label, bare.metrics, bare.standing)
        assert (row.forgetting, row.phases) == (bare.forgetting, bare.phases)
        assert "lr 0.0003" in marks(row)
        assert [e.trial.spec.learning_rate for e in row.tuning.tried] == list(RATES)
    assert warnings(section) == []
    assert board.overall is None, "the tuning set is no task of its own"
    assert recommend(section, Limits()) == recommend(without, Limits())


def test_a_later_grid_with_more_values_replaces_the_earlier_choice(tmp_path, snapshot):
    better = [cell("lora", 1e-2, accuracy=1.0)]
    board = board_of(tmp_path / "tried", *grid(["lora"]), *better)
    [section] = board.sections
    [row] = section.rows
    assert {c.record.spec.learning_rate for c in row.cells} == {3e-4}
    assert any("0.01" in line for line in warnings(section))
    told = warnings(section)
    better += [cell("lora", 1e-2, "reporting", accuracy=0.9)]
    [section] = board_of(tmp_path / "trained", *grid(["lora"]), *better).sections
    [row] = section.rows
    assert {c.record.spec.learning_rate for c in row.cells} == {1e-2}
    largest, replaced = warnings(section)
    assert "0.01" in largest
    assert "0.0003" in replaced
    snapshot("tuning", "a later grid with more values", "\n".join((*told, largest, replaced)))


def test_other_values_for_other_methods_are_warned_of(tmp_path, snapshot):
    cells = [c for c in grid() if (c[0].spec.asked, c[0].spec.learning_rate) != ("dora", 1e-4)]
    [section] = board_of(tmp_path, *cells).sections
    edge, budgets = warnings(section)
    assert "dora" in edge
    assert "0.0001" in budgets
    snapshot("tuning", "other values for other methods", f"{edge}\n{budgets}")


def test_grids_that_differ_in_what_was_not_tuned_are_two_rows(tmp_path):
    longer = [
        cell("lora", rate, accuracy=accuracy, spec={"epochs": 20})
        for rate, accuracy in zip(RATES, (0.9, 0.5, 0.4), strict=True)
    ]
    longer += [cell("lora", 1e-4, "reporting", spec={"epochs": 20})]
    [section] = board_of(tmp_path, *grid(["lora"]), *longer).sections
    assert {row.label for row in section.rows} == {"lora (8 epochs)", "lora (20 epochs)"}
    assert {len(row.tuning.tried) for row in section.rows} == {3}


def test_what_was_tuned_later_joins_what_was_tuned_before(tmp_path):
    wider = [
        cell(f"lora[r={r}]", rate, over=("lr", "r"), asked="lora", accuracy=0.2)
        for rate in RATES
        for r in (8, 32)
    ]
    [row] = board_of(tmp_path, *grid(["lora"]), *wider).rows
    assert (row.tuning.over, len(row.tuning.tried)) == (("lr", "r"), 9)
    assert row.label == "lora"
    assert "lr 0.0003, r 16" in marks(row)


def test_a_method_that_is_not_trained_yet_or_never_is_a_row(tmp_path, snapshot):
    failing = [diverged(cell("pissa", rate)) for rate in RATES]
    open_ = [c for c in grid(["dora"]) if c[0].spec.fact_set == "tuning"]
    [section] = board_of(tmp_path / "some", *grid(["lora"]), *failing, *open_).sections
    said = {row.label: marks(row) for row in section.rows}
    assert ["0.0003" in said[method] for method in ("lora", "dora", "pissa")] == [True, True, False]
    rows = "\n".join(f"{label}: {mark}" for label, mark in sorted(said.items()))
    snapshot("tuning", "methods that are chosen, not trained yet, and without a result", rows)
    lines = tuning_table(section).lines
    assert [line[0] for line in lines] == ["dora"] * 3 + ["lora"] * 3 + ["pissa"] * 3
    assert [line[-1] for line in lines] == ["", "chosen", ""] * 2 + ["diverged"] * 3
    assert lines[-1][2:5] == ["-", "-", "-"]
    written = write_report(fill(tmp_path / "none", failing))
    assert written.plots == ()
    assert "diverged" in written.markdown.read_text()
    assert pd.read_csv(written.csv)["failed_cells"].tolist() == [3]


@pytest.fixture
def written(tmp_path):
    reporting = [c for c in grid() if c[0].spec.fact_set == "reporting"]
    failing = [diverged(cell("lora", 1e-1, spec={"seed": seed})) for seed in (1000, 1001)]
    return write_report(fill(tmp_path, [*dosed(), *dosed("dora"), *failing, *reporting]))


def test_the_table_and_the_curve_are_in_every_form(written, snapshot):
    text = written.markdown.read_text()
    tuning = text[text.index("### Tuning") :].partition("## How to read this")[0]
    assert re.search(r"^\| lora +\| lr 0\.1 +\|", tuning, flags=re.MULTILINE)
    snapshot("tuning", "the section of leaderboard.md", tuning)
    page = written.html.read_text()
    assert "<h3>Tuning</h3>" in page
    assert page.count('<tr class="chosen">') == 2
    assert {p.suffix for p in written.plots if p.name.startswith("tuning-")} == {".png", ".svg"}
    frame = pd.read_csv(written.csv)
    assert frame["method"].tolist() == frame["label"].tolist()
    assert set(frame["learning_rate"]) == {3e-4}
    assert set(frame["seeds"]) == {2}


def test_a_curve_is_a_cut_through_the_chosen_candidate(tmp_path):
    wider = [
        cell(f"lora[r={r}]", rate, over=("lr", "r"), asked="lora", accuracy=0.2)
        for rate in RATES
        for r in (8, 32)
    ]
    board = board_of(tmp_path, *grid(["lora"]), *wider)
    [section] = board.sections
    [row] = section.rows
    rates = [entry.trial.spec for entry in tuning_plot.curve(row, "lr")]
    assert [(s.learning_rate, s.recipe) for s in rates] == [(r, "lora[r=16]") for r in RATES]
    ranks = tuning_plot.curve(row, "r")
    assert {entry.trial.spec.learning_rate for entry in ranks} == {3e-4}
    places = tuning_plot.places_of(ranks, "r")
    assert list(places) == ["8", "16", "32"]
    with settings():
        figure = tuning_plot.draw(section, method_styles(board))
        assert len(figure.axes) == 2 * 3
        assert image(figure, "png")


@pytest.mark.parametrize("count", [1, 2, 18])
def test_methods_at_one_value_lie_nearer_to_it_than_to_the_next(count):
    places = [-4.0, -3.5, -3.0, -2.5, -2.0]
    reach = tuning_plot.dodge_of(places, count) * (count - 1) / 2
    assert 0 <= reach <= 0.2 * 0.5
    assert tuning_plot.dodge_of([3.0], 18) > 0


def test_many_methods_are_drawn_without_bars(tmp_path):
    many = [f"lora+last[n={n}]" for n in range(1, tuning_plot.MOST_WITH_BARS + 2)]
    for methods, drawn in ((many[:-1], True), (many, False)):
        board = board_of(tmp_path / str(drawn), *grid(methods))
        with settings():
            figure = tuning_plot.draw(board.sections[0], method_styles(board))
        told = " ".join(text.get_text() for text in figure.texts)
        assert ("95" in told) is drawn
        assert any(axes.collections for axes in figure.axes) is drawn


def test_without_tuning_there_is_no_curve(tmp_path):
    board = board_of(tmp_path, make_cell())
    assert tuning_plot.draw(board.sections[0], method_styles(board)) is None


def test_a_tuned_and_an_untuned_grid_are_two_sections(tmp_path):
    board = board_of(tmp_path, *grid(["lora"]), make_cell(spec={"method": "lora"}))
    assert len({section.title for section in board.sections}) == 2


def test_show_says_which_set_a_cell_is_of(tmp_path):
    [first, *_] = grid()
    fill(tmp_path, [first])
    assert "tuning facts" in show_cell(tmp_path, first[0].cell_id)
