"""A report over many cells: seconds and memory grow with their number, plots and texts do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import helper_processes as starter
from bench.report import helpers
from bench.report.helper_processes import helper_processes
from bench.report.html import explorer
from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.plots import draw_plots
from bench.report.tables import limits as extent
from bench.report.tables.terminal import terminal_table
from bench.report.write import write_report
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell
from tests.bench.report_grid import GridShape, write_grid

ROOT = Path(__file__).parents[3]
SHAPE = GridShape(models=5, tasks=5, methods=4, seeds=5)
SECONDS = 6.0
"""Twice the share of 500 cells in 20 s for 10,000, and what every page takes for its texts."""

BYTES = 500 * 2**20
MEASURE = """
import json, re, sys, time
from pathlib import Path
from bench.report.tables.terminal import terminal_table
from bench.report.write import write_report
start = time.process_time()
files = write_report(Path(sys.argv[1]))
shown = terminal_table(files.board)
print(json.dumps({
    "seconds": time.process_time() - start,
    "bytes": 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]),
    "rows": len(files.board.rows),
    "plots": len(files.plots),
    "left_out": files.left_out,
    "page": files.html.stat().st_size,
    "lines": shown.count("\\n"),
}))
"""


# `ru_maxrss` of a child starts at what its parent holds: its own peak is in /proc alone.
@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = write_grid(tmp_path_factory.mktemp("scale") / "results", SHAPE)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_five_hundred_cells_take_their_share_of_time_and_memory(measured):
    assert measured["rows"] == 100
    assert measured["seconds"] < SECONDS
    assert measured["bytes"] < BYTES


def test_a_large_board_says_what_it_leaves_out(measured):
    assert measured["plots"] == 0
    assert "--plots all draws all 25" in measured["left_out"]
    assert measured["page"] < 4_000_000
    assert measured["lines"] < 25 * 12, "the terminal shows the first tasks and models"


def small_board(folder, methods=("lora", "dora"), tasks=("countries",)):
    cells = [make_cell(n=8, spec={"method": m, "task": t}) for t in tasks for m in methods]
    return load_leaderboard(fill(folder, cells))


def test_plots_are_drawn_of_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(extent, "SECTIONS_DRAWN", 1)
    board = small_board(tmp_path, methods=("lora",), tasks=("countries", "elements"))
    monkeypatch.setattr("bench.report.plots.PLOTS", plots_of_one_kind())
    titles = {
        wanted: {plot.title for plot in draw_plots(board, wanted)}
        for wanted in ("auto", "none", "ELEMENTS", "all")
    }
    first, second = (section.title for section in board.sections)
    assert titles == {"auto": set(), "none": set(), "ELEMENTS": {second}, "all": {first, second}}
    assert extent.left_out(board, "auto")
    assert extent.left_out(board, "all") == ""
    with pytest.raises(UsageError, match=r"is in no title.*such as smollm2-135m on"):
        list(draw_plots(board, "moons"))


def plots_of_one_kind():
    from bench.report.plots import PLOTS

    return [kind for kind in PLOTS if kind.name == "distance-buckets"]


def test_of_many_methods_the_best_and_the_reference_are_drawn_and_shown(tmp_path, monkeypatch):
    methods = ("lora", *(f"dora[r={rank}]" for rank in range(1, 5)))
    cells = [
        make_cell(n=8, accuracy=0.2 if method == "lora" else 1.0, spec={"method": method})
        for method in methods
    ]
    (section,) = load_leaderboard(fill(tmp_path, cells)).sections
    assert extent.to_draw(section) is section
    assert extent.drawn_remark(section) == ""
    monkeypatch.setattr(extent, "ROWS_DRAWN", 3)
    labels = [row.label for row in section.rows]
    drawn = extent.to_draw(section)
    assert [row.label for row in drawn.rows] == [*labels[:2], "lora"]
    assert "the best 3 of 5" in extent.drawn_remark(section)


def test_rows_and_examples_beyond_the_room_are_counted(tmp_path, monkeypatch):
    for module in ("html.page", "tables.terminal"):
        rows = f"{module.partition('.')[2].upper()}_ROWS"
        monkeypatch.setattr(f"bench.report.{module}.{rows}", 1)
    monkeypatch.setattr(extent, "PAGE_EXAMPLES", 1)
    board = small_board(tmp_path, methods=("lora", "dora", "pissa"))
    page = leaderboard_html(board, [])
    assert "2 more rows are in leaderboard.csv" in page
    assert page.count("<summary>") == 1
    assert "prints those of the 2 others" in page
    assert "2 more rows" in terminal_table(board)


def test_the_explorer_takes_the_best_of_every_task_first(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_ANSWERS", 3 * 8)
    board = small_board(tmp_path, tasks=("countries", "elements"))
    found = explorer.explorer_of(board)
    best = [section.rows[0].label for section in board.sections]
    assert [cell["method"] for cell in found.data["cells"]][:2] == best
    assert [cell["section"] for cell in found.data["cells"]] == [0, 1, 0]
    assert found.left_out == 1


def test_a_cell_whose_texts_are_damaged_is_named_and_not_counted(tmp_path):
    cells = [make_cell(n=64, spec={"method": method}) for method in ("lora", "dora")]
    fill(tmp_path, cells)
    damaged = cells[0][0].cell_id
    spoil(ResultsStore(tmp_path), damaged, "answer_after")
    files = write_report(tmp_path, wanted_plots="none")
    assert [row.spec.method for row in files.board.rows] == ["dora"]
    (problem,) = files.board.problems
    assert damaged in problem
    assert "is damaged" in problem


def column_bytes(path, name):
    """Return where a column of a Parquet file lies."""
    import pyarrow.parquet as pq

    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = (group.column(place) for place in range(group.num_columns))
    chunk = next(c for c in chunks if c.path_in_schema == name)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return slice(start, start + chunk.total_compressed_size)


HELPED = GridShape(models=2, tasks=3, methods=2, seeds=2)


def written(folder, count=0):
    with helper_processes(folder, count) as processes:
        files = write_report(folder, wanted_plots="none", processes=processes)
    return [path.read_bytes() for path in (files.csv, files.markdown, files.tex, files.html)]


@pytest.fixture
def made(monkeypatch):
    """Return the sections that helpers make, as they are made."""
    made, make = [], helpers._made

    def noted(*given):
        part = make(*given)
        made.append(part)
        return part

    monkeypatch.setattr(helpers, "_made", noted)
    return made


@pytest.fixture
def rounds(monkeypatch):
    """Keep this process from making parts before its helpers have made all they can."""
    work, rounds = helpers.Helpers._work, []

    def second_round(self, todo, found):
        rounds.append(len(todo))
        if len(rounds) % 2 == 0:
            work(self, todo, found)

    monkeypatch.setattr(helpers.Helpers, "_work", second_round)
    return rounds


def spoil(store, cell_id, column):
    """Make a column of a cell's fact rows unreadable."""
    path = store.facts / f"{cell_id}.parquet"
    content = bytearray(path.read_bytes())
    spoiled = column_bytes(path, column)
    content[spoiled] = b"\xff" * (spoiled.stop - spoiled.start)
    path.write_bytes(content)


