"""The placement and calibration studies, whole, on the two-layer model."""

from __future__ import annotations

import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.cell import running
from bench.config.options import validated
from bench.progress.base import Silent
from bench.report.leaderboard.build import build_leaderboard
from bench.studies.calibration.figure import draw_calibration
from bench.studies.calibration.rows import calibrated_rows
from bench.studies.calibration.run import planned_recipes as calibration_recipes
from bench.studies.calibration.run import run_calibration
from bench.studies.calibration.study import CalibrationOptions
from bench.studies.grid_study import LEARNED_HALF
from bench.studies.placement.figure import draw_placement
from bench.studies.placement.rows import Kind, placed_rows
from bench.studies.placement.run import default_cuts, planned_recipes, run_placement, windows
from bench.studies.placement.study import PlacementOptions
from bench.studies.study_report import shown_lines, write_study
from bench.studies.terminal import study_text
from methods.parts import PLACEMENTS
from methods.recipe import parse_recipe
from tasks.errors import UsageError
from tests.bench.report_cells import as_read, make_cell, make_drift, make_forgetting

SMALL = {"epochs": 2, "forgetting_limit": 4, "device": "cpu"}


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    """Make the options of a study of a kind, small."""

    def make(kind, **changes):
        where = {"model": str(tiny_folder), "task": str(facts_file), "out": tmp_path}
        return validated(kind, {**SMALL, **where, **changes})

    return make


class Interrupting(Silent):
    """Presses Ctrl-C when cell `at` starts."""

    def __init__(self, at):
        self.at = at

    def cell(self, index, total, label, together=1):
        if index == self.at:
            raise KeyboardInterrupt


class Counting(Silent):
    """Remembers how many cells were to run."""

    def grid(self, total, reused):
        self.total, self.reused = total, reused


def test_the_default_sweep_covers_the_depth():
    assert default_cuts(30) == (0, 5, 10, 15, 20, 25, 28)
    assert default_cuts(2) == (0, 1)
    assert windows(30) == [(1, 10), (6, 15), (11, 20), (16, 25), (21, 30)]
    assert windows(2) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("layers", range(2, 100))
def test_every_cut_leaves_layers_and_windows_have_one_depth(layers):
    cuts, found = default_cuts(layers), windows(layers)
    assert cuts[0] == 0
    assert cuts[-1] < layers
    assert (found[0][0], found[-1][1]) == (1, layers)
    assert len({last - first for first, last in found}) == 1


def test_the_recipes_of_a_sweep(options):
    recipes = planned_recipes(options(PlacementOptions, method="dora+filter"), 30)
    assert recipes[:2] == ["dora+filter", "dora+filter+last[n=25]"]
    assert "dora+filter+window[first=16,last=25]" in recipes
    assert "dora+filter+window[first=21,last=30]" not in recipes, "the cut at 20 trains the same"
    assert recipes[-4:] == [
        "dora+filter+freeze[gain=drop]",
        "dora+filter+freeze[gain=ratio]",
        "dora+filter+freeze[gain=power]",
        "dora+filter+random_cut",
    ]
    assert len(recipes) == 7 + 4 + 3 + 1


def test_with_equal_parameters_every_placement_is_swept_at_a_rank_of_its_own(options):
    chosen = options(PlacementOptions, method="lora[r=2]+filter", equal="parameters")
    recipes = planned_recipes(chosen, 30)
    assert recipes[:2] == ["lora[r=2]+filter", "lora[r=2,spread=true]+filter+last[n=25]"]
    swept = {type(recipe.placement) for recipe in map(parse_recipe, recipes)}
    every = {PLACEMENTS[name] for name in PLACEMENTS.names()}
    assert swept == {type(None), *every} - {PLACEMENTS["first"]}, "windows hold the first layers"
    assert recipes[-4:] == [
        f"lora[modules={kind},r=2,spread=true]+filter" for kind in ("attn", "mlp", "up", "down")
    ]


def test_equal_parameters_need_a_rank(options):
    with pytest.raises(UsageError, match="full has no rank"):
        options(PlacementOptions, method="full", equal="parameters").named()


