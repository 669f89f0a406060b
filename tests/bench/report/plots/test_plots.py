"""Plots and the written report: stable styles, sound numbers, the same bytes twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.report.html.pictures import REPLACED
from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots import PLOTS, pareto
from bench.report.plots._bucket_panel import Line, draw_lines
from bench.report.plots._labels import Named, label_points
from bench.report.plots._style import image, method_styles, settings, style_of
from bench.report.plots.learning_curves import dose_curve
from bench.report.statistics.intervals import Estimate
from bench.report.write import write_report
from bench.store.asks import Asks
from tasks.errors import UsageError
from tests.bench.report_cells import failed_cell, fill, make_cell, make_forgetting, make_path

DEGENERATE = {
    "one fact": {"n": 1},
    "all known": {"known": 1.1},
    "nothing forgotten measured": {"forgetting": [], "path": []},
    "at floor": {"forgetting": [make_forgetting(at_floor=True)]},
    "no curve": {"curve": []},
    "one epoch": {"spec": {"epochs": 1}},
}


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_cells_draw_or_are_left_out(tmp_path, case):
    board = board_of(tmp_path, make_cell(**DEGENERATE[case]), failed_cell(method="dora"))
    styles = method_styles(board)
    with settings():
        figures = {kind.name: kind.draw(board.sections[0], styles) for kind in PLOTS}
        names = {name for name, figure in figures.items() if figure and image(figure, "png")}
    missing = {
        "nothing forgotten measured": {"pareto", "paths"},
        "at floor": {"pareto"},
        "all known": {"paths"},
        "no curve": {"learning-curves", "bucket-curves"},
    }
    rare = {"layers", "tuning", "why"}  # of grids that freeze layers, choose settings, explain
    assert names == {kind.name for kind in PLOTS} - rare - missing.get(case, set())


@pytest.mark.parametrize("asks", [Asks.FACTS, Asks.PROBLEMS, Asks.QUESTIONS])
def test_pictures_name_what_was_asked(tmp_path, asks):
    lessons = {} if asks is Asks.FACTS else {"lessons": 9, "lessons_digest": "b" * 64}
    record, rows = make_cell(n=60, relations=3, spec=lessons)
    board = board_of(tmp_path, (record.model_copy(update={"asks": asks}), rows))
    [section] = board.sections
    styles, said = method_styles(board), {}
    with settings():
        for kind in PLOTS:
            if figure := kind.draw(section, styles):
                texts = [figure.get_suptitle(), *map(str, chain(*map(words, figure.axes)))]
                said[kind.name] = re.findall(
                    r"facts?|problems?|questions?", " ".join(texts).lower()
                )
    assert {"paths", "learning-curves", "pareto", "dose-by-distance"} <= said.keys()
    for name, found in said.items():
        assert {asks.items.removesuffix("s"), asks.items} >= {*found}, name
    assert asks.items in said["paths"]


def words(axes):
    """What stands at the edges of a panel."""
    titles = (axes.get_title(loc) for loc in ("left", "center", "right"))
    return [axes.get_xlabel(), axes.get_ylabel(), *titles]


def test_a_folder_of_failures_has_tables_and_no_plots(tmp_path):
    fill(tmp_path, [failed_cell(reason="boom")])
    written = write_report(tmp_path)
    assert written.plots == ()
    assert "boom" in written.markdown.read_text()


def test_a_plot_that_raises_costs_its_own_picture_only(tmp_path, monkeypatch, capsys):
    def broken(section, styles):
        raise ValueError("no such column")

    def broken_across(board, drawing):
        raise KeyError("gone")
        yield

    whole = next(kind for kind in PLOTS if kind.name == "dose-by-distance")
    fill(tmp_path, [make_cell(n=8), make_cell(n=8, spec={"task": "elements"})])
    broken_kinds = [replace(whole, name="broken", draw=broken), whole]
    monkeypatch.setattr("bench.report.plots.PLOTS", broken_kinds)
    across = [replace(whole, name="wrong", across=True, draw=broken_across)]
    monkeypatch.setattr("bench.report.plots.BOARD_PLOTS", across)
    monkeypatch.setattr("bench.report.plots.NOT_LOADED", ["mine.py (line 1) cannot be loaded"])
    assert main(["report", "--out", str(tmp_path)]) == 0
    names = {path.name.partition("-smollm2")[0] for path in (tmp_path / "plots").iterdir()}
    assert names == {"dose-by-distance"}
    unloaded, first, second = capsys.readouterr().err.splitlines()
    assert "mine.py" in unloaded
    for line, name, why in (
        (first, "broken", "ValueError: no such column"),
        (second, "wrong", "KeyError: 'gone'"),
    ):
        assert f"cannot draw '{name}': {why}" in line
        assert "test_plots.py (line " in line


def test_styles_do_not_depend_on_the_order_of_rows_and_differ(tmp_path):
    methods = [f"method{i}" for i in range(12)]
    one = board_of(tmp_path / "a", *(make_cell(n=2, spec={"method": m}) for m in methods))
    two = board_of(
        tmp_path / "b",
        *(
            make_cell(n=2, accuracy=i / 12, spec={"method": m, "model": f"model{i % 2}"})
            for i, m in enumerate(methods)
        ),
    )
    assert method_styles(one) == method_styles(two)
    assert len(set(method_styles(one).values())) == 12
    assert len({style.color for style in list(method_styles(one).values())[:11]}) == 11


def test_the_front_holds_what_nothing_beats(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(accuracy=1.0, lost=0.1, spec={"method": "learns"}),
        make_cell(accuracy=0.5, lost=0.0, spec={"method": "keeps"}),
        make_cell(accuracy=0.2, lost=0.4, spec={"method": "bad"}),
    )
    points = pareto._points(board.sections[0], "elements")
    assert [point.row.label for point in pareto.front(points)] == ["keeps", "learns"]
    assert [p.row.label for p in points if pareto.dominated(p, points)] == ["bad"]


def test_a_point_within_the_intervals_is_not_called_dominated(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(accuracy=0.90, lost=0.05, spec={"method": "a"}),
        make_cell(accuracy=0.86, lost=0.06, spec={"method": "b"}),
    )
    points = pareto._points(board.sections[0], "elements")
    assert not any(pareto.dominated(point, points) for point in points)


def test_labels_of_crowded_points_do_not_overlap():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    with settings():
        figure = Figure(figsize=(5, 4))
        axes = figure.subplots()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        points = [Named(0.5 + i / 300, 0.9 + i / 200, f"method-{i}", "black") for i in range(9)]
        label_points([(axes, points)])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        # An annotation's own extent takes in its leader line; only texts must keep apart.
        boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
    assert len(boxes) == 9
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            shared = one.intersection(one, other)
            assert shared is None or shared.width * shared.height < 2


def test_the_report_is_the_same_bytes_in_another_process(tmp_path):
    cells = [make_cell(spec={"method": m}) for m in ("lora", "corda[mode=kpm]")]
    fill(tmp_path / "one", cells)
    fill(tmp_path / "two", reversed(cells))
    write_report(tmp_path / "one")
    root = Path(__file__).parents[4]
    script = "import sys, pathlib; from bench.report.write import write_report; "
    script += "write_report(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "two")],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "7"},
    )
    ones = sorted(p for p in (tmp_path / "one").glob("**/[lpd]*.*") if p.suffix != ".parquet")
    assert {p.suffix for p in ones} == {".csv", ".md", ".tex", ".html", ".png", ".svg"}
    for path in ones:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_the_page_embeds_its_plots_and_old_plots_are_removed(tmp_path):
    fill(tmp_path, [make_cell()])
    (tmp_path / "plots").mkdir()
    old = tmp_path / "plots" / "pareto-gone.png"
    mine = tmp_path / "plots" / "mine.png"
    for path in (old, mine):
        path.write_bytes(b"")
    written = write_report(tmp_path)
    embedded = written.html.read_text().count("data:image/svg+xml;base64,")
    assert embedded == 9 - len(REPLACED), "the others are drawn by the page itself"
    assert (old.exists(), mine.exists()) == (False, True)
    assert len(written.plots) == 18
    assert b"<dc:date>" not in written.plots[1].read_bytes()


def test_an_unwritable_report_is_one_line(tmp_path):
    fill(tmp_path, [failed_cell()])
    (tmp_path / "leaderboard.csv").mkdir()
    with pytest.raises(UsageError, match="cannot write the report to"):
        write_report(tmp_path)


def test_importing_the_store_costs_neither_pandas_nor_matplotlib():
    script = (
        "import sys, bench.store.store; print({'pandas', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    root = Path(__file__).parents[4]
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert found.stdout.strip() == "set()"


def test_a_dose_curve_counts_what_is_learned_and_stays_below_100_for_what_never_is():
    epochs = [np.array([0.0, 1, 3, 5]), np.array([2.0, 2, 5, 5])]
    curve = dose_curve(epochs, 4)
    assert [curve[e].value for e in range(5)] == [0.125, 0.25, 0.5, 0.625, 0.625]
    assert dose_curve([np.array([])], 4) == {}


def test_dose_curves_of_seeds_with_as_many_other_facts_are_not_paired(tmp_path, monkeypatch):
    cells = []
    for seed in range(2):
        record, rows = make_cell(n=20, known=0.0, spec={"seed": seed})
        rows = [
            row.model_copy(update={"epochs_to_learn": 3 if place % 2 == seed else None})
            for place, row in enumerate(rows)
        ]
        cells.append((record, rows))
    board = board_of(tmp_path, *cells)
    drawn = []
    monkeypatch.setattr(
        "bench.report.plots.learning_curves.draw_curve",
        lambda axes, points, *rest, **more: drawn.append(points),
    )
    kind = next(kind for kind in PLOTS if kind.name == "learning-curves")
    with settings():
        kind.draw(board.sections[0], method_styles(board))
    every, unknown, _ = drawn
    for points in (every, unknown):
        assert [points[epoch].value for epoch in (2, 3)] == [0.0, 1.0]
        assert {point.interval for point in points.values()} == {None}


def test_dose_curves_say_how_many_facts_were_never_learned(tmp_path):
    record, rows = make_cell(n=8, known=0.0)
    never = [8 + (place < 3) for place in range(8)]
    rows = [
        row.model_copy(update={"epochs_to_learn": found})
        for row, found in zip(rows, never, strict=True)
    ]
    board = board_of(tmp_path, (record, rows))
    kind = next(kind for kind in PLOTS if kind.name == "learning-curves")
    with settings():
        figure = kind.draw(board.sections[0], method_styles(board))
    assert "lora: 3" in figure.axes[0].texts[0].get_text()


def test_paths_begin_before_training_and_mark_equal_learning(tmp_path):
    cells = [make_cell(spec={"seed": seed}, drift=0.4) for seed in (0, 1)]
    board = board_of(tmp_path, *cells)
    kind = next(kind for kind in PLOTS if kind.name == "paths")
    with settings():
        figure = kind.draw(board.sections[0], method_styles(board))
    (axes,) = figure.axes
    lines = [line.get_xydata() for line in axes.get_lines()]
    assert sum(len(line) == 9 for line in lines) == 3, "two seeds and their mean, 8 checkpoints"
    assert all(line[0].tolist() == [0.0, 0.0] for line in lines if len(line) == 9)
    marked = {round(float(line[0][0])): line[0][1] for line in lines if len(line) == 1}
    metrics = board.rows[0].metrics
    assert marked == {
        100 * share: metrics[f"drift_at_{100 * share:.0f}"].value
        for share in (0.9, 0.5)
        if metrics[f"drift_at_{100 * share:.0f}"]
    }
    assert 50 in marked


def test_paths_have_a_panel_for_each_task_measured_at_all_checkpoints(tmp_path):
    board = board_of(tmp_path, make_cell(path=make_path(0.2, 8, "elements")))
    kind = next(kind for kind in PLOTS if kind.name == "paths")
    with settings():
        figure = kind.draw(board.sections[0], method_styles(board))
    assert [axes.get_title() for axes in figure.axes] == [
        "drift from the base",
        "forgotten of elements",
    ]


def test_one_method_that_drifts_far_does_not_flatten_the_others(tmp_path):
    kind = next(kind for kind in PLOTS if kind.name == "paths")
    scales = []
    for far in (0.4, 40.0):
        cells = [
            make_cell(spec={"recipe": recipe}, drift=drift)
            for recipe, drift in (("lora", 0.4), ("dora", 0.5), ("pissa", far))
        ]
        board = board_of(tmp_path / str(far), *cells)
        with settings():
            (axes,) = kind.draw(board.sections[0], method_styles(board)).axes
        scales.append(axes.get_yscale())
        assert axes.get_ylim()[0] == 0
    assert scales == ["linear", "symlog"]
    assert "logarithmic above" in axes.get_title()


def test_colour_and_marker_tell_apart_more_methods_than_a_grid_has():
    looks = [style_of(index) for index in range(121)]
    assert len({(look.color, look.marker) for look in looks}) == len(looks)


def test_dose_by_distance_holds_relations_apart_where_there_are_several(tmp_path):
    kind = next(kind for kind in PLOTS if kind.name == "dose-by-distance")
    columns = []
    for relations in (1, 3):
        board = board_of(tmp_path / str(relations), make_cell(relations=relations))
        with settings():
            figure = kind.draw(board.sections[0], method_styles(board))
        columns.append(sum(bool(axes.get_title(loc="left")) for axes in figure.axes))
        epochs, dose, reliability = figure.axes[:: columns[-1]]
        assert "epochs" in epochs.get_ylabel()
        assert "learned after" in dose.get_ylabel()
        assert "reliability" in reliability.get_ylabel()
    assert columns == [2, 3]


def test_a_bucket_of_fewer_than_five_facts_has_no_mark():
    from matplotlib.figure import Figure

    with settings():
        axes = Figure().subplots()
        found = [Estimate(0.5, items=4), None, Estimate(0.7, items=5)]
        draw_lines(axes, [Line(style_of(0), found)], 100)
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[2.0, 70.0]]


def test_within_relations_distances_are_adjusted_and_reliability_is_not_drawn(tmp_path):
    kind = next(kind for kind in PLOTS if kind.name == "dose-by-distance")
    board = board_of(tmp_path, make_cell(relations=3))
    with settings():
        figure = kind.draw(board.sections[0], method_styles(board))
    places = {
        (axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes
        for axes in figure.axes
    }
    assert sorted(places) == [(row, column) for row in range(3) for column in range(3)][:-1]
    labelled = {place: axes.get_xlabel() for place, axes in places.items() if axes.get_xlabel()}
    assert set(labelled) == {(2, 0), (2, 1), (1, 2)}
    assert labelled[1, 2] == "adjusted distance"


def test_a_last_digit_of_the_layout_changes_no_byte_of_a_drawing():
    from matplotlib.figure import Figure

    def drawn(width):
        figure = Figure()
        figure.add_axes((0.1, 0.1, width, 0.8)).plot([1, 2, 3])
        return image(figure, "svg")

    with settings():
        assert drawn(0.8) == drawn(0.8 + 1e-13)
        assert drawn(0.8) != drawn(0.7)
