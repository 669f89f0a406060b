"""The results store: absent or whole, strict, and clear about what it cannot read."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.store.records import SCHEMA_VERSION, Epoch, FactRow, Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import failed_cell, fill, make_cell, make_rows


def with_schema(text: str, version: int) -> str:
    return text.replace(f'"schema_version": {SCHEMA_VERSION}', f'"schema_version": {version}')


def visible_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


def test_a_cell_comes_back_as_it_was_written(tmp_path):
    record, rows = make_cell(n=5)
    store = ResultsStore(fill(tmp_path, [(record, rows)]))
    assert store.read(record.cell_id) == record
    frame = store.rows(record.cell_id)
    assert list(frame.columns) == [*FactRow.model_fields, *rows[0].model_extra]
    assert frame["fact_id"].tolist() == [row.fact_id for row in rows]
    assert frame["answers"].iloc[0].tolist() == rows[0].answers
    assert frame["curve"].iloc[2].tolist() == rows[2].curve
    assert math.isnan(frame["locality"].iloc[0])
    assert rows[0].locality is None


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(before=texts, after=texts, distance=numbers, share=st.none() | numbers, reason=texts)
def test_any_answer_and_number_round_trips(before, after, distance, share, reason):
    row = make_rows(1)[0].model_copy(
        update={
            "answer_before": before,
            "answer_after": after,
            "distance_before": distance,
            "locality": share,
            "curve": [],
        }
    )
    record, _ = make_cell(n=1, reason=reason)
    with tempfile.TemporaryDirectory() as folder:
        store = ResultsStore(Path(folder))
        store.write(record, [row])
        read = store.rows(record.cell_id).iloc[0]
        assert store.read(record.cell_id) == record
    assert (read["answer_before"], read["answer_after"]) == (before, after)
    assert read["distance_before"] == distance
    assert (share is None and math.isnan(read["locality"])) or read["locality"] == share


class CutError(Exception):
    """Stands for a crash at one moment of a write."""


@settings(max_examples=24, deadline=None)
@given(fail_at=st.integers(0, 7), replaced=st.booleans())
def test_a_cut_at_any_moment_leaves_the_cell_absent_or_whole(fail_at, replaced):
    old, old_rows = make_cell(n=3, reason="old")
    new, new_rows = make_cell(n=3, accuracy=0.2, reason="new")
    calls = 0

    def cut(function):
        def wrapped(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls > fail_at:
                raise CutError
            return function(*arguments, **keywords)

        return wrapped

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        store = ResultsStore(Path(folder))
        if replaced:
            store.write(old, old_rows)
        patch.setattr(os, "fsync", cut(os.fsync))
        patch.setattr(os, "replace", cut(os.replace))
        patch.setattr(Path, "write_bytes", cut(Path.write_bytes))
        completed = False
        try:
            store.write(new, new_rows)
            completed = True
        except CutError:
            pass
        patch.undo()
        found = store.read(new.cell_id)
        assert not completed or found == new
        assert found in (None, new, *([old] if replaced else []))
        if found is not None:
            expected = new_rows if found == new else old_rows
            right = store.rows(found.cell_id)["correct_after"].tolist()
            assert right == [row.correct_after for row in expected]
        assert not list(Path(folder).rglob("*.tmp")), "a partial file stayed behind"


def test_a_kill_while_writing_leaves_only_whole_cells(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.bench.report_cells import make_cell\n"
        "from bench.store.store import ResultsStore\n"
        "store = ResultsStore(Path(sys.argv[1]))\n"
        "for seed in range(100000):\n"
        "    store.write(*make_cell(n=20, spec={'seed': seed}))\n"
        "    print(seed, flush=True)\n"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    finished = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = ResultsStore(tmp_path)
    found = store.records()
    assert found.problems == ()
    assert len(found.records) >= len(finished) == 5
    assert all(len(store.rows(record.cell_id)) == 20 for record in found.records)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: len(text) // 2], "Expecting"),
        (lambda text: "", "Expecting value"),
        (lambda text: "[]", "schema version None"),
        (lambda text: with_schema(text, 1), "written by an older program; run its cell again"),
        (
            lambda text: with_schema(text, 99),
            "version 99, but this program reads 3: written by a newer program",
        ),
        (lambda text: text.replace('"done"', '"finished"'), "not a cell record: status"),
        (lambda text: text.replace('"cell_id": "', '"cell_id": "x'), "named after"),
    ],
)
def test_a_damaged_record_is_told_and_counts_as_absent(tmp_path, damage, told):
    record, rows = make_cell(n=2)
    store = ResultsStore(fill(tmp_path, [(record, rows), make_cell(n=2, spec={"seed": 1})]))
    path = store.cells / f"{record.cell_id}.json"
    path.write_text(damage(path.read_text()))
    found = store.records()
    assert store.read(record.cell_id) is None
    assert len(found.records) == 1
    assert len(found.problems) == 1
    assert told in found.problems[0]
    assert "\n" not in found.problems[0]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1 cut")])
def test_a_done_cell_without_its_fact_rows_counts_as_absent(tmp_path, damage):
    record, rows = make_cell(n=2)
    store = ResultsStore(fill(tmp_path, [(record, rows)]))
    damage(store.facts / f"{record.cell_id}.parquet")
    assert store.read(record.cell_id) is None
    assert "fact rows" in store.records().problems[0]


def test_a_failed_cell_needs_no_fact_rows(tmp_path):
    record, rows = failed_cell()
    store = ResultsStore(fill(tmp_path, [(record, rows)]))
    assert store.read(record.cell_id) == record
    assert store.rows(record.cell_id).empty


def test_json_is_strict_and_numbers_that_are_not_finite_become_null(tmp_path):
    record, rows = make_cell(
        n=2,
        status=Status.DIVERGED,
        curve=[Epoch(epoch=1, loss=math.nan, token_accuracy=0.0)],
        flops=math.inf,
        notes={"cond": [math.inf, 1.0]},
    )
    store = ResultsStore(fill(tmp_path, [(record, rows)]))
    text = (store.cells / f"{record.cell_id}.json").read_text()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads(text, parse_constant=refuse)
    read = store.read(record.cell_id)
    assert read.curve[0].loss is None
    assert read.flops is None
    assert read.notes == {"cond": [None, 1.0]}


def test_a_number_that_must_be_finite_is_refused_and_nothing_is_written(tmp_path):
    record, rows = make_cell(n=2, curve=[Epoch(epoch=1, loss=1.0, token_accuracy=math.nan)])
    with pytest.raises(ValueError, match="token_accuracy"):
        ResultsStore(tmp_path).write(record, rows)
    assert visible_files(tmp_path) == []


def test_find_takes_a_unique_prefix_and_names_candidates(tmp_path):
    one, rows = make_cell(n=1, cell_id="aaaa1111")
    two, _ = make_cell(n=1, cell_id="aaaa2222")
    store = ResultsStore(fill(tmp_path, [(one, rows), (two, rows)]))
    assert store.find("aaaa1") == one
    with pytest.raises(UsageError, match=r"'aaaa' matches 2 cells: aaaa1111, aaaa2222"):
        store.find("aaaa")
    with pytest.raises(UsageError, match=r"no cell 'aaab1111'.*aaaa1111"):
        store.find("aaab1111")
    with pytest.raises(UsageError, match="no cells in"):
        ResultsStore(tmp_path / "empty").find("a")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    in_the_way = tmp_path / "results"
    in_the_way.write_text("a file")
    with pytest.raises(UsageError, match=r"cannot write results to '.*results': .*--out") as caught:
        ResultsStore(in_the_way).ensure_writable()
    assert "\n" not in str(caught.value)


def test_checking_a_folder_leaves_nothing_in_it(tmp_path):
    ResultsStore(tmp_path / "new").ensure_writable()
    assert [p for p in (tmp_path / "new").rglob("*") if p.is_file()] == []
