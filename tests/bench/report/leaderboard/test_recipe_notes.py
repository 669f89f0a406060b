"""What parts chose: named in tables, told by `show`, drawn with the cut, never misread."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.leaderboard.recipe_notes import chosen_marks, notes_of, removals
from bench.report.plots import layers
from bench.report.plots._style import method_styles, settings
from bench.report.plots.layers import shared_cuts
from bench.report.show import show_cell
from bench.report.tables.csv import leaderboard_frame
from bench.report.tables.markdown import leaderboard_markdown
from bench.report.tables.terminal import terminal_table
from methods.layer_deviation import CutNotes
from methods.notes import Notes, TrainedNotes, layer_ranges, note, stored
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell

DEVIATION = [1.0, 0.9, 0.5, 0.45, 0.1]
FROZEN = {
    "kept": 64,
    "layers": [2, 3],
    "layer_count": 4,
    "cut": 2,
    "cut_stability": 0.83,
    "layer_deviation": DEVIATION,
    "gain": [0.1, 0.4, 0.05, 0.35],
}
FILTERED = {
    "kept": 51,
    "layers": None,
    "layer_count": 4,
    "kept_facts": ["fact-0001"],
    "removed_interval": [0.434, 0.61],
    "overlap_far": 0.0,
    "overlap_near": 3 / 13,
}
CALIBRATED = {"calibration_samples": 132, "calibration_tokens": 2302, "calibration_inputs": 120}
REMOVED = (
    "13 facts at distances 0.43 to 0.61, 0% of them among the 13 farthest, "
    "23% of them among the 13 nearest"
)


def board_of(folder, *cells):
    return load_leaderboard(fill(folder, cells))


def noted(method, notes, **spec):
    return make_cell(spec={"method": method, **spec}, notes=notes)


def marks_of(folder, *cells):
    (row,) = board_of(folder, *cells).rows
    return chosen_marks(row)


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (FROZEN, ["cut after layer 2 (83% stable)", "layers 3-4 of 4"]),
        (
            FROZEN | {"cut_stability": 0.49},
            ["cut after layer 2 (unstable, 49%)", "layers 3-4 of 4"],
        ),
        ({"kept": 64, "layers": [0, 1, 2, 6]}, ["layers 1-3, 7"]),
        ({"layers": [9], "layer_count": 30}, ["layer 10 of 30"]),
        (FILTERED, ["keeps 51 of 64 facts"]),
        ({"kept": 64, "layers": None}, []),
        ({"balance_median": 6.5, "balance_extreme": 1e5}, []),
        ({"balance_median": 100.0, "balance_extreme": 0.01}, []),
        ({"balance_median": 729.4, "balance_extreme": 1e5}, ["A/B balance 729 before training"]),
        ({"balance_median": 0.004, "balance_extreme": 1}, ["A/B balance 0.004 before training"]),
        ({"balance_median": None, "balance_extreme": None}, []),
        (CALIBRATED | {"calibration_window": 2048}, []),
        (CALIBRATED | {"calibration_window": 0}, ["variant: calibrated one text a sample"]),
        (CALIBRATED, []),
        ({}, []),
        ({"cut": "deep", "layers": "all", "kept": {"a": 1}}, []),
    ],
)
def test_a_row_names_its_cut_layers_and_kept_facts(tmp_path, notes, expected):
    assert marks_of(tmp_path, noted("lora", notes)) == expected


def test_layers_that_differ_by_seed_are_named_by_seed(tmp_path):
    cells = [
        noted("lora+random_cut", {"layers": list(range(cut, 30)), "layer_count": 30}, seed=seed)
        for seed, cut in enumerate((10, 20))
    ]
    assert marks_of(tmp_path, *cells) == [
        "layers 11-30 of 30 (seed 0); layers 21-30 of 30 (seed 1)"
    ]


def test_layer_ranges_count_from_one():
    assert layer_ranges([]) == ""
    assert layer_ranges([3, 0, 1]) == "1-2, 4"


def test_a_note_of_another_form_does_not_hide_the_others():
    record, _ = noted("lora", {"cut": [1, 2], "cut_stability": 1, "gain": "big", "kept": 5})
    cut, trained = notes_of(record, CutNotes), notes_of(record, TrainedNotes)
    assert (cut.cut, cut.gain, cut.cut_stability, trained.kept) == (None, None, 1, 5)


def test_all_forms_of_the_table_say_what_was_chosen_and_removed(tmp_path):
    board = board_of(tmp_path, noted("freeze", FROZEN), noted("filter", FILTERED))
    (section,) = board.sections
    assert removals(section) == [f"filter: removed {REMOVED}"]
    for text in (
        leaderboard_markdown(board),
        leaderboard_html(board, []),
        terminal_table(board, width=300),
    ):
        for expected in (
            "cut after layer 2 (83% stable); layers 3-4 of 4",
            "keeps 51 of 64 facts",
            REMOVED,
        ):
            assert expected in text


def test_show_tells_choices_in_words_and_other_notes_as_they_are(tmp_path):
    frozen = noted("freeze", FROZEN | {"mine": "kept as it is"})
    filtered = noted("filter", FILTERED)
    fill(tmp_path, [frozen, filtered])
    told = show_cell(tmp_path, frozen[0].cell_id, width=200)
    assert "layer 2 (83% stable)" in told
    assert "3-4 of 4" in told
    assert "kept as it is" in told
    assert "layer_deviation" not in told
    told = show_cell(tmp_path, filtered[0].cell_id, width=200)
    assert "51 of 64" in told
    assert REMOVED in told


def test_rows_that_share_a_curve_share_a_line(tmp_path):
    other = FROZEN | {"gain": [0.0, 0.1, 0.9, 0.0], "cut": 3}
    recipe = "lora[r=16]+freeze[budget=none,gain={},norm=final]"
    board = board_of(
        tmp_path,
        noted("freeze", FROZEN, recipe=recipe.format("drop")),
        noted("dora+freeze", FROZEN, recipe=recipe.format("drop")),
        noted("lora+freeze[gain=ratio]", other, recipe=recipe.format("ratio")),
        noted("lora", {}),
    )
    (section,) = board.sections
    found = {(frozenset(s.names), s.gain, s.choices.cut) for s in shared_cuts(section)}
    assert found == {
        (frozenset({"freeze", "dora+freeze"}), "drop", 2),
        (frozenset({"lora+freeze[gain=ratio]"}), "ratio", 3),
    }


def test_the_cut_is_marked_where_it_is(tmp_path):
    board = board_of(tmp_path, noted("freeze", FROZEN))
    with settings():
        figure = layers.draw(board.sections[0], method_styles(board))
    deviation, gain = figure.axes
    assert list(deviation.lines[0].get_ydata()) == DEVIATION
    assert list(deviation.lines[0].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(gain.lines[0].get_xdata()) == [1, 2, 3], "the last layer is never frozen"
    for axes in (deviation, gain):
        assert [2, 2] in [list(line.get_xdata()) for line in axes.lines]


def test_a_board_without_cuts_has_no_plot_of_layers(tmp_path):
    board = board_of(tmp_path, make_cell(n=2))
    assert layers.draw(board.sections[0], method_styles(board)) is None


@pytest.fixture
def stage_notes(monkeypatch):
    """Notes as a part of another package would declare them; forgotten after the test."""
    monkeypatch.setattr(Notes, "owners", dict(Notes.owners))

    @dataclass(frozen=True)
    class StageNotes(Notes):
        stages: int = note("stages")
        first_share: float = note("first stage has", "{:.0%} of the facts")
        order: tuple[str, ...] = note()
        seconds_of_stage: tuple[float, ...] = ()
        odd: object = note("odd", "{:.2f}")

    @dataclass(frozen=True)
    class UnreadableNotes(Notes):
        unreadable: "NothingOfThatName" = note("unreadable")  # noqa: F821, UP037

    return StageNotes


def test_notes_of_a_new_class_reach_the_record_the_tables_and_show(tmp_path, stage_notes):
    made = stage_notes(stages=3, first_share=0.25, order=("b", "a"), seconds_of_stage=(1.5,))
    notes = stored([TrainedNotes(64, None, 4), made])
    assert notes["order"] == ["b", "a"]
    cell = noted("lora", notes)
    board = board_of(tmp_path, cell)
    for text in (
        leaderboard_markdown(board),
        leaderboard_html(board, []),
        terminal_table(board, width=300),
    ):
        assert "stages 3; first stage has 25% of the facts" in text
    told = show_cell(tmp_path, cell[0].cell_id, width=200)
    assert re.search(r"first stage has +25% of the facts", told)
    assert re.search(r"seconds_of_stage +\[1.5\]", told), "as it is stored"
    assert "order" not in told, "told in words or not at all"


def test_notes_that_cannot_be_read_or_written_are_not_told_and_no_error(tmp_path, stage_notes):
    for notes in ({"stages": 3, "odd": "text"}, {"unreadable": 1}):
        assert marks_of(tmp_path, noted("lora", notes)) in (["stages 3"], [])


def test_a_name_means_one_thing_in_all_records(stage_notes):
    with pytest.raises(UsageError, match="'stages' is declared twice"):

        @dataclass(frozen=True)
        class Other(Notes):
            stages: int = note("stages")


def test_the_csv_has_the_balance_of_rows_that_start_from_the_base(tmp_path):
    started = [
        noted("corda", {"balance_median": b, "balance_extreme": b}, seed=s)
        for s, b in enumerate((5.0, 7.0, 9.0))
    ]
    board = board_of(tmp_path, noted("lora", {}), *started, noted("pissa", {"balance_median": "?"}))
    balance = leaderboard_frame(board).set_index("method")["balance"]
    assert balance["corda"] == 7.0
    assert balance[["lora", "pissa"]].isna().all()


def test_show_tells_balance_and_calibration_in_words(tmp_path):
    balance = {"balance_median": 729.4, "balance_extreme": 1e5}
    cell = noted("corda", CALIBRATED | balance | {"calibration_window": 0, "condition_largest": 9})
    fill(tmp_path, [cell])
    told = show_cell(tmp_path, cell[0].cell_id, width=200)
    assert re.search(r"A/B balance +729 in the median", told)
    assert re.search(r"calibration +2,302 tokens in 132 texts, each a sample: a variant", told)
    assert "condition_largest" in told, "other notes are shown as they are"
    assert "balance_median" not in told
