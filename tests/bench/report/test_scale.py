"""A report over many cells: seconds and memory grow with their number, plots and texts do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import pytest

from bench.report import parallel
from bench.report.html import explorer
from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.parallel import report_processes
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


@pytest.mark.machine
def test_five_hundred_cells_take_their_share_of_time_and_memory(measured):
    assert measured["rows"] == 100
    assert measured["seconds"] < SECONDS
    assert measured["bytes"] < BYTES


def test_a_large_board_says_what_it_leaves_out(measured):
    assert measured["plots"] == 0
    assert "--plots all draws all 25" in measured["left_out"]
    assert measured["page"] < 4_000_000
    assert measured["lines"] < 25 * 14, "the terminal shows the first tasks and models"


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

    return [kind for kind in PLOTS if kind.name == "dose-by-distance"]


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
    assert "the other 2." in page
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


def spoil(store, cell_id, column):
    """Make a column of a cell's fact rows unreadable."""
    path = store.facts / f"{cell_id}.parquet"
    content = bytearray(path.read_bytes())
    spoiled = column_bytes(path, column)
    content[spoiled] = b"\xff" * (spoiled.stop - spoiled.start)
    path.write_bytes(content)


HELPED = GridShape(models=2, tasks=3, methods=2, seeds=2)
SECTIONS = HELPED.models * HELPED.tasks


def written(folder, count=0):
    with report_processes(folder, count) as processes:
        assert (processes is None) == (count == 0)
        files = write_report(folder, wanted_plots="none", processes=processes)
    return [path.read_bytes() for path in (files.csv, files.markdown, files.tex, files.html)]


@pytest.fixture
def made_here(monkeypatch):
    """Hand every section to other processes; return what this one renders all the same."""
    rendered, render = [], parallel._render

    def noted(source, records, position):
        rendered.append(position.title)
        return render(source, records, position)

    monkeypatch.setattr(parallel, "_render", noted)
    monkeypatch.setattr(parallel, "IN_FLIGHT", SECTIONS)
    return rendered


def test_two_processes_write_the_same_bytes_as_one(tmp_path, made_here):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    damaged = sorted(store.facts.glob("*.parquet"))[3].stem
    spoil(store, damaged, "knowledge")
    alone = written(folder)
    assert damaged.encode() in alone[1]
    assert written(folder, 1) == alone
    assert made_here == [], "all was read and rendered by the other process"


def test_this_process_renders_too(tmp_path, made_here, monkeypatch):
    folder = write_grid(tmp_path / "results", HELPED)
    alone = written(folder)
    monkeypatch.setattr(parallel, "IN_FLIGHT", 1)
    assert written(folder, 1) == alone
    assert 0 < len(made_here) < SECTIONS


def test_what_other_processes_rendered_is_what_is_written(tmp_path, made_here, monkeypatch):
    folder = write_grid(tmp_path / "results", HELPED)
    alone = written(folder)
    for module, name in (
        ("html.page", "html"),
        ("tables.markdown", "markdown"),
        ("tables.latex", "tex"),
    ):
        monkeypatch.setattr(f"bench.report.{module}.section_{name}", None)
    assert written(folder, 1) == alone


def test_a_section_without_a_cell_that_can_be_read_moves_those_after_it(tmp_path, made_here):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    records = store.records().records
    first = min((record.spec.model, record.spec.task) for record in records)
    for record in records:
        if (record.spec.model, record.spec.task) == first:
            spoil(store, record.cell_id, "knowledge")
    alone = written(folder)
    assert written(folder, 1) == alone
    assert made_here == []


def test_texts_that_another_process_finds_damaged_are_named_by_the_report(tmp_path, made_here):
    folder = write_grid(tmp_path / "results", HELPED)
    store = ResultsStore(folder)
    shown = load_leaderboard(folder).sections[-1].rows[0].cells[0].record.cell_id
    spoil(store, shown, "answer_after")
    alone = written(folder)
    assert shown.encode() in alone[1]
    assert written(folder, 1) == alone


def test_a_process_that_dies_takes_nothing_with_it(tmp_path, made_here):
    folder = write_grid(tmp_path / "results", HELPED)
    alone = written(folder)
    with report_processes(folder, 2) as processes:
        for process in active_children():
            process.kill()
        files = write_report(folder, wanted_plots="none", processes=processes)
    assert [files.csv.read_bytes(), files.html.read_bytes()] == [alone[0], alone[3]]
    assert len(made_here) == SECTIONS


def test_where_no_process_can_be_started_the_report_is_made_without(tmp_path, monkeypatch):
    def refused(self):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refused)
    with report_processes(tmp_path, 2) as processes:
        assert processes is None


def test_small_reports_are_made_in_one_process(tmp_path, monkeypatch):
    folder = write_grid(tmp_path / "results", GridShape(models=1, tasks=1, methods=1, seeds=2))
    with report_processes(folder) as processes:
        assert processes is None
    monkeypatch.setattr(parallel, "WORTH_PROCESSES", 2)
    monkeypatch.setattr("bench.models.device.cores", lambda: 2)
    with report_processes(folder) as processes:
        assert processes is not None
        assert len(active_children()) == 1


def test_no_process_is_left_after_an_interruption(tmp_path):
    folder = write_grid(tmp_path / "results", GridShape(models=1, tasks=1, methods=1, seeds=2))
    with suppress(KeyboardInterrupt), report_processes(folder, 2):
        assert len(active_children()) == 2
        raise KeyboardInterrupt
    assert active_children() == []


SCRIPT = """
import signal
import sys
from multiprocessing import active_children
from pathlib import Path
from bench.report.parallel import load_rendered, report_processes
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the shell's background
    with report_processes(Path(sys.argv[1]), 1) as processes:
        from bench.report.leaderboard.load import BoardSource
        {body}
"""


def start_script(path, folder, body):
    """Run a main module of its own, as an installed command is one: no suffix, another folder."""
    path.write_text(SCRIPT.format(body=body))
    return subprocess.Popen(
        [sys.executable, str(path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def test_an_installed_command_has_help_from_any_folder(tmp_path):
    folder = write_grid(tmp_path / "results", HELPED)
    body = "print(len(load_rendered(BoardSource(Path(sys.argv[1])), processes)[1]))"
    out, errors = start_script(tmp_path / "command", folder, body).communicate(timeout=600)
    assert (out.strip(), errors) == (str(SECTIONS), "")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_kill_leave_no_process_behind(tmp_path, number):
    folder = write_grid(tmp_path / "results", HELPED)
    body = (
        "load_rendered(BoardSource(Path(sys.argv[1])), processes); "
        "print(*(p.pid for p in active_children()), flush=True); "
        "import time; time.sleep(3000)"
    )
    process = start_script(tmp_path / "command", folder, body)
    pid = int(process.stdout.readline())
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to all of them
    else:
        process.kill()
    _, errors = process.communicate(timeout=600)
    assert "Process SpawnProcess" not in errors
    deadline = time.monotonic() + 600
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
