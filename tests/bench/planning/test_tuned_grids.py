"""Grids that are tuned, on the two-layer model: two stages, interrupted, extended, in shards."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench.cli.plan import print_plan
from bench.config.options import RunOptions, build_options
from bench.execution.messages import Job
from bench.execution.run import run_grid
from bench.planning.cost_estimate import grid_cost
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import CellState
from bench.planning.resolver import Assignment, resolve
from bench.progress.base import Silent
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.remarks import failures, marks, warnings
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.division import FactSet, fact_set_of
from tasks.errors import UsageError

TUNING, REPORTING = FactSet


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    def make(**changes):
        given = {
            "methods": "lora[r=4],pissa[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 2,
            "epochs": 3,
            "seeds": "3,1",
            "lr": "1e-3,1e-2",
            "tune_seeds": 1,
            "device": "cpu",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def planned(chosen):
    return plan_grid(chosen, ResultsStore(chosen.out))


def of(cells, fact_set):
    return [cell for cell in cells if cell.spec.fact_set is fact_set]


def ids(cells):
    return {cell.cell_id for cell in cells}


class Counting(Silent):
    """Counts the cells that start, and presses Ctrl-C in one of them."""

    def __init__(self, last=None):
        self.labels, self.last = [], last

    def cell(self, index, total, label, together=1):
        self.labels.append(label)

    def phase(self, name, steps=None):
        if len(self.labels) == self.last:
            raise KeyboardInterrupt


def test_a_plan_has_both_stages_and_no_subject_in_two_places(options, capsys):
    chosen = options()
    cells = planned(chosen)
    tuning, reporting = of(cells, TUNING), of(cells, REPORTING)
    assert [cell.state for cell in tuning] == [CellState.MISSING] * 4
    assert {cell.spec.seed for cell in tuning} == {1000}, "none that reports, the same for all"
    assert len({(cell.spec.asked, cell.spec.learning_rate) for cell in tuning}) == 4
    assert [cell.state for cell in reporting] == [CellState.OPEN] * 4
    assert not any(cell.runs for cell in reporting)
    cost = grid_cost(cells, ())
    assert cost.cells == 8, "cells to be chosen take their time too"
    print_plan(cells, cost, 1, Console(width=400))
    out = capsys.readouterr().out
    assert out.count("4 missing") == out.count("4 to be chosen") == 1

    one, other = tuning[0].data, reporting[0].data
    assert {fact_set_of(one.task, fact) for fact in one.facts} == {TUNING}
    assert {fact_set_of(one.task, fact) for fact in other.facts} == {REPORTING}
    assert one.prompt == other.prompt
    asked = {question for question, _ in one.prompt.demonstrations}
    assert not asked & {fact.question for fact in (*one.facts, *other.facts)}
    assert tuning[0].spec.tuned.other_digest == reporting[0].spec.facts_digest


def test_every_candidate_is_tried_with_every_tuning_seed(options):
    chosen = options(methods="lora[r=4]", tune_seeds=2)
    cells = planned(chosen)
    tried = [(cell.spec.learning_rate, cell.spec.seed) for cell in of(cells, TUNING)]
    assert tried == [(rate, seed) for rate in (1e-3, 1e-2) for seed in (1000, 1001)]
    first = Counting(4)
    run_grid(chosen, first)
    states = {cell.state for cell in of(planned(chosen), REPORTING)}
    assert states == {CellState.OPEN}, "one seed of the last candidate is missing"
    [tuning] = [row.tuning for row in load_leaderboard(chosen.out).rows]
    statuses = [entry.trial.status for entry in tuning.tried]
    assert statuses == [Status.DONE, Status.INTERRUPTED], "and is not compared either"
    run_grid(chosen, Silent())
    store = ResultsStore(chosen.out)
    bare = {c.spec.fact_set: store.rows(c.cell_id)["answer_bare"] for c in planned(chosen)}
    assert bare[TUNING].isna().all(), "what was carried over decides nothing"
    assert bare[REPORTING].notna().all()
    assert {cell.state for cell in planned(chosen)} == {CellState.DONE}
    [row] = load_leaderboard(chosen.out).rows
    assert [len(entry.cells) for entry in row.tuning.tried] == [2, 2]
    wider = planned(options(methods="lora[r=4]", tune_seeds=2, seeds="3,1,5"))
    assert [cell.spec.seed for cell in wider if cell.runs] == [5], "more seeds, no new tuning"


def test_a_reporting_seed_that_tunes_is_refused_before_anything_runs(options):
    with pytest.raises(UsageError, match="--seeds 1000"):
        planned(options(seeds="0,1000"))


def test_a_tuning_set_has_more_facts_than_the_limit_where_there_are_some(options, tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("question,answer\n" + "".join(f"What is {n}?,{n}\n" for n in range(700)))
    cells = planned(options(tasks=str(path), limit=8, methods="lora"))
    assert {cell.spec.facts for cell in of(cells, TUNING)} == {256}
    assert {cell.spec.facts for cell in of(cells, REPORTING)} == {8}
    more = planned(options(tasks=str(path), limit=300, methods="lora"))
    assert {cell.spec.facts for cell in more} == {300}
    limited = planned(options(tasks=str(path), limit=300, tune_limit=20, methods="lora"))
    assert {cell.spec.facts for cell in of(limited, REPORTING)} == {300}
    assert {cell.spec.facts for cell in of(limited, TUNING)} == {20}
    few = planned(options(limit=2, methods="lora"))
    available = of(few, TUNING)[0].data.available
    assert {cell.spec.facts for cell in of(few, TUNING)} == {available}


def test_candidates_are_not_explained(options):
    cells = planned(options(explain=True, forgetting="elements"))
    assert not any(cell.knowledge_digest for cell in of(cells, TUNING))
    assert all(cell.knowledge_digest for cell in of(cells, REPORTING))


def test_demonstrations_are_never_of_a_subject_that_is_reported(options, tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("question,answer\n" + "".join(f"What is {n}?,{n}\n" for n in range(700)))
    cells = planned(options(tasks=str(path), limit=8))
    data = of(cells, REPORTING)[0].data
    questions = {question for question, _ in data.prompt.demonstrations}
    asked = [fact for fact in data.task.load(None) if fact.question in questions]
    assert len(asked) == 4, "drawn from the file, not built in"
    assert {fact_set_of(data.task, fact) for fact in asked} == {TUNING}
    trained = {fact.id for cell in cells for fact in cell.data.facts}
    assert not trained & {fact.id for fact in asked}
    assert {cell.spec.facts for cell in of(cells, REPORTING)} == {8}


def test_a_tuned_grid_reports_the_best_candidate_of_each_method_alone(options):
    chosen = options()
    outcome = run_grid(chosen, Silent())
    assert (outcome.ran, outcome.reused, outcome.failed) == (8, 0, 0)
    assert {record.status for record in outcome.records} == {Status.DONE}
    board = load_leaderboard(chosen.out)
    [section] = board.sections
    assert {row.label: row.seeds for row in section.rows} == {
        "lora[r=4]": (1, 3),
        "pissa[r=4]": (1, 3),
    }
    for row in section.rows:
        assert {cell.record.spec.fact_set for cell in row.cells} == {REPORTING}
        assert {cell.record.spec.learning_rate for cell in row.cells} == {
            row.tuning.best.spec.learning_rate
        }
        assert [tried.trial.spec.learning_rate for tried in row.tuning.tried] == [1e-3, 1e-2]
        assert "best of 2" in marks(row)
    again = run_grid(chosen, Silent())
    assert (again.ran, again.reused) == (0, 8)

    longer = Counting()
    more = run_grid(options(lr="1e-2,1e-3,1e30", methods="lora[r=4],pissa[r=4],dora[r=4]"), longer)
    assert more.failed == 0, "a candidate that diverged was tried"
    labels = [label.split(" · ") for label in longer.labels]
    assert [label[:2] + label[4:5] for label in labels] == [
        ["tuning", "lora[r=4]", "lr 1e+30"],
        ["tuning", "pissa[r=4]", "lr 1e+30"],
        *(["tuning", "dora[r=4]", f"lr {rate}"] for rate in ("0.01", "0.001", "1e+30")),
        *(["reporting", "dora[r=4]", labels[-1][4]] for _ in range(2)),
    ]
    [section] = load_leaderboard(chosen.out).sections
    assert {row.label for row in section.rows} == {"lora[r=4]", "pissa[r=4]", "dora[r=4]"}
    assert all(len(row.tuning.tried) == 3 for row in section.rows)

    anew = run_grid(options(rerun="all", methods="lora[r=4]", seeds="3"), Silent())
    assert (anew.ran, anew.reused) == (3, 0), "all once, in both stages"


def test_candidates_are_measured_on_what_decides_between_equal_ones(options):
    chosen = options(methods="lora[r=4]", forgetting="elements,drift", seeds="0")
    run_grid(chosen, Silent())
    measured = {
        stage: {tuple(f.task for f in record.forgetting) for record in records}
        for stage, records in by_set(ResultsStore(chosen.out).records().records).items()
    }
    assert measured == {TUNING: {("drift",)}, REPORTING: {("elements", "drift")}}
    without = planned(options(forgetting="elements", out=chosen.out, seeds="0"))
    assert [str(name) for name in of(without, TUNING)[0].forgetting] == ["elements"]
    assert [cell.why for cell in of(without, TUNING)[:2]] == ["elements"] * 2, "it decides now"


def by_set(records):
    return {s: [r for r in records if r.spec.fact_set is s] for s in (TUNING, REPORTING)}


def test_what_the_second_stage_measures_is_looked_for_before_the_first(options):
    chosen = options(forgetting="nq_open,drift")
    with pytest.raises(UsageError, match="nq_open"):
        run_grid(chosen, Silent())
    assert not ResultsStore(chosen.out).records().records


def test_recipes_are_tuned_and_reported_as_they_were_asked_for(options):
    chosen = options(methods="lora", lr="1e-3", tune="r=2,4", seeds="0")
    outcome = run_grid(chosen, Silent())
    assert {record.spec.method for record in outcome.records} == {"lora[r=2]", "lora[r=4]"}
    [row] = load_leaderboard(chosen.out).rows
    assert (row.label, row.spec.asked) == ("lora", "lora")
    assert f"r {row.spec.recipe.rpartition('r=')[2].rstrip(']')}," in marks(row)
    wider = run_grid(options(methods="lora", lr="1e-2,1e-3", tune="r=2,4", seeds="0"), Silent())
    assert wider.reused >= 2, "what else is tuned does not make cells others"
    [row] = load_leaderboard(chosen.out).rows
    assert (row.tuning.over, len(row.tuning.tried)) == (("lr", "r"), 4)


@pytest.mark.parametrize("last", [2, 4])
def test_an_interrupt_in_either_stage_loses_its_cell_alone(options, last):
    chosen = options(methods="lora[r=4]")
    first = Counting(last)
    outcome = run_grid(chosen, first)
    assert (outcome.interrupted, outcome.ran) == (True, last - 1)
    board = load_leaderboard(chosen.out)
    if last == 2:
        [row] = board.rows
        assert (row.cells, row.failures) == ((), ())
        assert marks(row)
    rest = Counting()
    assert not run_grid(chosen, rest).interrupted
    assert len(first.labels[:-1] + rest.labels) == len({*first.labels[:-1], *rest.labels}) == 4


def test_where_no_candidate_ends_well_the_row_says_so(options, snapshot):
    chosen = options(methods="lora[r=4],pissa[r=4]", lr="1e29,1e30", seeds="0")
    outcome = run_grid(chosen, Silent())
    assert (outcome.ran, outcome.failed) == (4, 2)
    [section] = load_leaderboard(chosen.out).sections
    told = failures(section)
    assert len(told) == 4
    assert all(word in told[0] for word in ("lora[r=4]", "1e+29", "diverged"))
    first = told[0].partition("diverged")[0]
    snapshot("tuning", "no candidate has a result", "\n".join((*map(marks, section.rows), first)))
    assert warnings(section) == []


def test_a_group_stays_in_one_shard_whatever_is_tried(options):
    shards = [planned(options(shard=f"{part}/3", methods="lora,dora,pissa")) for part in (1, 2, 3)]
    whole = planned(options(methods="lora,dora,pissa"))
    assert sum(map(len, shards)) == len(whole)
    asked = [{cell.spec.asked for cell in cells} for cells in shards]
    assert sum(map(len, asked)) == 3
    more = planned(options(shard="1/3", methods="lora,dora,pissa", lr="1e-5,1e-4", seeds="7"))
    assert {cell.spec.asked for cell in more} == asked[0]


def test_a_worker_resolves_the_cells_it_is_handed_whatever_is_chosen_by_now(options):
    chosen = options(tune="r=2,4", methods="lora,lora+filter")
    cells = planned(chosen)
    wanted = of(cells, REPORTING)[:1] + of(cells, TUNING)[:3]
    job = Job(
        options=chosen.model_dump(mode="json"),
        cells=tuple(map(Assignment.of, wanted)),
        number=1,
        threads=1,
        wait=False,
    )
    told = Job.model_validate_json(job.model_dump_json())
    found = resolve(told.cells, RunOptions.model_validate(told.options))
    assert [cell.spec for cell in found] == [cell.spec for cell in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert (one.recipe, one.data) == (other.recipe, other.data)
        assert (one.forgetting, one.calibration) == (other.forgetting, other.calibration)
        assert (one.state, one.chosen) == (CellState.MISSING, True)


def test_a_task_too_small_to_divide_is_refused_before_anything_runs(options, tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("question,answer\nWho?,I\n")
    with pytest.raises(UsageError, match=r"one\.csv"):
        run_grid(options(tasks=str(path)), Silent())