@pytest.mark.slow
def test_a_sweep_at_equal_parameters_trains_as_many(options):
    chosen = options(PlacementOptions, method="lora[r=6]", equal="parameters", epochs=1)
    table = run_placement(chosen, Silent()).table.set_index("method")
    found = table["parameters"]
    assert found.between(0.95 * found["lora[r=6]"], 1.05 * found["lora[r=6]"]).all()
    kinds = [*table["kind"]]
    assert {kinds.count(kind) for kind in ("occlusion", "depth")} == {1}
    assert kinds.count("modules") == 4
    assert table.loc["lora[r=6,spread=true]+occlusion", ["layers", "trained"]].notna().all()


def test_layers_that_are_no_neighbours_are_told_one_by_one():
    chosen = {"layers": [0, 4, 5, 9], "layer_count": 10}
    [placed] = placed_rows(made_section([("lora+occlusion", 0, chosen)]))
    assert (placed.kind, placed.layers, placed.trained) == (Kind.OCCLUSION, "1, 5-6, 10", 4)
    assert placed.cut is None


def test_a_cut_above_the_layers_is_one_line(options):
    with pytest.raises(UsageError, match="has 2 layers, so the highest cut is 1"):
        run_placement(options(PlacementOptions, cuts="0,2"), Silent())


@pytest.fixture(scope="module")
def placement(tiny_folder, facts_file, tmp_path_factory):
    """A placement study: interrupted, finished, and called again with nothing to do."""
    out = tmp_path_factory.mktemp("results")
    where = {"model": str(tiny_folder), "task": str(facts_file), "out": out}
    chosen = validated(PlacementOptions, {**SMALL, **where})
    with pytest.raises(KeyboardInterrupt) as stop:
        run_placement(chosen, Interrupting(2))
    kept = len(list((out / "studies" / "placement").glob("cells/*.json")))
    second, third = Counting(), Counting()
    report, again = run_placement(chosen, second), run_placement(chosen, third)
    counts = [kept, (second.total, second.reused), (third.total, third.reused)]
    return SimpleNamespace(stop=str(stop.value), counts=counts, report=report, again=again)


def test_a_study_goes_on_after_an_interruption_and_then_has_nothing_to_do(placement, tmp_path):
    assert placement.stop == "1 finished cell (1 in this run)"
    assert placement.counts == [1, (6, 1), (0, 7)]
    pd.testing.assert_frame_equal(placement.report.table, placement.again.table)
    first = write_study(tmp_path, placement.report)
    repeated = write_study(tmp_path / "b", placement.again)
    for name in ("csv", "markdown", "png", "svg"):
        assert getattr(first, name).read_bytes() == getattr(repeated, name).read_bytes()


def test_the_placement_table_says_which_layers_were_trained(placement):
    report = placement.report
    table = report.table.set_index("method")
    assert not report.failures
    assert list(table.index) == [
        "lora",
        "lora+last[n=1]",
        "lora+window[first=1,last=1]",
        "lora+freeze",
        "lora+freeze[gain=power]",
        "lora+freeze[gain=ratio]",
        "lora+random_cut",
    ]
    assert table.loc["lora", ["kind", "layers", "trained", "cut"]].tolist() == ["cut", "1-2", 2, 0]
    assert table.loc["lora+last[n=1]", ["layers", "cut"]].tolist() == ["2-2", 1]
    window = table.loc["lora+window[first=1,last=1]"]
    assert (window["kind"], window["layers"]) == ("window", "1-1")
    assert pd.isna(window["cut"])
    freeze = table[table["kind"] == "freeze"]
    assert list(freeze["cut"]) == [1, 1, 1], "two layers have one cut"
    assert list(freeze["cut_stability"]) == [1, 1, 1]
    assert table["flops"]["lora"] > table["flops"]["lora+last[n=1]"] > 0
    assert table["drift"].notna().all()
    assert table["reliability_low"].le(table["reliability_high"]).all()


