"""Plots that need more than one row or section, and the studies that the report shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.leaderboard.load import load_leaderboard
from bench.report.leaderboard.study_links import plain
from bench.report.plots import before_after, costs, models
from bench.report.plots._style import method_styles, settings, wrapped
from bench.report.plots.models import methods_of_models
from bench.report.tables import format as wording
from bench.report.tables.limits import Drawing
from bench.report.write import write_report
from tests.bench.report_cells import failed_cell, fill, make_cell


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def drawn(draw, board):
    with settings():
        return draw(board.sections[0], method_styles(board))


def test_methods_are_compared_over_models_where_two_have_them(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(spec={"method": "lora", "model": "a"}),
        make_cell(n=8, spec={"method": "lora", "model": "b"}),
        make_cell(spec={"method": "dora", "model": "a"}),
        make_cell(spec={"method": "lora", "model": "a", "task": "elements"}),
        make_cell(spec={"method": "pissa", "model": "a", "learning_rate": 1e-3}),
        make_cell(spec={"method": "pissa", "model": "a", "learning_rate": 1e-4}),
    )
    (group,) = methods_of_models(board)
    assert (group.method, group.task, list(group.rows)) == ("lora", "countries", ["a", "b"])


def test_models_keep_their_own_quantiles_and_share_bins(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(n=40, spec={"model": "a"}),
        make_cell(n=10, known=0.0, spec={"model": "b"}),
    )
    with settings():
        ((title, figure),) = models.draw(board, Drawing("all", 2))
    quantiles, _, bins, _ = figure.axes
    assert title == "lora on countries"
    counts = [text.get_text() for text in bins.texts]
    total = sum(int(count.removeprefix("n ")) for count in counts)
    assert total == 50, "every fact of both models is in one bin"
    ranges = [text.get_text() for text in quantiles.texts]
    assert len(ranges) == len(set(ranges)) > 5, "each model writes its own"


def test_before_and_after_have_one_scale_and_say_how_many_moved_away(tmp_path):
    record, rows = make_cell(n=4)
    moved = [
        row.model_copy(update={"distance_before": 0.5, "distance_few_shot": after, "kept": kept})
        for row, after, kept in zip(
            rows, (0.9, 0.1, 0.5, 0.5), (True, True, True, False), strict=True
        )
    ]
    board = board_of(tmp_path, (record, moved), make_cell(n=4, spec={"method": "dora"}))
    figure = drawn(before_after.draw, board)
    titles = {axes.get_title(loc="left").split("\n")[0]: axes for axes in figure.axes}
    assert "1 of 4 moved away: 25%" in titles["lora"].get_title(loc="left")
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    (limits,) = {axes.get_ylim() for axes in figure.axes}
    assert limits == titles["lora"].get_xlim()
    hollow = [c for c in titles["lora"].collections if c.get_facecolor()[:, :3].min() == 1.0]
    assert sum(len(points.get_offsets()) for points in hollow) == 1, "the fact not trained on"


def test_a_cost_over_more_than_a_decade_is_drawn_on_a_log_scale(tmp_path):
    board = board_of(
        tmp_path,
        make_cell(n=8, flops=1e12),
        make_cell(n=8, flops=4e12, parameters=134_515_008, spec={"method": "full"}),
    )
    figure = drawn(costs.draw, board)
    scales = {axes.get_xlabel().split(" (")[0]: axes.get_xscale() for axes in figure.axes}
    assert scales == {
        "trainable parameters": "log",
        "training compute": "linear",
        "training time": "linear",
        "preparation and training time": "linear",
    }


def test_a_cost_that_no_cell_recorded_has_no_panel(tmp_path):
    board = board_of(tmp_path, make_cell(n=2, flops=None, phases={}))
    (axes,) = drawn(costs.draw, board).axes
    assert axes.get_xlabel().startswith("trainable parameters")


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("lora", ["lora"]),
        ("pissa+filter[rho=0.2]+reweight", ["pissa", "+filter[rho=0.2]", "+reweight"]),
        ("a+b+c", ["a+b+c"]),
    ],
)
def test_long_labels_break_before_their_parts(label, lines):
    assert wrapped(label, 16).split("\n") == lines


def test_studies_are_in_the_report_with_picture_and_links(tmp_path):
    fill(tmp_path, [failed_cell()])
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "placement.md").write_text("# Where to train \\_ here &lt;b&gt;\n\ntext\n")
    (folder / "placement.svg").write_text("<svg/>")
    (folder / "placement.csv").write_text("a\n1\n")
    (folder / "half.md").write_text("# No picture yet\n")
    written = write_report(tmp_path)
    text, page = written.markdown.read_text(), written.html.read_text()
    assert "## Studies" in text
    assert "### Where to train \\_ here &lt;b&gt;" in text
    assert "(studies/placement.svg)" in text
    assert "[table](studies/placement.md), [numbers](studies/placement.csv)" in text
    assert "Where to train _ here &lt;b&gt;" in page
    assert "data:image/svg+xml;base64,PHN2Zy8+" in page
    assert 'href="studies/placement.csv"' in page
    assert "No picture yet" not in text + page


def test_a_report_without_studies_says_nothing_of_them(tmp_path):
    fill(tmp_path, [failed_cell()])
    written = write_report(tmp_path)
    assert "Studies" not in written.markdown.read_text() + written.html.read_text()


@given(st.text(alphabet="a|\\`<>&_[]#* "))
def test_plain_undoes_markdowns_escapes(text):
    assert plain(wording.markdown(text)) == " ".join(text.split())
