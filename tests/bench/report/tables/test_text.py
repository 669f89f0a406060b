"""The Markdown and the table in the terminal: what they say, and that they keep their shape."""

from __future__ import annotations

import re
from pathlib import Path

from bench.forgetting.drift import CHECKPOINT_SEQUENCES, SEQUENCES
from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.markdown import leaderboard_markdown
from bench.report.tables.remarks import reading
from bench.report.tables.terminal import terminal_table
from bench.store.knowledge import KnowledgeCategory
from methods.parts import Part
from tests.bench.hostile_cells import evil_cell
from tests.bench.report_cells import (
    failed_cell,
    fill,
    make_cell,
    make_forgetting,
    make_rows,
    metrics_of,
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
ROOT = Path(__file__).parents[4]
UPDATE_HEADERS = ("updated", "still old")


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_readme_shows_the_committed_leaderboard():
    written = (ROOT / "results" / "example" / "leaderboard.md").read_text(encoding="utf-8")
    section = written.partition("## Studies")[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("## What comes out")[2].partition("\n## ")[0]
    assert len(table_lines(section)) == 8, "what was learned, and what it cost"
    assert table_lines(shown) == table_lines(section)
    said = [line for line in section.splitlines() if line and not line.startswith("#")]
    assert set(said) <= set(shown.splitlines())


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
    assert "before training" in row
    assert "few tokens" in text
    assert "needs 9 GiB" in text


def test_the_base_line_says_what_it_knew_maybe_knew_and_did_not(tmp_path, snapshot):
    rows = make_rows(8)
    kinds = (
        [KnowledgeCategory.KNOWN] * 2 + [KnowledgeCategory.MAYBE] + [KnowledgeCategory.UNKNOWN] * 5
    )
    rows = [row.model_copy(update={"knowledge": k}) for row, k in zip(rows, kinds, strict=True)]
    text = leaderboard_markdown(board_of(tmp_path, (make_cell(n=8)[0], rows)))
    [line] = [line for line in text.splitlines() if "62.5%" in line]
    assert [share in line for share in ("25.0%", "12.5%", "50.0%")] == [True] * 3
    snapshot("markdown", "what the base knew", line)


def test_update_columns_are_there_only_with_updates(tmp_path):
    board = board_of(tmp_path, make_cell(updates=8), make_cell(spec={"task": "elements"}))
    sections = [leaderboard_markdown(Leaderboard((section,))) for section in board.sections]
    shown = [[word in table_lines(text)[0] for text in sections] for word in UPDATE_HEADERS]
    assert shown == [[True, False]] * 2
    assert "updated" in terminal_table(Leaderboard(board.sections[:1]))
    assert "updated" not in terminal_table(Leaderboard(board.sections[1:]))


def test_rebuilt_parts_are_marked(tmp_path, monkeypatch):
    class Guessed(Part):
        certainty = "rebuilt"

    monkeypatch.setattr("bench.report.leaderboard.rebuilt.STRATEGIES", {"guessed": Guessed})
    text = leaderboard_markdown(board_of(tmp_path, make_cell(spec={"method": "lora+guessed[a=1]"})))
    assert "rebuilt: guessed" in text
    assert text.count("guessed") > 2, "in the method's name, as a remark and as a warning"


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
    words = "epochs unknown chat bare reliability forgets drift learned train peak"
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


def test_confusion_of_fewer_than_five_wrong_answers_is_not_shown(tmp_path):
    record, rows = make_cell(n=40, known=0.0, accuracy=1.0)

    def wrong(row, place, count):
        there = place >= count
        return row.model_copy(
            update={"correct.chat": there, "confusion.chat": None if there else place % 2 == 0}
        )

    shown = {}
    for count in (4, 6):
        changed = [wrong(row, place, count) for place, row in enumerate(rows)]
        measured = record.model_copy(update={"metrics": metrics_of(changed)})
        text = leaderboard_markdown(board_of(tmp_path / str(count), (measured, changed)))
        header, _, line = table_lines(text)[:3]
        cells = dict(zip(*(x.split("|") for x in (header, line)), strict=True))
        shown[count] = {k.strip(): v.strip() for k, v in cells.items()}.get("confusion, chat (%) ↓")
    assert shown[4] is None, "a column without any value is left out"
    assert shown[6].startswith("50.0 [")


def test_the_first_columns_are_about_learning_and_the_last_about_forgetting(tmp_path, snapshot):
    text = leaderboard_markdown(board_of(tmp_path, make_cell(accuracy=1.0)))
    headers = [cell.strip() for cell in table_lines(text)[0].split("|")[1:-1]]
    places = [
        next(i for i, header in enumerate(headers) if header.startswith(start))
        for start in (
            *("epochs to learn", "learned after", "reliability", "robustness", "generality"),
            *("confusion", "locality", "forgets", "drift", "drift, 90% learned"),
        )
    ]
    assert places == sorted(places)
    snapshot("markdown", "columns of what was learned and forgotten", "\n".join(headers))


def test_the_legend_tells_learned_from_carried_over(tmp_path, snapshot):
    text = leaderboard_markdown(board_of(tmp_path, make_cell()))
    legend = text.partition("## How to read this")[2]
    for words in ("Learned is measured", "Carried over is", "epochs to learn", "confusion"):
        assert words in legend
    snapshot("markdown", "how to read this", legend)


def test_the_legend_says_on_how_many_texts_drift_on_the_way_is_measured():
    said = f"first {CHECKPOINT_SEQUENCES} of the {SEQUENCES} texts"
    assert sum(said in line for line in reading()) == 1
    assert said in (ROOT / "docs/guide/measures.md").read_text()