def test_what_tells_placements_apart_is_shown_beside_what_all_of_them_learn(placement):
    shown = {column.name: column for column in placement.report.columns}
    table = placement.report.table
    for name in ("reliability", "epochs_to_learn_unknown", LEARNED_HALF, "robustness.few_shot"):
        assert table[name].notna().all(), name
        assert table[f"{name}_low"].le(table[name]).all(), name
        assert table[f"{name}_high"].ge(table[name]).all(), name
        assert shown[name].items == f"{name}_items"
    assert "drift" in shown
    assert table["epochs_to_learn_unknown"].between(0, SMALL["epochs"] + 1).all()
    assert (table["reliability_items"] == 8).all()


def test_a_mean_over_fewer_than_five_facts_is_not_shown(placement):
    table, place = placement.report.table, 3
    assert placement.report.columns[place].name == "reliability"
    for count, shown in ((4, "-"), (5, None)):
        few = replace(placement.report, table=table.assign(reliability_items=count))
        texts = {line[place] for line in shown_lines(few)}
        assert (texts == {"-"}) is (shown == "-")


def test_the_picture_shows_every_placement_and_every_outcome(placement):
    table, figure = placement.report.table, placement.report.figure
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == [
        "epochs to learn, unknown facts",
        "learned and carried over",
        "drift from the base",
        "training compute",
    ]
    assert titles[4:] == [*titles[:3], "training time"]
    cuts = table[table["kind"] == "cut"]
    for axes, name, scale in (
        (figure.axes[0], "epochs_to_learn_unknown", 1),
        (figure.axes[1], LEARNED_HALF, 100),
        (figure.axes[2], "drift", 1),
    ):
        line = axes.get_lines()[0]
        drawn = np.asarray(line.get_ydata(), dtype=float)
        np.testing.assert_allclose(drawn, scale * cuts[name].astype(float))
    assert sum(line.get_marker() == "x" for line in figure.axes[1].get_lines()) == 3
    assert "window" in set(table["kind"])
    assert len(figure.axes[4].get_lines()) > 0


def test_a_study_says_how_to_read_it(placement):
    about = " ".join(placement.report.about)
    assert "n = 8 facts, seed 0" in about
    assert "one seed: over facts only" in about
    assert "freeze cuts at layer (by gain): drop 1" in about


def test_the_terminal_breaks_no_value_and_stacks_what_has_no_room(placement):
    lines = study_text(placement.report, width=100).splitlines()
    assert max(map(len, lines)) <= 100
    found = [line for line in lines if line.startswith("lora+last[n=1] ")]
    assert len(found) > 1, "the method is repeated in front of what had no room"
    shown = shown_lines(placement.report)[1]
    assert shown[0] == "lora+last[n=1]"
    assert all(any(text in line for line in found) for text in shown)


def made_section(made, **changes):
    """Return a section of cells made up from methods and their notes."""
    cells = []
    for method, seed, notes in made:
        record, rows = make_cell(spec={"method": method, "seed": seed}, notes=notes, **changes)
        cells.append(as_read(record, rows))
    [section] = build_leaderboard(cells).sections
    return section


def test_a_task_at_floor_has_no_panel():
    tokens = {"calibration_tokens": 9}
    balance = {"balance_median": 6.5, "balance_extreme": 20.0}
    for at_floor, notes, panels in (
        (True, tokens, 2),
        (False, tokens, 3),
        (False, tokens | balance, 4),
    ):
        lost = [make_forgetting(at_floor=at_floor), make_drift()]
        section = made_section([("lora", 0, {}), ("corda", 0, notes)], forgetting=lost)
        rows = calibrated_rows(CalibrationOptions(sources="auto"), section)
        assert [row.pack for row in rows] == [None, 2048]
        assert len(draw_calibration(section, rows).axes) == panels


