"""What people read: Markdown, terminal, page and `show`; and that nothing escapes its escaping."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import Knowledge
from bench.report import wording
from bench.report.board import Leaderboard
from bench.report.columns import Column, Shown
from bench.report.examples import fates
from bench.report.load import load_leaderboard
from bench.report.markdown import leaderboard_markdown
from bench.report.page import interval_bar, leaderboard_html
from bench.report.show import show_cell
from bench.report.statistics import Estimate, Interval, IntervalKind
from bench.report.terminal import terminal_table
from bench.store import ResultsStore
from methods.parts import Part
from tasks.errors import UsageError
from tests.bench.report_cells import (
    cell_id_of,
    failed_cell,
    fill,
    make_cell,
    make_forgetting,
    make_rows,
    make_spec,
)

NINE = [
    "full",
    "lora",
    "rslora",
    "dora",
    "pissa",
    "milora",
    "olora",
    "corda[mode=kpm]",
    "corda[mode=ipm]",
]
UPDATE_HEADERS = ("updated % ↑", "still old % ↓")
EVIL = "<script>alert('x')</script>|\x1b[31m[red]bold\n\u202eevil`"


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def evil_cell(**changes):
    record, rows = make_cell(n=4, spec={"method": "lora"}, warnings=[EVIL], **changes)
    rows = [row.model_copy(update={"question": EVIL, "answer_after": EVIL}) for row in rows]
    return record, rows


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.count(512), "512"),
        (wording.count(4_884_480), "4.9 M"),
        (wording.count(134_515_008), "135 M"),
        (wording.count(999_999), "1.0 M"),
        (wording.count(None), "-"),
        (wording.memory(1_500_000_000), "1.4 GiB"),
        (wording.operations(3.2e12), "3.2 TFLOP"),
        (wording.duration(0.42), "0.4 s"),
        (wording.duration(9.97), "10 s"),
        (wording.duration(185), "3 min 5 s"),
        (wording.duration(59.7), "1 min 0 s"),
        (wording.duration(7800), "2 h 10 min"),
        (wording.points(-0.025), "-2.5"),
        (wording.points(-0.0), "0.0"),
        (wording.percent_interval(None), "-"),
        (
            wording.points_interval(Estimate(0.025, Interval(-0.01, 0.06, IntervalKind.FACTS))),
            "+2.5 [-1, +6]",
        ),
        (
            wording.points_interval(Estimate(0.0, Interval(0.0, 0.0, IntervalKind.FACTS))),
            "0.0 [0, 0]",
        ),
    ],
)
def test_numbers_read_well(written, expected):
    assert written == expected


@given(st.text())
def test_printable_text_never_steers_a_terminal(text):
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", wording.printable(text))


@given(st.text(alphabet="a|\\`<>&\n\r*_[]\u2028 "))
def test_escaped_markdown_is_one_cell_without_markup(text):
    escaped = wording.markdown(text)
    assert not re.search(r"[<>\n\r]", escaped)
    assert not re.search(r"(?<!\\)(\\\\)*[|`*_\[]", escaped)


def test_markdown_tables_keep_their_shape_whatever_a_name_holds(tmp_path):
    text = leaderboard_markdown(
        board_of(tmp_path, evil_cell(), make_cell(spec={"method": "peft[path=a|b\n<i>.json]"}))
    )
    assert "<script>" not in text
    assert "\x1b" not in text
    assert "<i>" not in text
    learned = table_lines(text.split("### Cost")[0])
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in learned}
    assert len(widths) == 1


def test_markdown_says_floor_failures_warnings_and_signs(tmp_path):
    floor = make_forgetting(at_floor=True, lost=0.0)
    text = leaderboard_markdown(
        board_of(
            tmp_path,
            make_cell(forgetting=[floor], warnings=["few tokens"], identity=False),
            failed_cell(method="dora", facts=64, reason="needs 9 GiB"),
        )
    )
    row = next(line for line in table_lines(text) if "| lora" in line)
    assert "at floor" in row
    assert "not the base at init" in row
    assert "- lora: few tokens" in text
    assert "- dora, seed 0: out of memory: needs 9 GiB" in text
    assert "positive is lost" in text
    assert "one seed: bootstrap over facts only" in text


def test_the_base_line_says_what_it_knew_maybe_knew_and_did_not(tmp_path):
    rows = make_rows(8)
    kinds = [Knowledge.KNOWN] * 2 + [Knowledge.MAYBE] + [Knowledge.UNKNOWN] * 5
    rows = [row.model_copy(update={"knowledge": k}) for row, k in zip(rows, kinds, strict=True)]
    text = leaderboard_markdown(board_of(tmp_path, (make_cell(n=8)[0], rows)))
    assert (
        "The base before training: 25.0 % of these facts (known), 12.5 % maybe, 62.5 % unknown, "
        "elements 50.0 %."
    ) in text


def test_update_columns_are_there_only_with_updates(tmp_path):
    board = board_of(tmp_path, make_cell(updates=4), make_cell(spec={"task": "elements"}))
    sections = [leaderboard_markdown(Leaderboard((section,))) for section in board.sections]
    shown = [[word in table_lines(text)[0] for text in sections] for word in UPDATE_HEADERS]
    assert shown == [[True, False]] * 2
    assert "updated" in terminal_table(Leaderboard(board.sections[:1]))
    assert "updated" not in terminal_table(Leaderboard(board.sections[1:]))


def test_rebuilt_parts_are_marked(tmp_path, monkeypatch):
    class Guessed(Part):
        certainty = "rebuilt"

    monkeypatch.setattr("bench.report.certainty.STRATEGIES", {"guessed": Guessed})
    text = leaderboard_markdown(board_of(tmp_path, make_cell(spec={"method": "lora+guessed[a=1]"})))
    assert "rebuilt: guessed" in text
    assert "- guessed: its formula is rebuilt" in text


def test_a_method_whose_parts_are_not_installed_is_shown_without_a_mark(tmp_path):
    text = leaderboard_markdown(board_of(tmp_path, make_cell(spec={"method": "gone+lost["})))
    assert "gone+lost" in text
    assert "rebuilt" not in text


def test_the_terminal_table_fits_100_columns_with_nine_methods(tmp_path):
    cells = [make_cell(spec={"method": m, "seed": s}) for m in NINE for s in range(2)]
    text = terminal_table(board_of(tmp_path, *cells))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in text
    assert sum(line.startswith("corda[mode=kpm]") for line in lines) == 2, "two stacked tables"
    words = "reliability unknown generality locality forgets drift parameters prepare train peak"
    for word in words.split():
        assert word in text


def test_a_long_recipe_is_broken_at_its_parts(tmp_path):
    method = "pissa+filter[rho=0.2]+reweight[tau=0.5]"
    text = terminal_table(board_of(tmp_path, make_cell(spec={"method": method})))
    assert "\n+filter[rho=0.2]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_colour_appears_only_when_asked_for(tmp_path):
    board = board_of(tmp_path, make_cell())
    assert "\x1b[" in terminal_table(board, color=True)
    assert "\x1b" not in terminal_table(board)


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
    bar = interval_bar(column, Shown("50", 0.5, estimate))
    assert (bar.left, bar.width, bar.at) == (25, 50, 50)
    assert interval_bar(column, Shown("-")) is None


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
    found = {fate.name: [e.question for e in fate.examples] for fate in fates(frame)}
    expected = {"learned": 0, "lost": 1, "moved": 2, "wrong": 3}
    assert {name: found[name] for name in expected} == {
        name: [rows[index].question] for name, index in expected.items()
    }
    assert found["kept"] == []


def test_show_prints_a_cell_and_never_what_could_steer_a_terminal(tmp_path):
    record, rows = evil_cell(notes={"conditioning": {"q_proj": 2e8}})
    fill(tmp_path, [(record, rows)])
    text = show_cell(tmp_path, record.cell_id[:8], width=160)
    assert f"cell {record.cell_id}: done" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    squeezed = re.sub(r"\s", "", text)
    assert "\\x1b[31m[red]bold" in squeezed, "neither escape codes nor rich markup are interpreted"
    for word in ("reliability unknown", "elements", "with nothing cached", "learned:", "2e+08"):
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