def test_two_processes_write_the_same_bytes_as_one(tmp_path, made, rounds):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    damaged = sorted(store.facts.glob("*.parquet"))[3].stem
    spoil(store, damaged, "knowledge")
    alone = written(folder)
    assert written(folder, 1) == alone
    assert len(made) == HELPED.models * HELPED.tasks
    assert sum(len(part.problems) for part in made) == 1
    assert damaged.encode() in alone[1]


def test_what_helpers_rendered_is_what_is_written(tmp_path, made, rounds, monkeypatch):
    folder = write_grid(tmp_path / "results", HELPED)
    alone = written(folder)
    for module, name in (
        ("html.page", "html"),
        ("tables.markdown", "markdown"),
        ("tables.latex", "tex"),
    ):
        monkeypatch.setattr(f"bench.report.{module}.section_{name}", None)
    assert written(folder, 1) == alone


def test_a_section_without_a_cell_that_can_be_read_moves_those_after_it(tmp_path, made, rounds):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    records = store.records().records
    first = min((record.spec.model, record.spec.task) for record in records)
    for record in records:
        if (record.spec.model, record.spec.task) == first:
            spoil(store, record.cell_id, "knowledge")
    alone = written(folder)
    assert written(folder, 1) == alone
    assert [part.section is None for part in made].count(True) == 1


def test_texts_that_a_helper_finds_damaged_are_named_by_the_report(tmp_path, made, rounds):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    shown = load_leaderboard(folder).sections[-1].rows[0].cells[0].record.cell_id
    spoil(store, shown, "answer_after")
    alone = written(folder)
    assert shown.encode() in alone[1]
    assert written(folder, 1) == alone


def test_a_helper_that_dies_takes_nothing_with_it(tmp_path, made, rounds, monkeypatch):
    folder = write_grid(tmp_path / "results", HELPED)
    alone = written(folder)
    start = starter.HelperProcess

    def short_lived(folder):
        process = start(folder)
        process._process.kill()
        return process

    monkeypatch.setattr(starter, "HelperProcess", short_lived)
    rounds.clear()
    assert written(folder, 2) == alone
    assert made == []
    assert rounds[-1] == HELPED.models * HELPED.tasks


def test_small_reports_are_made_without_helpers(tmp_path, monkeypatch):
    folder = write_grid(tmp_path / "results", GridShape(models=1, tasks=1, methods=1, seeds=2))
    with helper_processes(folder) as processes:
        assert processes == []
    monkeypatch.setattr(starter, "WORTH_HELP", 2)
    monkeypatch.setattr(starter, "cores", lambda: 2)
    with helper_processes(folder) as processes:
        assert len(processes) == 1


def test_helpers_are_gone_afterwards(tmp_path):
    with helper_processes(tmp_path, 1) as [process]:
        assert process._process.poll() is None
    assert process._process.poll() is not None