def test_cells_of_one_row_may_be_placed_differently():
    def drawn(first):
        return {"layers": list(range(first - 1, 30)), "layer_count": 30}

    section = made_section(
        [("lora+random_cut", 0, drawn(6)), ("lora+random_cut", 1, drawn(17)), ("lora", 0, drawn(1))]
    )
    plain, random = placed_rows(section)
    assert (plain.ranges, plain.trained, plain.cut) == (((1, 30),), 30, 0)
    assert random.ranges == ((6, 30), (17, 30))
    assert (random.trained, random.cut) == (None, None)
    figure = draw_placement(section, [plain, random], 30, "lora")
    dose = figure.axes[0]
    crosses = [line for line in dose.get_lines() if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[5, 16]], "each seed at its own cut"
    expected = [cell.record.metrics.epochs_to_learn_unknown for cell in random.row.cells]
    assert list(crosses[0].get_ydata()) == expected


def test_the_command_repeats_the_study_without_paths_outside(options, tmp_path):
    chosen = options(PlacementOptions, cuts="0,1", data_dir=tmp_path, model="smollm2-135m")
    words = shlex.split(chosen.command)
    assert words[:5] == ["python", "-m", "bench", "study", "placement"]
    assert words[words.index("--cuts") + 1] == "0,1"
    assert words[words.index("--data-dir") + 1] == tmp_path.name
    assert "--out" not in words
    assert "--model" not in words, "the default is not repeated"


def test_a_failed_cell_is_listed_and_runs_again_with_the_next_call(options, monkeypatch):
    small = {"sources": "train", "samples": "2", "modes": "ipm", "packs": "0"}
    small |= {"forgetting": "none"}
    chosen = options(CalibrationOptions, **small)
    train, calls = running.train, []

    def fail_once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no luck")
        return train(*arguments)

    monkeypatch.setattr(running, "train", fail_once)
    report = run_calibration(chosen, Silent())
    assert ["lora" in line and "no luck" in line for line in report.failures] == [True]
    assert report.table["reliability"].isna().tolist() == [True, False]
    progress = Counting()
    assert not run_calibration(chosen, progress).failures
    assert (progress.total, progress.reused) == (1, 1)


def test_calibration_sizes_are_at_most_what_a_source_holds(options):
    chosen = options(CalibrationOptions, samples="4,1000", sources="train,elements")
    assert calibration_recipes(chosen) == [
        "lora",
        *(
            f"corda[mode={mode},calibration={source},samples={samples},pack={pack}]"
            for mode in ("kpm", "ipm")
            for source, samples in (("train", 4), ("train", 8), ("elements", 4), ("elements", 132))
            for pack in (2048, 0)
        ),
    ]


def test_calibration_compares_windows_with_single_texts(options, tmp_path):
    lost = "fictional[n=40,seed=1]"
    report = run_calibration(
        options(
            CalibrationOptions, sources="train,countries", samples="6", forgetting=f"{lost},drift"
        ),
        Silent(),
    )
    table = report.table
    assert not report.failures
    assert table["mode"].tolist() == ["lora", *["kpm"] * 4, *["ipm"] * 4]
    assert table["source"].tolist()[1:] == ["train", "train", "countries", "countries"] * 2
    assert table["samples"].iloc[1:].tolist() == [6] * 8
    assert table["pack"].iloc[1:].tolist() == [2048, 0] * 4
    assert table["windows"].iloc[1:].tolist() == [1, 6] * 4, "six facts are one window"
    tokens = table["tokens"].iloc[1:].to_numpy(int).reshape(4, 2)
    assert (tokens[:, 1] > 0).all()
    assert (abs(tokens[:, 0] - tokens[:, 1]) <= 5).all(), "the same facts, joined by newlines"
    balance = table["balance"].iloc[1:].to_numpy(float).reshape(4, 2)
    assert (3 * balance[:, 0] < balance[:, 1]).all(), "one window's C is that of six texts"
    assert table["low_rank"].iloc[1:].le(table["inputs"].iloc[1:]).all()
    assert table.loc[0, ["source", "tokens", "low_rank", "balance"]].isna().all()
    assert f"forgetting.{lost}" in table
    text = write_study(tmp_path, report).markdown.read_text()
    assert "| kpm" in text
    assert "n = 8 facts" in text
