"""Held-out problems by their kind: recomputed from the rows, and shown for held-out ones alone."""

from __future__ import annotations

import pytest

from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.by_relation import BASE, by_relation_table
from bench.report.tables.csv import leaderboard_frame
from bench.report.write import write_report
from bench.store.asks import Asks
from tests.bench.report_cells import fill, make_cell

SKILL = {"task": "arithmetic", "lessons": 400, "lessons_digest": "b" * 64}
HEADING = "Held-out problems by kind"
KINDS = ["calling code", "capital", "currency"]


def skill_cells(relations=3, record=None, **spec):
    cells = [
        make_cell(n=60, relations=relations, accuracy=accuracy, spec={**SKILL, **spec, "method": m})
        for m, accuracy in (("lora", 0.9), ("full", 0.4))
    ]
    return [(cell.model_copy(update=record), rows) for cell, rows in cells]


def share(rows, relation, column):
    values = [getattr(row, column) for row in rows if row.relation == relation]
    return sum(values) / len(values)


def test_shares_are_those_of_the_rows(tmp_path):
    cells = skill_cells()
    board = load_leaderboard(fill(tmp_path, cells))
    table = by_relation_table(board.sections[0])
    assert table.headers == ["method", *(f"{kind} (%) ↑" for kind in KINDS)]
    lines = {line[0]: [float(text.split()[0]) for text in line[1:]] for line in table.lines}
    assert set(lines) == {BASE, "lora", "full"}
    frame = leaderboard_frame(board).set_index("method")
    for record, rows in cells:
        method = record.spec.method
        for place, kind in enumerate(KINDS):
            after, before = (share(rows, kind, f"correct_{when}") for when in ("after", "before"))
            assert lines[method][place] == pytest.approx(100 * after, abs=0.051)
            assert lines[BASE][place] == pytest.approx(100 * before, abs=0.051)
            assert frame.loc[method, f"reliability.{kind}"] == pytest.approx(after)
            assert frame.loc[method, f"reliability_before.{kind}"] == pytest.approx(before)
            low, high = (frame.loc[method, f"reliability.{kind}_{end}"] for end in ("low", "high"))
            assert low <= after <= high


def test_seeds_are_averaged_and_one_without_a_result_is_left_out(tmp_path):
    cells = [cell for seed in (0, 1) for cell in skill_cells(seed=seed)]
    [section] = load_leaderboard(fill(tmp_path, cells)).sections
    [capital] = [line[2] for line in by_relation_table(section).lines if line[0] == "full"]
    own = [share(rows, "capital", "correct_after") for r, rows in cells if r.spec.method == "full"]
    assert float(capital.split()[0]) == pytest.approx(50 * sum(own), abs=0.051)


def test_facts_and_problems_of_one_kind_have_no_such_table(tmp_path):
    facts = load_leaderboard(fill(tmp_path / "facts", [make_cell(n=60, relations=3)]))
    alone = load_leaderboard(fill(tmp_path / "alone", skill_cells(relations=1)))
    for board in (facts, alone):
        assert by_relation_table(board.sections[0]) is None
        assert not [name for name in leaderboard_frame(board) if name.startswith("reliability.")]


def test_reports_show_it_below_what_was_learned(tmp_path):
    report = write_report(fill(tmp_path, [*skill_cells(), make_cell(n=60, relations=3)]))
    for path in (report.markdown, report.html):
        text = path.read_text(encoding="utf-8")
        assert text.count(HEADING) == 1 if path is report.markdown else HEADING in text
        assert text.index("Learned, carried over") < text.index(HEADING)
        assert BASE in text
    frame = leaderboard_frame(report.board).set_index("task")
    assert frame.loc["countries", [f"reliability.{kind}" for kind in KINDS]].isna().all()


def test_what_was_held_out_is_said_where_there_is_any(tmp_path):
    said = "Held-out problems are of a skill"
    skill = write_report(fill(tmp_path / "skill", skill_cells())).markdown.read_text("utf-8")
    assert "60 held-out problems, asked after training on 400 others. Before" in skill
    assert said in skill
    facts = write_report(fill(tmp_path / "facts", [make_cell(n=60)])).markdown.read_text("utf-8")
    assert "60 facts. Before" in facts
    assert said not in facts


def test_rows_trained_on_other_examples_have_other_names(tmp_path):
    cells = [
        make_cell(n=60, spec={**SKILL, "lessons": count, "lessons_digest": digest * 64})
        for count, digest in ((100, "b"), (400, "c"))
    ]
    [section] = load_leaderboard(fill(tmp_path, cells)).sections
    assert {row.label for row in section.rows} == {"lora (100 examples)", "lora (400 examples)"}


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        (Asks.QUESTIONS, "60 questions, asked after training on 400 passages."),
        (Asks.TRAINED_QUESTIONS, "60 questions, asked after training on 400 passages and question"),
    ],
)
def test_questions_about_texts_are_called_questions(tmp_path, asks, told):
    fill(tmp_path, skill_cells(record={"asks": asks}))
    report = write_report(tmp_path)
    text = report.markdown.read_text("utf-8")
    assert told in text
    assert "### Questions by kind" in text
    assert "problem" not in text.lower()
    assert ("none of them was trained" in text) == (asks is Asks.QUESTIONS)
    page = report.html.read_text("utf-8")
    assert "Held-out problem" not in page
    assert "learned of the questions the base did not answer" in page


def test_kinds_with_few_problems_each_have_no_table_of_nothing(tmp_path):
    few = [make_cell(n=6, relations=3, spec=SKILL)]
    assert by_relation_table(load_leaderboard(fill(tmp_path, few)).sections[0]) is None
