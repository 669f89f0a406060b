"""The explorer's data: what fits, what is cut, what became of each fact."""

from __future__ import annotations

import json

from bench.report.html import explorer
from bench.report.html.answer_changes import EXAMPLE_COLUMNS, answer_changes
from bench.report.html.explorer import explorer_of
from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from tests.bench.report_cells import failed_cell, fill, make_cell

METHODS = ("lora", "dora")


def board_of(folder, cells):
    return load_leaderboard(fill(folder, cells))


def grid(seeds=(0, 1), **changes):
    return [make_cell(spec={"method": m, "seed": s}, **changes) for s in seeds for m in METHODS]


def test_every_answer_of_every_cell_is_there_with_its_fate_and_bucket(tmp_path):
    board = board_of(tmp_path, grid(updates=4))
    data = explorer_of(board).data
    (section,) = data["sections"]
    assert len(section["facts"]) == 64
    assert sorted({fact["bucket"] for fact in section["facts"]}) == list(range(5))
    assert [fact["old"] != "" for fact in section["facts"]].count(True) == 4
    assert len(data["cells"]) == 4
    counted = {
        change.name: change.count
        for change in answer_changes(board.rows[0].cells[0].facts.some(EXAMPLE_COLUMNS))
    }
    cell = next(c for c in data["cells"] if c["method"] == board.rows[0].label and c["seed"] == 0)
    names = [data["changes"][number] for number in cell["changes"]]
    assert {name: names.count(name) for name in counted} == counted


def test_answers_of_other_contexts_and_confusion_are_there_where_they_differ(tmp_path):
    record, rows = make_cell(n=4, known=0.0, accuracy=1.0)
    said = {"answer_chat": "City 3", "confusion.chat": True, "answer_few_shot": "City 0"}
    rows[0] = rows[0].model_copy(update={**said, "answer_after": "City 0"})
    (cell,) = explorer_of(board_of(tmp_path, [(record, rows)])).data["cells"]
    assert list(cell["elsewhere"]) == ["few-shot", "chat", "bare"]
    assert cell["elsewhere"]["few-shot"][0] is None
    assert cell["elsewhere"]["chat"][0] == "City 3"
    assert cell["confused"][0] & (2 << list(cell["elsewhere"]).index("chat"))
    assert not cell["confused"][0] & 1
    assert cell["epochs"] == [row.epochs_to_learn for row in rows]


def test_cells_beyond_the_room_are_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_ANSWERS", 64 * 2)
    board = board_of(tmp_path, grid())
    found = explorer_of(board)
    assert [cell["seed"] for cell in found.data["cells"]] == [0, 0], "each method's first seed"
    assert found.left_out == 2
    assert "2 cells are left out" in leaderboard_html(board, [])


def test_long_texts_are_cut_and_steering_characters_shown(tmp_path):
    record, rows = make_cell()
    rows[0] = rows[0].model_copy(update={"answer_after": "\u202e" + "x" * 10_000})
    data = explorer_of(board_of(tmp_path, [(record, rows)])).data
    (cell,) = data["cells"]
    assert len(cell["after"][0]) < 400
    assert "\u202e" not in json.dumps(data, ensure_ascii=False)


def test_without_results_there_is_no_explorer(tmp_path):
    board = board_of(tmp_path, [failed_cell()])
    assert explorer_of(board) is None
    assert 'id="facts-data"' not in leaderboard_html(board, [])
