import math
from pathlib import Path

import pytest

from bench.cli import main
from bench.interchange.rescore import rescore
from bench.interchange.rescored_rows import lost_columns
from bench.interchange.scorings import own_scoring, scoring_named
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.csv import leaderboard_frame
from bench.report.write import write_report
from bench.store.packed import CELLS
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import failed_cell, fill, make_cell

EXAMPLE = Path(__file__).parents[3] / "results/example"
FOLDERS = [EXAMPLE, *(EXAMPLE / name for name in ("corda_table1", "semantics", "starts"))]


def same(one, other):
    """Equal to the last bit, NaN and missing included."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_rule_of_the_task_gives_every_stored_number_again(folder, tmp_path):
    done = rescore(folder, tmp_path / "new", scoring_named("task"))
    assert len(done.cells) == len(ResultsStore(folder).records().records)
    assert done.problems == ()
    for cell in done.cells:
        stored = ResultsStore(folder).fact_table(cell.old.cell_id).to_pylist()
        again = ResultsStore(tmp_path / "new").fact_table(cell.new.cell_id).to_pylist()
        assert len(stored) == len(again) == cell.old.spec.facts
        for was, now in zip(stored, again, strict=True):
            wrong = {name for name in was if not same(was[name], now[name])}
            assert wrong == set()
            assert all(now[name] is None for name in now.keys() - was.keys())
        assert cell.new.metrics.model_dump() == cell.old.metrics.model_dump()
        assert cell.changed == 0


def test_tables_of_the_same_rule_hold_the_same_numbers(tmp_path):
    rescore(EXAMPLE, tmp_path / "new", scoring_named("task"))
    was, now = (leaderboard_frame(load_leaderboard(f)) for f in (EXAMPLE, tmp_path / "new"))
    assert set(now.pop("rescored")) == {"task"}
    assert was.equals(now)


def test_another_rule_finds_the_answers_within_sentences(tmp_path):
    """`contained.<context>`, which cells measured at the time, is what the rule must give now."""
    for cell in rescore(EXAMPLE, tmp_path / "new", scoring_named("contains")).cells:
        was, now = cell.old.metrics.model_dump(), cell.new.metrics.model_dump()
        for context in ("few_shot", "chat", "bare"):
            assert now[f"robustness.{context}"] == was[f"contained.{context}"]
        assert now["generality"] is None
        assert now["locality"] is None
        assert now["learned_half"] == was["learned_half"]
        assert now["drift_at_90"] == was["drift_at_90"]


def test_the_tables_say_what_was_judged_anew(tmp_path):
    rescore(EXAMPLE, tmp_path / "new", scoring_named("contains"))
    files = write_report(tmp_path / "new", wanted_plots="none")
    text = files.markdown.read_text()
    assert "## smollm2-135m on countries, rescored: contains" in text
    assert "judged anew, by 'contains'" in text
    assert "rescored: contains" in files.html.read_text()
    assert list(leaderboard_frame(files.board)["rescored"]) == ["contains", "contains"]


def test_a_rescored_cell_is_another_cell_and_its_source_stays_as_it_was(tmp_path):
    before = (EXAMPLE / CELLS).read_bytes()
    done = rescore(EXAMPLE, tmp_path / "new", scoring_named("exact"))
    assert (EXAMPLE / CELLS).read_bytes() == before
    for cell in done.cells:
        assert cell.new.cell_id != cell.old.cell_id
        assert cell.new.notes["rescored_from"] == cell.old.cell_id
    again = rescore(EXAMPLE, tmp_path / "other", scoring_named("contains"))
    ids = [{cell.new.cell_id for cell in found.cells} for found in (done, again)]
    assert not ids[0] & ids[1]


def test_worked_steps_are_wrong_as_a_whole_where_only_the_result_is_right(tmp_path):
    folder = EXAMPLE / "corda_table1"
    whole = rescore(folder, tmp_path / "exact", scoring_named("exact"))
    result = rescore(folder, tmp_path / "result", scoring_named("result"))
    assert sum(cell.changed for cell in result.cells) == 0
    assert sum(cell.changed for cell in whole.cells) > 0
    assert all(one.new.metrics.reliability <= one.old.metrics.reliability for one in whole.cells)


def write_rule(tmp_path, body, name="rule.py"):
    path = tmp_path / name
    path.write_text(f"def rule(answer, accepted):\n    {body}\n")
    return f"{path}:rule"


def test_a_function_of_ones_own_judges(tmp_path):
    place = write_rule(tmp_path, "return int(answer[:1] == accepted[0][:1])")
    store = ResultsStore(EXAMPLE)
    for cell in rescore(EXAMPLE, tmp_path / "new", own_scoring(place)).cells:
        rows = store.fact_table(cell.old.cell_id).to_pylist()
        plainly = [row["answer_chat"][:1] == row["answers"][0][:1] for row in rows]
        found = cell.new.metrics.model_dump()["robustness.chat"]
        assert found == pytest.approx(sum(plainly) / len(plainly))
        assert cell.new.spec.rescored.scoring == "rule.py:rule"


def test_an_edited_function_gives_other_cells(tmp_path):
    place = write_rule(tmp_path, "return True")
    first = rescore(EXAMPLE, tmp_path / "a", own_scoring(place))
    write_rule(tmp_path, "return not False")
    second = rescore(EXAMPLE, tmp_path / "b", own_scoring(place))
    assert first.cells[0].new.cell_id != second.cells[0].new.cell_id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scoring", "contain"], "did you mean contains"),
        (["--scoring", "exact", "--metric", "a.py:f"], "give one of them"),
        (["--metric", "rule.py"], "FILE.py:FUNCTION"),
        (["--metric", "absent.py:rule"], "cannot read"),
        (["--metric", "RULE:other"], "no function 'other'"),
        (["--metric", "RULE:rule"], "must return True or False"),
        (["--metric", "RAISES:rule"], "ZeroDivisionError"),
        (["--metric", "BROKEN:rule"], "SyntaxError"),
    ],
)
def test_a_wrong_rule_is_one_line_and_nothing_is_written(tmp_path, capsys, arguments, said):
    write_rule(tmp_path, "return 'yes'")
    write_rule(tmp_path, "return 1 / 0", "raises.py")
    (tmp_path / "broken.py").write_text("def rule(:")
    names = {"RULE": "rule.py", "RAISES": "raises.py", "BROKEN": "broken.py"}
    typed = [
        f"{tmp_path / names[start]}:{function}" if start in names else word
        for word in arguments
        for start, _, function in [word.partition(":")]
    ]
    assert main(["rescore", str(EXAMPLE), *typed, "--to", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UsageError, match="give a new one"):
        rescore(EXAMPLE, tmp_path, scoring_named("task"))
    with pytest.raises(UsageError, match="no cells"):
        rescore(tmp_path, tmp_path / "new", scoring_named("task"))


def test_failures_stay_and_a_cell_whose_rule_cannot_be_told_is_skipped(tmp_path):
    record, rows = make_cell()
    right = next(place for place, row in enumerate(rows) if row.correct_after)
    rows[right] = rows[right].model_copy(update={"correct_after": False})
    updates = make_cell(updates=12, spec={"seed": 1})
    source = fill(tmp_path / "old", [(record, rows), updates, failed_cell("out of memory", seed=2)])
    done = rescore(source, tmp_path / "new", scoring_named("task"))
    assert len(done.problems) == 1
    assert record.cell_id in done.problems[0]
    found = {cell.new.status: cell for cell in done.cells}
    assert found[Status.OUT_OF_MEMORY].new.reason == "out of memory"
    again = ResultsStore(tmp_path / "new").fact_table(found[Status.DONE].new.cell_id).to_pylist()
    for was, now in zip(updates[1], again, strict=True):
        names = ("old_before", "old_after", "updated")
        assert [now[name] for name in names] == [getattr(was, name) for name in names]

    # A rule by name needs no stored verdict: the cell whose own cannot be told is judged by it.
    named = rescore(source, tmp_path / "exact", scoring_named("exact"))
    assert len(named.cells) == 3


def test_old_answers_are_judged_by_the_same_rule(tmp_path):
    record, rows = make_cell(updates=1)
    said = {"answer_after": "It was Place 0, surely", "correct_after": False, "old_after": False}
    rows[0] = rows[0].model_copy(update=said)
    source = fill(tmp_path / "old", [(record, rows)])
    [cell] = rescore(source, tmp_path / "new", scoring_named("contains")).cells
    row = ResultsStore(tmp_path / "new").fact_table(cell.new.cell_id).to_pylist()[0]
    assert (row["correct_after"], row["old_after"], row["updated"]) == (False, True, False)


def test_what_is_left_out_is_what_has_no_stored_answer():
    lost = {name.partition(".")[0] for name in lost_columns()}
    assert lost == {"generality", "locality", "portability", "portability_before", "all_hops"}
