"""The page: escapes what models and files say, draws intervals, divides examples by change."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from bench.report.html.answer_changes import answer_changes
from bench.report.html.page import interval_bar, leaderboard_html
from bench.report.html.pictures import pictures_of
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.intervals import Estimate, Interval, IntervalKind
from bench.report.tables.columns import Column, Shown, quality_columns
from bench.store.formats import arrow_table
from tasks.context import Context
from tests.bench.hostile_cells import EVIL, evil_cell
from tests.bench.report_cells import (
    failed_cell,
    fill,
    make_cell,
    make_rows,
)


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


class Tags(HTMLParser):
    """Collects tags, addresses and text outside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_escapes_all_that_a_model_or_file_says(tmp_path):
    method = "x<img src=http://evil onerror=alert(1)>"
    board = board_of(
        tmp_path,
        evil_cell(),
        make_cell(spec={"method": method, "model": method, "task": method}),
        failed_cell(method="dora", reason=EVIL),
    )
    page = leaderboard_html(board, [])
    parsed = Tags()
    parsed.feed(page)
    own = "only the page's own: two libraries, a module, and facts and pictures as data"
    assert parsed.tags.count("script") == 5, own
    assert "img" not in parsed.tags
    assert all(re.fullmatch(r"#[a-z0-9-]+", address) for address in parsed.addresses)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script>alert('x')</script>" in "".join(parsed.text), "shown as text"


def test_of_many_sections_those_have_pictures_that_plots_were_asked_of(tmp_path, monkeypatch):
    cells = [make_cell(n=8, spec={"task": task}) for task in ("countries", "elements")]
    board = board_of(tmp_path, *cells)
    first, second = (section.title for section in board.sections)
    assert [one["title"] for one in pictures_of(board)] == [first, second]
    monkeypatch.setattr("bench.report.html.pictures.SECTIONS_DRAWN", 1)
    assert [one["title"] for one in pictures_of(board, [second])] == [second]
    assert [one["number"] for one in pictures_of(board, [second])] == [2], "its place on the page"
    plain = leaderboard_html(board, [])
    assert 'pictures-data">' not in plain
    assert "Observable" not in plain, "libraries come along with pictures only"


def test_pictures_hold_what_the_tables_show(tmp_path):
    board = board_of(tmp_path, make_cell(), make_cell(spec={"method": "dora"}, accuracy=0.4))
    (data,) = pictures_of(board)
    columns = {c.header: c for c in quality_columns(board.sections[0])}
    place = [axis["key"] for axis in data["axes"]].index("reliability (%)")
    for shown, row in zip(data["rows"], board.sections[0].done, strict=True):
        found = columns["reliability (%)"].show(row)
        interval = found.estimate.interval
        expected = [100 * found.number, 100 * interval.low, 100 * interval.high]
        assert shown["values"][place] == pytest.approx(expected, rel=1e-3)
        assert shown["texts"][place] == found.text
        assert shown["series"]["lost:drift"]["epochs"][0] == 0, "paths start before training"
    keys = [axis["key"] for axis in data["axes"]]
    assert {data["x"], data["y"]} <= set(keys)


def test_intervals_are_drawn_to_scale():
    column = Column("reliability", "↑", lambda row: Shown(""), (0, 1))
    estimate = Estimate(0.5, Interval(0.25, 0.75, IntervalKind.FACTS))
    bar = interval_bar(Shown("50", 0.5, estimate), column)
    assert (bar.left, bar.width, bar.at) == (25, 50, 50)
    assert interval_bar(Shown("-"), column) is None


def test_examples_are_divided_by_fate():
    rows = make_rows(4)
    changes = [
        {"correct_before": False, "correct_after": True},
        {"correct_before": True, "correct_after": False},
        {"correct_before": False, "correct_after": False, "answer_after": "new"},
        {
            "correct_before": False,
            "correct_after": False,
            "answer_after": "x",
            "answer_before": "x",
        },
    ]
    rows = [row.model_copy(update=change) for row, change in zip(rows, changes, strict=True)]
    found = {
        change.name: [e.question for e in change.examples]
        for change in answer_changes(arrow_table(rows).to_pydict())
    }
    expected = {"learned": 0, "lost": 1, "moved": 2, "wrong": 3}
    assert {name: found[name] for name in expected} == {
        name: [rows[index].question] for name, index in expected.items()
    }
    assert found["kept"] == []


def test_an_example_says_what_was_carried_over_and_what_was_confused():
    (row,) = make_rows(1, known=0.0, accuracy=1.0)
    said = {
        "answer_few_shot": "City 0",
        "answer_chat": "City 1",
        "confusion.chat": True,
        "answer_bare": None,
        "confusion.bare": None,
        "epochs_to_learn": 3,
        "distance_before": 0.75,
        "distance_few_shot": 0.25,
    }
    table = arrow_table([row.model_copy(update=said)]).to_pydict()
    learned = next(change for change in answer_changes(table) if change.name == "learned")
    (example,) = learned.examples
    assert example.elsewhere == {"chat": "City 1"}, "where it is the same nothing is said"
    assert example.confused == ("chat",)
    assert "another fact" in example.elsewhere_text
    assert (example.epochs, example.distance_before, example.distance_after) == (3, 0.75, 0.25)


def test_the_trained_context_is_not_among_the_others():
    (row,) = make_rows(1, known=0.0, accuracy=1.0)
    said = {"answer_after": "A", "answer_few_shot": "A", "answer_plain": "B", "answer_chat": "A"}
    said |= {"answer_bare": "A", "confusion.bare": None, "confusion.few_shot": True}
    table = arrow_table([row.model_copy(update=said)]).to_pydict()
    found = [e for change in answer_changes(table, Context.FEW_SHOT) for e in change.examples]
    assert [(e.elsewhere, e.confused) for e in found] == [({"plain": "B"}, ("trained",))]
