"""What people see of comparisons: marks, ties, ranks, pairs that are missing, all sections."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.statistics.ranking import RankInterval
from bench.report.tables.markdown import leaderboard_markdown
from bench.report.tables.remarks import comparison_remark, interval_remark
from bench.report.tables.terminal import terminal_table
from tests.bench.report_cells import failed_cell, fill, make_cell, metrics_of

ACCURACY = {"lora": 0.6, "dora": 0.6, "corda": 0.99, "pissa": 0.1}


def board_of(folder, cells):
    return load_leaderboard(fill(folder, cells))


def grid(task="countries", seeds=(0, 1, 2), methods=ACCURACY):
    return [
        make_cell(spec={"method": m, "seed": s, "task": task}, accuracy=methods[m])
        for m in methods
        for s in seeds
    ]


def columns_of(text, header):
    """Return by method what stands in the first table's column whose header starts so."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    place = next(i for i, name in enumerate(cells[0]) if name.startswith(header))
    rows = cells[2 : next((i for i, row in enumerate(cells[2:], 2) if row[0] == "method"), None)]
    return {row[0]: row[place] for row in rows}


def test_the_table_marks_what_differs_and_shows_ties(tmp_path):
    text = leaderboard_markdown(board_of(tmp_path, grid()))
    versus = columns_of(text, "vs lora")
    assert versus["lora"] == "reference"
    assert [versus[m][0] for m in ("dora", "corda", "pissa")] == ["≈", "▲", "▼"]
    assert columns_of(text, "rank")["dora"] == "2-3"
    marked = columns_of(text, "reliability (%)")
    assert marked["corda"].endswith("▲")
    assert marked["pissa"].endswith("▼")
    assert marked["dora"].endswith("]")


def test_no_ranks_and_no_reference_beside_a_method_alone(tmp_path):
    text = leaderboard_markdown(board_of(tmp_path, [make_cell()]))
    assert "rank" not in text.split("### Cost")[0]
    assert "vs lora" not in text


def test_a_method_without_a_result_has_no_rank_and_is_not_compared(tmp_path):
    cells = [*grid(), failed_cell(method="olora", facts=64)]
    text = leaderboard_markdown(board_of(tmp_path, cells))
    assert columns_of(text, "vs lora")["olora"] == "-"
    assert columns_of(text, "rank")["olora"] == "-"


def test_pairs_of_fewer_seeds_are_said(tmp_path, snapshot):
    cells = [*grid(methods={"lora": 0.6}), make_cell(spec={"method": "dora", "seed": 1})]
    text = leaderboard_markdown(board_of(tmp_path, cells))
    [line] = [line for line in text.splitlines() if line.startswith("- dora")]
    assert "lora" in line
    assert "1" in line
    snapshot("markdown", "pairs of fewer seeds", line)


def test_methods_are_ranked_over_sections_and_the_missing_are_named(tmp_path):
    one = grid(seeds=(0, 1, 2))
    other = grid("elements", methods={m: a for m, a in ACCURACY.items() if m != "pissa"})
    board = board_of(tmp_path, [*one, *other])
    found = board.overall
    assert found.left_out == ("pissa",)
    assert found.methods[0].label == "corda"
    corda, *ties = found.methods
    assert (corda.rank, corda.possible) == (1.0, RankInterval(1, 1))
    assert np.mean([method.rank for method in found.methods]) == 2.0
    assert [method.possible for method in ties] == [RankInterval(2, 3)] * 2
    for text in (leaderboard_markdown(board), terminal_table(board), leaderboard_html(board, [])):
        assert "not ranked: pissa" in " ".join(text.split())


def test_one_section_has_no_ranks_over_all(tmp_path):
    assert board_of(tmp_path, grid()).overall is None


def test_sections_ranked_by_different_metrics_are_not_pooled(tmp_path):
    known = [
        make_cell(spec={"method": m, "seed": s, "task": "elements"}, accuracy=a, known=1.1)
        for m, a in ACCURACY.items()
        for s in (0, 1, 2)
    ]
    board = board_of(tmp_path, [*grid(), *known])
    assert [section.headline for section in board.sections] == [
        "epochs_to_learn_unknown",
        "reliability",
    ]
    assert all(len(section.ranked) > 1 for section in board.sections)
    assert board.overall is None


