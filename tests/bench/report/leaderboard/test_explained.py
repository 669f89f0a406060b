"""What `--explain` measured, in rows, tables, `show` and the plot; and what it goes with."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.evaluation.why import MEASURES, of_layers
from bench.report.leaderboard.board import DRIFT
from bench.report.leaderboard.explained import association, lost_tasks, measured, points
from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots import why
from bench.report.plots._style import image, method_styles, settings
from bench.report.show import show_cell
from bench.report.tables.csv import leaderboard_frame
from bench.report.tables.markdown import leaderboard_markdown
from bench.report.write import write_report
from bench.store.records import PhaseName, WeightChange
from tests.bench.report_cells import fill, make_cell, make_change

BY_NAME = {measure.name: measure for measure in MEASURES}


def cells(methods, seeds=3, noise=0.2):
    """Cells whose drift grows with the square of the size of their change, within methods too."""
    rng = np.random.default_rng(0)
    found = []
    for number, method in enumerate(methods):
        for seed in range(seeds):
            size = 2.0**number * math.exp(noise * rng.normal())
            drift = 0.01 * size**2
            found.append(
                make_cell(
                    n=16,
                    drift=drift,
                    lost=0.02 * (number + 1),
                    spec={"method": method, "seed": seed},
                    change=make_change(size),
                )
            )
    return found


@pytest.fixture
def board(tmp_path):
    return load_leaderboard(fill(tmp_path, cells(["lora", "dora", "pissa", "full", "corda"])))


def test_measures_are_means_over_all_layers_or_those_that_changed():
    change = make_change(2.0)
    assert BY_NAME["csd.task"].of(change) == 5.0, "the mean of 2, 4, 6, 8"
    assert BY_NAME["csd.knowledge"].of(change) == 2.5
    assert BY_NAME["csd_relative.task"].of(change) == pytest.approx(0.5)
    assert BY_NAME["csd_normalised.task"].of(change) == pytest.approx(5 / 8)
    assert BY_NAME["change_norm"].of(change) == pytest.approx(8**0.5)
    assert BY_NAME["overlap_top_left"].of(change) == pytest.approx(0.5)
    twice = change.model_copy(update={"linear_layers": 8})
    for name, measure in BY_NAME.items():  # as many layers again that did not change
        half = 2 if name.startswith(("csd.", "csd_relative")) else 1
        assert measure.of(twice) == pytest.approx(measure.of(change) / half), name
    last = of_layers(change, [3])
    assert BY_NAME["csd.task"].of(last) == 8.0
    assert last.layers == ["model.layers.1.mlp.down"]


def test_a_share_weighs_layers_by_how_much_they_changed():
    change = make_change(1.0).model_copy(
        update={"squared_norm": [3.0, 1.0, 0.0, 0.0], "top_left": [1.0, 0.0, 0.0, 0.0]}
    )
    assert BY_NAME["overlap_top_left"].of(change) == pytest.approx(0.75)


@pytest.mark.parametrize("change", [None, WeightChange(knowledge_digest="k")])
def test_without_a_change_of_weights_there_is_no_value(change, tmp_path):
    assert {measure.of(change) for measure in MEASURES} == {None}
    found = [make_cell(n=8, spec={"method": m}, change=change) for m in ("lora", "dora")]
    frame = leaderboard_frame(load_leaderboard(fill(tmp_path, found)))
    assert ("csd.knowledge" in frame) == (change is not None)
    assert change is None or frame["csd.knowledge"].isna().all()


def test_a_change_that_is_zero_has_values_but_no_direction():
    zero = make_change(0.0)
    values = {name: measure.of(zero) for name, measure in BY_NAME.items()}
    assert values["csd.knowledge"] == values["change_norm"] == 0
    assert values["csd_normalised.knowledge"] is values["overlap_top_left"] is None


def test_the_csv_has_means_over_seeds_with_intervals(board):
    frame = leaderboard_frame(board)
    for row in board.rows:
        line = frame[frame["label"] == row.label].iloc[0]
        for measure in MEASURES:
            values = [measure.of(cell.record.change) for cell in row.cells]
            assert line[measure.name] == pytest.approx(np.mean(values))
            assert line[f"{measure.name}_low"] <= line[measure.name] <= line[f"{measure.name}_high"]
    assert frame["seconds.explain"].isna().all(), "a phase of its own, and these cells had none"


def test_without_explain_nothing_is_said_of_it(tmp_path):
    board = load_leaderboard(fill(tmp_path, [make_cell(n=8)]))
    assert not [name for name in leaderboard_frame(board) if "csd" in name or "explain" in name]
    assert "--explain" not in leaderboard_markdown(board)
    with settings():
        assert why.draw(board.sections[0], method_styles(board)) is None


def test_one_seed_has_no_interval(tmp_path):
    board = load_leaderboard(fill(tmp_path, [make_cell(n=8, change=make_change())]))
    found = measured(board.rows[0])["csd.knowledge"]
    assert found.value == pytest.approx(1.25)
    assert found.interval is None


def test_correlations_are_over_methods_and_within_them(board):
    section = board.sections[0]
    assert lost_tasks(section)[0] == DRIFT
    how = association(section, BY_NAME["csd.knowledge"], DRIFT)
    assert how.over.points == 5
    assert (how.within.points, how.within.groups) == (15, 5)
    # Drift is gamma-distributed about 0.01 size^2, so that logarithms are nearly on a line.
    assert how.over.value > 0.98
    assert 0.5 < how.within.value < 1
    assert how.within.low < how.within.value < how.within.high
    none = association(section, BY_NAME["overlap_top_left"], DRIFT)
    assert none.over is None, "the same for all"


@pytest.mark.parametrize("least", [0.0, 1e-16])
def test_a_share_that_is_zero_but_for_rounding_does_not_decide_the_correlation(least, tmp_path):
    shares = [0.06, 0.08, 0.1, 0.12, least]
    found = []
    for share, (record, *rest) in zip(
        shares, cells(["lora", "dora", "pissa", "full", "mica"], seeds=1), strict=True
    ):
        change = record.change.model_copy(update={"top_left": [share] * 4})
        found.append((record.model_copy(update={"change": change}), *rest))
    section = load_leaderboard(fill(tmp_path, found)).sections[0]
    cloud = points(section, BY_NAME["overlap_top_left"], DRIFT)
    assert sorted(point.value for point in cloud) == pytest.approx(sorted(shares))
    drift = [math.log(point.lost) for point in cloud]
    expected = np.corrcoef([point.value for point in cloud], drift)[0, 1]
    how = association(section, BY_NAME["overlap_top_left"], DRIFT)
    assert how.over.value == pytest.approx(expected)


def test_a_task_may_be_forgotten_less_than_nothing(tmp_path):
    found = cells(["lora", "dora", "pissa", "full"])
    gained = [
        (
            record.model_copy(
                update={
                    "forgetting": [
                        one if one.task == DRIFT else one.model_copy(update={"forgetting": -0.1})
                        for one in record.forgetting
                    ]
                }
            ),
            rows,
        )
        if record.spec.method == "lora"
        else (record, rows)
        for record, rows in found
    ]
    section = load_leaderboard(fill(tmp_path, gained)).sections[0]
    assert association(section, BY_NAME["change_norm"], "elements").over.points == 4


def test_cells_of_one_method_at_several_rates_are_one_group(tmp_path):
    found = [
        make_cell(
            n=8,
            drift=0.01 * rate,
            spec={"method": method, "learning_rate": rate},
            change=make_change(rate),
        )
        for method in ("lora", "dora")
        for rate in (1.0, 2.0, 4.0)
    ]
    section = load_leaderboard(fill(tmp_path, found)).sections[0]
    assert len(section.rows) == 6
    how = association(section, BY_NAME["change_norm"], DRIFT)
    assert how.over is None, "two methods are no five"
    assert (how.within.points, how.within.groups) == (6, 2)
    assert how.within.value > 0.8


def test_nothing_that_did_not_drift_is_a_point(tmp_path):
    found = [make_cell(n=8, change=make_change(0.0)), make_cell(n=8, spec={"seed": 1})]
    section = load_leaderboard(fill(tmp_path, found)).sections[0]
    assert points(section, BY_NAME["csd.knowledge"], DRIFT) == []


def test_tables_say_what_goes_with_what_and_what_it_is(board, tmp_path):
    text = leaderboard_markdown(board)
    table = text.partition("Why it was forgotten")[2].partition("###")[0]
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if "csd" in line}
    how = association(board.sections[0], BY_NAME["csd.knowledge"], DRIFT)
    written = next(
        line for name, line in lines.items() if name.replace("\\", "") == "csd.knowledge"
    )
    assert f"{how.over.value:+.2f}" in written
    assert f"{how.within.value:+.2f}" in written
    squeezed = text.replace("\\", "")
    for measure in MEASURES:
        assert measure.explanation.partition(",")[0].replace("\\", "") in squeezed


def test_show_prints_each_layer_and_all_of_them(tmp_path):
    record, rows = make_cell(n=4, change=make_change(2.0))
    fill(tmp_path, [(record, rows)])
    text = show_cell(tmp_path, record.cell_id[:8], width=200)
    lines = {
        words[0]: words[1:]
        for line in text.partition("why")[2].splitlines()
        if (words := line.split()) and words[0] in ("1", "2", "all")
    }
    place = [measure.name for measure in MEASURES].index("csd.task")
    assert [float(lines[key][place]) for key in ("1", "2", "all")] == [3.0, 7.0, 5.0]
    assert "4,096" in text


def test_the_report_draws_it_and_reads_it_back(tmp_path):
    fill(tmp_path, cells(["lora", "dora", "pissa", "full"], seeds=2))
    written = write_report(tmp_path, wanted_plots="all")
    assert any(path.name.startswith("why-") for path in written.plots)
    assert "csd.knowledge" in pd.read_csv(written.csv)
    assert "Why it was forgotten" in written.html.read_text()


def test_the_plot_has_a_panel_for_each_drawn_measure_and_task(board):
    section = board.sections[0]
    with settings():
        figure = why.draw(section, method_styles(board))
        assert image(figure, "png")
    drawn = [measure for measure in MEASURES if measure.drawn]
    assert len(figure.axes) == len(drawn) * len(lost_tasks(section))
    assert all("over methods" in axes.get_title(loc="left") for axes in figure.axes)
    assert len(figure.axes[0].lines) == 15


def test_a_phase_of_its_own_is_in_the_csv(tmp_path):
    record, rows = make_cell(n=8, change=make_change())
    phases = {**record.phases, PhaseName.EXPLAIN: record.phases[PhaseName.TRAIN]}
    fill(tmp_path, [(record.model_copy(update={"phases": phases}), rows)])
    frame = leaderboard_frame(load_leaderboard(tmp_path))
    assert frame["seconds.explain"].iloc[0] == 48
