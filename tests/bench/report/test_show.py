"""`show`: a cell in words, and never what could steer a terminal."""

from __future__ import annotations

import re

import pytest

from bench.report.show import show_cell
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.hostile_cells import evil_cell
from tests.bench.report_cells import (
    cell_id_of,
    failed_cell,
    fill,
    make_cell,
    make_spec,
)


def test_show_prints_a_cell_and_never_what_could_steer_a_terminal(tmp_path):
    record, rows = evil_cell(notes={"conditioning": {"q_proj": 2e8}})
    fill(tmp_path, [(record, rows)])
    text = show_cell(tmp_path, record.cell_id[:8], width=160)
    assert f"cell {record.cell_id}: done" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    squeezed = re.sub(r"\s", "", text)
    assert "\\x1b[31m[red]bold" in squeezed, "neither escape codes nor rich markup are interpreted"
    for word in ("reliability unknown", "elements", "empty caches", "learned:", "2e+08"):
        assert word.replace("2e+08", "200000000.0") in text


def test_show_prints_the_old_answer_of_an_update(tmp_path):
    record, rows = make_cell(n=4, updates=4)
    fill(tmp_path, [(record, rows), make_cell(n=4, spec={"seed": 1})])
    text = show_cell(tmp_path, record.cell_id[:8], width=160)
    assert "old answer" in text
    assert re.search(r"City 0 +Place 0", text)
    assert "still old" in text
    other = make_spec(facts=4, seed=1)
    assert "old answer" not in show_cell(tmp_path, cell_id_of(other), width=160)


def test_show_tells_how_a_failed_cell_ended(tmp_path):
    record, _ = failed_cell(reason="out of memory at step 3")
    fill(tmp_path, [(record.model_copy(update={"traceback": "File x\n  boom"}), [])])
    text = show_cell(tmp_path, record.cell_id[:6])
    assert "out of memory: out of memory at step 3" in text
    assert "boom" in text


def test_show_refuses_an_unknown_cell(tmp_path):
    record, rows = make_cell(n=2)
    ResultsStore(tmp_path).write(record, rows)
    with pytest.raises(UsageError, match="no cell 'zz'"):
        show_cell(tmp_path, "zz")


def test_show_says_what_was_carried_over_and_what_was_confused(tmp_path):
    record, rows = make_cell(n=2, known=0.0, accuracy=1.0)
    said = {"answer_chat": "Elsewhere", "confusion.chat": True, "epochs_to_learn": 7}
    rows = [row.model_copy(update=said) for row in rows]
    fill(tmp_path, [(record, rows)])
    text = " ".join(show_cell(tmp_path, record.cell_id[:8], width=200).split())
    assert "chat: Elsewhere [another fact's target]" in text
    assert "few-shot: Elsewhere" not in text
    assert re.search(r" 7 +\d\.\d\d → ", text)
