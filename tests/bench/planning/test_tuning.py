"""What is tried for each method, and which candidate is chosen."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.options import RunOptions, build_options
from bench.planning.candidates import is_tuned, methods_of, tuning_seeds_of
from bench.planning.planned_cell import cell_id
from bench.planning.tuning import (
    CLOSE,
    LEARNED_HALF,
    Trial,
    best_trial,
    edges,
    shown,
    trial_of,
    trials_of,
)
from bench.store.records import CellSpec, Metrics, Status, Tuned
from bench.store.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import make_cell, make_forgetting, make_rows, make_spec

ROOT = Path(__file__).parents[3]


def tried(method):
    return [(c.recipe.name, c.learning_rate, c.epochs, c.batch_size) for c in method.candidates]


def test_candidates_are_the_product_of_the_values_for_the_methods_that_have_them():
    options = build_options(
        {"methods": "lora,full,lora+filter", "lr": "1e-4,1e-3", "tune": ("r=8,16", "rho=0.2,0.4")}
    )
    lora, full, both = methods_of(options)
    assert (lora.name, lora.over) == ("lora", ("lr", "r"))
    assert tried(lora) == [
        (f"lora{r}", rate, None, 8) for rate in (1e-4, 1e-3) for r in ("[r=8]", "")
    ]
    assert (full.over, len(full.candidates)) == (("lr",), 2)
    assert (both.name, both.over, len(both.candidates)) == ("lora+filter", ("lr", "r", "rho"), 8)
    rates = [{c.learning_rate for c in method.candidates} for method in (lora, full, both)]
    assert rates[0] == rates[1] == rates[2], "every method gets the same grid"


def test_run_options_are_tuned_by_their_names():
    options = build_options({"methods": "lora", "tune": ("batch-size=4,8", "epochs=1,2")})
    [method] = methods_of(options)
    assert method.over == ("batch_size", "epochs")
    assert {(c.epochs, c.batch_size) for c in method.candidates} == {(1, 4), (2, 4), (1, 8), (2, 8)}
    same = build_options({"methods": "lora", "tune": "lr=1e-4,1e-3"})
    assert methods_of(same) == methods_of(build_options({"methods": "lora", "lr": "1e-4,1e-3"}))


def test_a_parameter_that_must_be_given_can_be_tuned():
    [method] = methods_of(build_options({"methods": "lora+last[n=1]", "tune": "n=1,2"}))
    assert method.name == "lora+last"
    assert [name for name, *_ in tried(method)] == ["lora+last[n=1]", "lora+last[n=2]"]


def test_a_parameter_of_several_parts_is_the_same_in_all():
    options = {"methods": "lora+filter+reweight", "tune": "encoder=last_hidden,input_embedding"}
    [method] = methods_of(build_options(options))
    other = method.candidates[0].recipe
    assert {other.filter.encoder, other.weights.encoder} == {"last_hidden"}


def test_one_rate_tunes_nothing():
    options = build_options({"methods": "lora,pissa", "lr": "1e-4"})
    assert not is_tuned(options)
    assert {(m.over, len(m.candidates)) for m in methods_of(options)} == {((), 1)}


def test_grid_files_and_workers_read_the_same():
    path = {"methods": "lora", "tune": {"r": [8, 16], "centred": [True, False], "rho": "0.2,0.4"}}
    options = build_options(path)
    assert [(t.name, t.values) for t in options.tune] == [
        ("r", ("8", "16")),
        ("centred", ("true", "false")),
        ("rho", ("0.2", "0.4")),
    ]
    dumped = json.loads(options.model_dump_json())
    assert RunOptions.model_validate(dumped) == options


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"tune": "r"}, "--tune 'r': write NAME=V1,V2 with two or more values"),
        ({"tune": "r=8"}, "--tune 'r=8': write NAME=V1,V2 with two or more values"),
        ({"tune": "r=8,8"}, "write NAME=V1,V2 with two or more values"),
        ({"tune": ("r=8,16", "r=4,2")}, "r is given twice"),
        ({"tune": "rank=8,16"}, "--tune 'rank': neither a run option that can be tuned nor a"),
        ({"tune": "epoch=8,16"}, "did you mean epochs"),
        ({"tune": "rho=0.1,0.2"}, "no method of this grid has it; it is a parameter of"),
        ({"tune": "r=8,many"}, "r must be an integer"),
        ({"tune": "r=8,0"}, "the rank must be at least 1"),
        ({"tune": "epochs=1,none"}, "--epochs 'none': it must be a valid integer"),
        ({"tune": "lr=1e-4,1e-3", "lr": "1e-4"}, "both --lr and --tune lr"),
        ({"tune": "r=8,16", "methods": "lora[r=4]"}, "'lora[r=4]' sets r=4 and --tune r"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(given, line):
    with pytest.raises(UsageError) as told:
        methods_of(build_options({"methods": "lora", **given}))
    assert line in str(told.value)
    assert "\n" not in str(told.value)


def trial(rate=1e-3, score=0.5, lost=(), over=("lr",), generality=None, **spec):
    tuned = Tuned(fact_set="tuning", method="lora", other_digest="r" * 64, other_facts=9, over=over)
    cell = make_spec(learning_rate=rate, tuned=tuned, **spec)
    status = Status.DIVERGED if score is None else Status.DONE
    return Trial(cell, status, score, lost=dict(lost), generality=generality)


RULE = [
    ("most is learned", [trial(1e-2, 0.7), trial(1e-3, 0.6), trial(1e-4, 0.5)], 1e-2),
    ("a failure is never chosen", [trial(1e-2, None), trial(1e-3, 0.1)], 1e-3),
    (
        "of those within two points the least drift at 90 %",
        [
            trial(1e-4, 0.77, {"drift_at_90": 0.1, "drift": 0.1}),
            trial(1e-3, 0.78, {"drift_at_90": 0.2, "drift": 0.9}),
            trial(1e-2, 0.80, {"drift_at_90": 0.3, "drift": 0.1}),
        ],
        1e-3,
    ),
    (
        "at 50 % where some do not reach 90 %",
        [
            trial(1e-3, lost={"drift_at_90": 0.1, "drift_at_50": 0.09, "drift": 0.1}),
            trial(1e-2, lost={"drift_at_50": 0.05, "drift": 0.9}),
        ],
        1e-2,
    ),
    (
        "one that is no rival takes no part in that",
        [
            trial(1e-4, 0.2, {"drift": 0.0}),
            trial(1e-3, lost={"drift_at_90": 0.2, "drift_at_50": 0.0, "drift": 0.0}),
            trial(1e-2, lost={"drift_at_90": 0.1, "drift_at_50": 0.1, "drift": 0.5}),
        ],
        1e-2,
    ),
    (
        "least drift at the end, whatever else is measured",
        [
            trial(1e-4, lost={"drift": 0.5, "x": 0.1, "y": 0.1}),
            trial(1e-3, lost={"drift": 0.4, "x": 0.2, "y": 0.2}),
            trial(1e-2, lost={"drift": 0.6}),
        ],
        1e-3,
    ),
    (
        "without drift the mean forgetting of the tasks that all have",
        [
            trial(1e-4, lost={"w": 9.0, "x": 0.02, "y": 0.06}),
            trial(1e-3, lost={"x": 0.03, "y": 0.03}),
        ],
        1e-3,
    ),
    ("what only some measured decides nothing", [trial(1e-3, lost={"x": -1}), trial(1e-4)], 1e-4),
    ("generality", [trial(1e-3, generality=0.9), trial(1e-4, generality=0.8)], 1e-3),
    (
        "loss before generality",
        [
            trial(1e-3, lost={"drift": 1}, generality=0.9),
            trial(1e-4, lost={"drift": 0.5}, generality=0.8),
        ],
        1e-4,
    ),
    ("the lowest rate", [trial(1e-3), trial(1e-4), trial(1e-2)], 1e-4),
    ("sums in another order are equal", [trial(1e-3, 0.1 + 0.2 + 0.02), trial(1e-4, 0.3)], 1e-4),
]


@pytest.mark.parametrize(("trials", "rate"), [rule[1:] for rule in RULE], ids=[r[0] for r in RULE])
def test_the_rule_in_any_order(trials, rate):
    for ordered in permutations(trials):
        assert best_trial(ordered).spec.learning_rate == rate


def test_of_equal_candidates_the_smaller_numbers_win():
    trials = [trial(recipe=f"lora[r={r}]") for r in (16, 8, 128)]
    assert best_trial(trials).spec.recipe == "lora[r=8]"
    assert best_trial([trial(epochs=20), trial(epochs=3)]).spec.epochs == 3


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 5)), min_size=1, max_size=6),
    st.floats(0, 0.02, exclude_max=True),
)
def test_the_chosen_one_is_near_the_best_and_none_as_near_drifts_less(found, less):
    trials = [trial(10.0**-i, share, {"drift": drift}) for i, (share, drift) in enumerate(found)]
    chosen, most = best_trial(trials), max(share for share, _ in found)
    assert chosen.score >= most - CLOSE - 1e-8
    near = [t for t in trials if t.score >= most - less]
    assert all(chosen.lost["drift"] <= t.lost["drift"] + 1e-8 for t in near)


def test_where_all_failed_nothing_is_chosen():
    assert best_trial([trial(score=None), trial(1e-4, None)]) is None
    assert best_trial([]) is None


def dosed(seed, half, at_90=None, at_50=None, drift=0.1):
    """A done cell with a share learned at half the epochs, and drift at equal learning."""
    record, _ = make_cell(n=20, drift=drift, spec={"seed": seed})
    dose = {"learned_half": half, "drift_at_90": at_90, "drift_at_50": at_50}
    return record.model_copy(update={"metrics": record.metrics.model_copy(update=dose)})


def test_a_trial_is_the_mean_over_its_seeds_before_the_ceiling():
    cells = [dosed(1000, 0.6, 0.3, 0.1, drift=0.5), dosed(1001, 0.8, None, 0.2, drift=0.7)]
    found = trial_of(cells)
    assert (found.score, found.measure) == (pytest.approx(0.7), LEARNED_HALF)
    assert found.score != cells[0].metrics.reliability
    assert "drift_at_90" not in found.lost, "one seed did not reach it"
    assert found.lost["drift_at_50"] == pytest.approx(0.15)
    drifts = [f.forgetting for c in cells for f in c.forgetting if f.task == "drift"]
    assert found.lost["drift"] == pytest.approx(sum(drifts) / 2)
    failed = cells[1].model_copy(update={"status": Status.OUT_OF_MEMORY})
    assert (trial_of([cells[0], failed]).score, trial_of([cells[0], failed]).status) == (
        None,
        Status.OUT_OF_MEMORY,
    )


def test_a_trial_without_a_dose_is_scored_by_reliability():
    record, _ = make_cell(n=20)
    record = record.model_copy(
        update={"metrics": Metrics(**{**record.metrics.model_dump(), "learned_half": None})}
    )
    found = trial_of([record])
    assert (found.score, found.measure) == (record.metrics.reliability, "reliability")
    assert set(found.lost) == {"elements", "drift"}
    floored, _ = make_cell(n=20, forgetting=[make_forgetting(at_floor=True)])
    assert trial_of([floored]).lost == {}, "at floor nothing can be forgotten"
    dose = trial_of([dosed(0, 0.1)])
    assert best_trial([found, dose]) == dose, "what was measured at the end is no rival"


@pytest.mark.parametrize(
    ("halves", "measure"),
    [((0.0, 0.1), LEARNED_HALF), ((0.0, 0.0999), "reliability"), ((0.0, None), "reliability")],
)
def test_where_no_candidate_has_learned_a_tenth_at_half_all_are_scored_by_the_end(halves, measure):
    found = trials_of([[dosed(1000, half), dosed(1001, half)] for half in halves])
    assert {trial.measure for trial in found if trial.score is not None} == {measure}
    if measure == "reliability":
        answered = [dosed(seed, 0.0).metrics.reliability for seed in (1000, 1001)]
        assert [trial.score for trial in found] == [pytest.approx(sum(answered) / 2)] * 2


def test_a_failed_candidate_is_no_floor():
    failed = dosed(1000, 0.9).model_copy(update={"status": Status.DIVERGED})
    assert trials_of([[dosed(1000, 0.3)], [failed]])[0].measure == LEARNED_HALF
    assert trials_of([[dosed(1000, 0.05)], [failed]])[0].measure == "reliability"
    assert [t.score for t in trials_of([[failed]])] == [None]
    assert trials_of([]) == []


def test_a_summary_gives_the_same_trial_as_its_record(tmp_path):
    record = dosed(1000, 0.6, 0.3, 0.1)
    store = ResultsStore(tmp_path)
    store.write(record, make_rows(20))
    summary = store.summary(record.cell_id)
    assert trial_of([summary]) == trial_of([store.read(record.cell_id)])


def test_tuning_seeds_report_nothing_and_do_not_depend_on_the_reporting_ones():
    def seeds(**given):
        return tuning_seeds_of(build_options({"methods": "lora", "lr": "1e-4,1e-3", **given}))

    assert seeds() == seeds(seeds="0-9") == (1000, 1001)
    assert seeds(tune_seeds=3) == (1000, 1001, 1002)
    assert seeds(lr="1e-4", seeds="1000") == (), "without tuning every seed reports"
    with pytest.raises(UsageError) as told:
        seeds(seeds="0,1001")
    assert "--seeds 1001" in str(told.value)
    assert seeds(seeds="1001", tune_seeds=1) == (1000,)


def test_the_edge_of_the_values_is_told(snapshot):
    rates = [trial(1e-4, 0.2), trial(1e-3, 0.3), trial(1e-2, 0.4)]
    [largest], [smallest] = edges(rates, rates[2]), edges(rates, rates[0])
    assert "0.01" in largest
    assert "0.0001" in smallest
    snapshot("tuning", "the edge of what was tried", f"{largest}\n{smallest}")
    assert edges(rates, rates[1]) == []
    both = [trial(recipe=f"lora[r={r}]", over=("lr", "r")) for r in (8, 16)]
    assert ["16" in told for told in edges(both, both[1])] == [True]
    words = [trial(recipe=f"corda[mode={m},r=8]", over=("mode",)) for m in ("kpm", "ipm")]
    assert edges(words, words[0]) == [], "words have no edge"
    told = shown(both[1].spec, ("lr", "batch_size", "r"))
    assert all(value in told for value in ("0.001", "8", "16"))
    snapshot("tuning", "values of three parameters", told)


IDS = {1e-3: "84fe1d456d9a3893", 1e-5: "6cce578421e213c7", 0.1: "51c66f215b53bdb3"}
"""Computed with records of schema version 3."""


def test_ids_of_cells_that_are_not_tuned_stay():
    assert {rate: cell_id(make_spec(learning_rate=rate)) for rate in IDS} == IDS
    assert "tuned" not in make_spec().model_dump_json()
    packed = (ROOT / "results" / "example").glob("**/cells.parquet")
    committed = [r for path in packed for r in ResultsStore(path.parent).records().records]
    assert len(committed) > 20
    assert all(cell_id(record.spec) == record.cell_id for record in committed)


@given(st.permutations(["lr", "r", "epochs"]).map(tuple))
def test_an_id_holds_the_set_and_the_method_but_not_what_else_is_tuned(over):
    base = trial().spec
    others = base.tuned.model_copy(update={"over": over})
    assert cell_id(base.model_copy(update={"tuned": others})) == cell_id(base)
    for change in ({"fact_set": "reporting"}, {"method": "x"}, {"other_digest": "x"}):
        tuned = Tuned.model_validate({**base.tuned.model_dump(), **change})
        assert cell_id(base.model_copy(update={"tuned": tuned})) != cell_id(base)
    assert cell_id(base.model_copy(update={"tuned": None})) != cell_id(base)
    assert CellSpec.model_validate_json(base.model_dump_json()) == base