def test_ranks_are_by_how_soon_facts_were_learned_before_the_ceiling(tmp_path):
    cells = []
    for method, epochs in (("lora", [4, 5, 6, 7]), ("soon", [1, 2, 2, 3])):
        for seed in (0, 1, 2):
            record, rows = make_cell(accuracy=1.0, known=0.0, spec={"method": method, "seed": seed})
            rows = [
                row.model_copy(update={"epochs_to_learn": epochs[place % 4]})
                for place, row in enumerate(rows)
            ]
            cells.append((record.model_copy(update={"metrics": metrics_of(rows)}), rows))
    board = board_of(tmp_path, cells)
    text = leaderboard_markdown(board)
    assert {row.metrics["reliability"].value for row in board.rows} == {1.0}
    assert columns_of(text, "rank") == {"soon": "1", "lora": "2"}
    assert columns_of(text, "vs lora (epochs)")["soon"].startswith("▲ -3.5")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_and_two_seeds_are_shown_without_marks_and_ranks(tmp_path, snapshot, seeds):
    both = [*grid(seeds=seeds), *grid("elements", seeds=seeds)]
    board = board_of(tmp_path, both)
    text = leaderboard_markdown(board)
    shown = [line for line in text.splitlines() if line.startswith("|")]
    assert board.overall is None
    assert not set("▲▼≈") & set("".join(shown))
    assert columns_of(text, "vs lora")["corda"].startswith("-"), "fewer epochs"
    assert not any("rank" in line for line in shown)
    snapshot("markdown", f"comparisons of {len(seeds)} seeds", comparison_remark(board.sections[0]))
    snapshot("markdown", f"intervals of {len(seeds)} seeds", interval_remark(board.sections[0]))


def test_what_three_seeds_say_of_ranks_and_marks(tmp_path, snapshot):
    (section,) = board_of(tmp_path / "apart", grid()).sections
    snapshot("markdown", "comparisons of three seeds", comparison_remark(section))
    (section,) = board_of(tmp_path / "alike", grid(methods={"lora": 0.6, "dora": 0.6})).sections
    snapshot("markdown", "comparisons where all ranks are open", comparison_remark(section))


def test_three_seeds_of_few_facts_are_not_called_fewer_than_three(tmp_path):
    cells = [
        make_cell(n=4, known=0.0, accuracy=a, spec={"method": m, "seed": s})
        for m, a in (("lora", 0.6), ("dora", 0.9))
        for s in (0, 1, 2)
    ]
    (section,) = board_of(
        tmp_path, [(r.model_copy(update={"forgetting": []}), f) for r, f in cells]
    ).sections
    assert "five facts" in comparison_remark(section)


def test_ranks_are_not_called_open_where_no_pair_could_be_tested(tmp_path, snapshot):
    cells = [
        *grid(methods={"lora": 0.6}, seeds=(0, 1, 2)),
        *grid(methods={"dora": 0.6}, seeds=(3, 4, 5)),
    ]
    (section,) = board_of(tmp_path, cells).sections
    said = comparison_remark(section)
    assert "every order" not in said
    snapshot("markdown", "no pair shares three seeds", said)


def test_intervals_of_pairs_that_share_fewer_seeds_are_explained(tmp_path):
    cells = [
        *grid(methods={"lora": 0.6}, seeds=(0, 1, 2)),
        *grid(methods={"dora": 0.6}, seeds=(1, 2, 3)),
    ]
    (section,) = board_of(tmp_path, cells).sections
    assert section.rows[0].standing.comparisons or section.rows[1].standing.comparisons
    assert "two seeds: over seeds and facts" in interval_remark(section)
    assert "three or more seeds" in interval_remark(section)


def test_ranks_beside_differences_that_are_not_tested_are_not_denied(tmp_path):
    cells = [
        *grid(methods={"lora": 0.6}, seeds=(0,)),
        *grid(methods={"corda": 0.99, "pissa": 0.1}, seeds=(0, 1, 2)),
    ]
    (section,) = board_of(tmp_path, cells).sections
    said = comparison_remark(section)
    assert "Ranks" in said
    assert "nothing is marked." in said
