"""The page: escapes what models and files say, draws intervals, divides examples by change."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd

from bench.report.html.answer_changes import answer_changes
from bench.report.html.page import interval_bar, leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.intervals import Estimate, Interval, IntervalKind
from bench.report.tables.columns import Column, Shown
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
    assert parsed.tags.count("script") == 3, "only the page's own: two, and the facts as data"
    assert "img" not in parsed.tags
    assert all(re.fullmatch(r"#[a-z0-9-]+", address) for address in parsed.addresses)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script>alert('x')</script>" in "".join(parsed.text), "shown as text"


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
    frame = pd.DataFrame([row.model_dump() for row in rows])
    found = {
        change.name: [e.question for e in change.examples]
        for change in answer_changes(frame.to_dict("list"))
    }
    expected = {"learned": 0, "lost": 1, "moved": 2, "wrong": 3}
    assert {name: found[name] for name in expected} == {
        name: [rows[index].question] for name, index in expected.items()
    }
    assert found["kept"] == []
