"""Packed cells: read as loose files are, which win over them; never written by a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.report.show import show_cell
from bench.report.write import write_report
from bench.store.formats import CellSummary
from bench.store.records import SCHEMA_VERSION
from bench.store.store import DamagedRowsError, ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import failed_cell, fill, make_cell, make_rows

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "results" / "example"


def pack(folder: Path) -> Path:
    script = [sys.executable, str(ROOT / "scripts" / "pack_results.py"), str(folder)]
    subprocess.run(script, check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """The same cells loose and packed: two seeds of two methods, and one that failed."""
    loose = tmp_path_factory.mktemp("packed") / "loose"
    cells = [
        make_cell(n=16, accuracy=0.4 + 0.1 * seed, spec={"method": method, "seed": seed})
        for method in ("lora", "dora")
        for seed in (0, 1)
    ]
    fill(loose, [*cells, failed_cell(method="corda")])
    packed = loose.with_name("packed")
    shutil.copytree(loose, packed)
    return loose, pack(packed)


def test_two_files_hold_what_all_loose_ones_held(both):
    loose, packed = map(ResultsStore, both)
    assert sorted(path.name for path in both[1].iterdir()) == ["cells.parquet", "facts.parquet"]
    assert packed.records() == loose.records()
    assert packed.summaries() == loose.summaries()
    for record in loose.records().records:
        cell_id = record.cell_id
        assert packed.read(cell_id) == packed.find(cell_id[:12]) == record
        assert isinstance(packed.summary(cell_id), CellSummary)
        assert packed.stamp(cell_id) is not None
        assert packed.content(cell_id) == loose.content(cell_id)
        for columns in (None, ["fact_id", "curve"]):
            assert packed.fact_table(cell_id, columns) == loose.fact_table(cell_id, columns)
    assert packed.stamp("0" * 16) is None


def test_the_commands_say_the_same_of_packed_cells(both, capsys):
    loose, packed = both
    files = [write_report(folder, wanted_plots="none") for folder in both]
    for name in ("csv", "markdown", "tex", "html"):
        one, other = (getattr(written, name).read_bytes() for written in files)
        assert one == other
    told = []
    for folder in both:
        assert main(["recommend", "--out", str(folder)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != ""
    for record in ResultsStore(loose).records().records:
        assert show_cell(packed, record.cell_id) == show_cell(loose, record.cell_id)


@pytest.mark.parametrize("folder", [".", "semantics", "studies/calibration", "studies/placement"])
def test_the_committed_cells_are_packed_and_whole(folder):
    store = ResultsStore(EXAMPLE / folder)
    found = store.records()
    assert found.records
    assert found.problems == ()
    assert not store.cells.exists()
    assert all(len(store.rows(r.cell_id)) == r.spec.facts for r in found.records if r.metrics)


def test_the_committed_leaderboard_is_that_of_the_committed_cells(tmp_path):
    for name in ("cells.parquet", "facts.parquet"):
        shutil.copy(EXAMPLE / name, tmp_path)
    written = write_report(tmp_path, wanted_plots="none")
    assert written.csv.read_bytes() == (EXAMPLE / "leaderboard.csv").read_bytes()


def test_a_loose_cell_wins_and_packing_again_keeps_it(tmp_path):
    record, rows = make_cell(n=4)
    other, other_rows = make_cell(n=4, spec={"seed": 9})
    store = ResultsStore(pack(fill(tmp_path, [(record, rows), (other, other_rows)])))
    earlier = store.stamp(record.cell_id)
    newer = record.model_copy(update={"parameters": 12345})
    store.write(newer, make_rows(4, accuracy=0.0))
    assert store.stamp(record.cell_id) != earlier
    for reader in (store, ResultsStore(tmp_path)):
        assert reader.read(record.cell_id) == newer
        assert reader.read(other.cell_id) == other
        assert not reader.rows(record.cell_id)["correct_after"].any()
    pack(tmp_path)
    assert not store.cells.exists()
    again = ResultsStore(tmp_path)
    assert {r.cell_id: r for r in again.records().records} == {
        record.cell_id: newer,
        other.cell_id: other,
    }
    assert not again.rows(record.cell_id)["correct_after"].any()


def test_packing_removes_what_it_packed_and_nothing_else(tmp_path):
    store = ResultsStore(fill(tmp_path, [make_cell(n=4), failed_cell(method="corda")]))
    ids = [record.cell_id for record in store.records().records]
    others = [store.cells / f"{'0' * 16}.json.damaged", store.facts / "my notes.txt"]
    for path in others:
        path.write_text("kept")
    pack(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert sorted(left) == others
    assert {record.cell_id for record in ResultsStore(tmp_path).records().records} == set(ids)


def test_damaged_packed_cells_are_one_line_of_the_script(tmp_path):
    fill(tmp_path, [make_cell(n=4)])
    (tmp_path / "cells.parquet").write_bytes(b"PAR1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        pack(tmp_path)
    [line] = caught.value.stderr.decode().splitlines()
    assert "cells.parquet' is damaged" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_damage_is_told_and_never_taken_for_no_cells(tmp_path):
    record, rows = make_cell(n=4)
    pack(fill(tmp_path, [(record, rows)]))
    facts, cells = tmp_path / "facts.parquet", tmp_path / "cells.parquet"
    whole = facts.read_bytes()
    facts.unlink()
    [problem] = ResultsStore(tmp_path).records().problems
    assert problem == f"cells.parquet, cell {record.cell_id}: its fact rows are missing"
    facts.write_bytes(whole[:-20])
    assert ResultsStore(tmp_path).read(record.cell_id) is None
    with pytest.raises(DamagedRowsError, match=r"facts\.parquet' is damaged"):
        ResultsStore(tmp_path).rows(record.cell_id)
    cells.write_bytes(cells.read_bytes()[:-20])
    with pytest.raises(UsageError, match=r"cells\.parquet' is damaged"):
        ResultsStore(tmp_path).records()


@pytest.mark.parametrize("spoilt", [lambda path: path.write_bytes(b"PAR1"), Path.unlink])
@pytest.mark.parametrize("command", ["report", "recommend"])
def test_where_no_cell_can_be_read_the_report_before_stays(tmp_path, capsys, command, spoilt):
    pack(fill(tmp_path, [make_cell(n=4)]))
    (tmp_path / "leaderboard.md").write_text("a good one")
    spoilt(tmp_path / "facts.parquet")
    assert main([command, "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no cell in" in err
    assert "cells.parquet, cell" in err
    written = {path.name for path in tmp_path.iterdir()} - {"cells.parquet", "facts.parquet"}
    assert written == {"leaderboard.md"}
    assert (tmp_path / "leaderboard.md").read_text() == "a good one"


def test_a_folder_packed_by_a_newer_program_is_left_alone(tmp_path):
    record, rows = make_cell(n=4)
    store = ResultsStore(pack(fill(tmp_path, [(record, rows)])))
    store.refuse_newer()
    newer = store.content(record.cell_id).decode()
    version = f'"schema_version": {SCHEMA_VERSION}'
    newer = newer.replace(version, f'"schema_version": {SCHEMA_VERSION + 1}')
    store._packed.records[record.cell_id] = newer.encode()
    with pytest.raises(UsageError, match=f"cell {record.cell_id} has schema version"):
        store.refuse_newer()
