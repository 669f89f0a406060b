"""Frames say what the committed tables and the stored records say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import Results, UsageError, load_results
from bench.report.leaderboard.equal_learning import learned_curve, learning_path
from bench.report.leaderboard.load import load_leaderboard
from bench.report.leaderboard.standings import measured
from bench.report.plots import draw_plots
from bench.report.plots._style import image, settings
from bench.report.statistics.comparison import compare_all
from bench.store.store import ResultsStore

EXAMPLE = Path(__file__).parents[3] / "results" / "example"
SEEDS = EXAMPLE / "corda_table1"
FOLDERS = [EXAMPLE, SEEDS, EXAMPLE / "starts", EXAMPLE / "semantics"]
CELL = ["cell", "model", "task", "method", "seed"]
GUIDE = (Path(__file__).parents[3] / "docs/guide/library.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results():
    return load_results(SEEDS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_leaderboard_is_the_committed_table(folder):
    frame = load_results(folder).leaderboard
    written = frame.to_csv(index=False, na_rep="", lineterminator="\n")
    assert written == (folder / "leaderboard.csv").read_text()


def test_there_is_a_row_for_each_cell_and_means_over_seeds_are_those_of_the_table(results):
    records = ResultsStore(SEEDS).records().records
    assert set(results.cells["cell"]) == {record.cell_id for record in records}
    means = results.cells.groupby("method")[["reliability", "drift", "forgetting.elements"]].mean()
    table = results.leaderboard.set_index("method")
    for metric in means.columns:
        pd.testing.assert_series_equal(means[metric], table[metric].sort_index(), check_names=False)
    costs = results.cells.groupby("method")["seconds.train"].mean()
    pd.testing.assert_series_equal(costs, table["seconds.train"].sort_index(), check_names=False)


def test_fact_rows_average_to_the_metrics_of_their_cells(results):
    facts, cells = results.facts, results.cells.set_index("cell")
    assert list(facts.columns[:5]) == CELL
    assert facts.groupby("cell").size().to_dict() == cells["facts"].to_dict()
    right = facts.groupby("cell")["correct_after"].mean()
    pd.testing.assert_series_equal(
        right.sort_index(), cells["reliability"].sort_index(), check_names=False
    )


def test_paths_are_those_of_the_plot(results):
    section = load_leaderboard(SEEDS).sections[0]
    for row in section.rows:
        path = learning_path(row, "drift").from_start
        own = results.paths[results.paths["method"] == row.spec.asked]
        for column, expected in (("learned", learned_curve(path)), ("drift", path.costs)):
            found = own.pivot(index="seed", columns="epoch", values=column)
            np.testing.assert_allclose(found.to_numpy(), expected)
            assert list(found.columns) == path.checkpoints.tolist()


def test_curves_have_the_epochs_of_each_cell(results):
    last = results.curves.groupby("cell")["epoch"].max()
    assert last.to_dict() == results.cells.set_index("cell")["epochs"].to_dict()
    assert results.curves["token_accuracy"].between(0, 1).all()


def test_comparisons_are_those_of_the_table(results):
    table = results.leaderboard.set_index("method")
    for method in ("corda", "full", "pissa"):
        found = results.compare(method, "lora")
        assert len(found) > 5
        for line in found.itertuples():
            name = f"{line.metric}_{line.kind}"
            for column, value in (
                (name, line.estimate),
                (f"{name}_low", line.low),
                (f"{name}_high", line.high),
                (f"{line.metric}_p", line.p),
                (f"{line.metric}_p_holm", line.p_holm),
            ):
                np.testing.assert_allclose(value, table.loc[method, column])


def test_a_comparison_with_another_reference_is_paired_by_seed_and_item(results):
    """The difference of one with another, worked out plainly from the fact rows."""
    [line] = results.compare("corda", "pissa", "reliability").itertuples()
    facts = results.facts.pivot(index="fact_id", columns=["method", "seed"], values="correct_after")
    differences = facts["corda"].astype(float) - facts["pissa"].astype(float)
    np.testing.assert_allclose(line.estimate, differences.to_numpy().mean())
    rows = {row.spec.asked: row for row in load_leaderboard(SEEDS).rows}
    [own] = compare_all([tuple(measured(rows[name], "reliability") for name in ("corda", "pissa"))])
    assert (line.low, line.high) == (own.difference.interval.low, own.difference.interval.high)
    [back] = results.compare("pissa", "corda", "reliability").itertuples()
    assert (back.low, back.high) == pytest.approx((-line.high, -line.low))


def test_numbers_of_a_comparison_are_numbers_even_where_nothing_is_tested():
    one_seed = load_results(EXAMPLE).compare("corda", "lora")
    numbers = one_seed[["estimate", "low", "high", "p", "p_holm"]]
    assert set(map(str, numbers.dtypes)) == {"float64"}
    assert numbers["p"].isna().all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("cordaa", "lora"), "did you mean corda"),
        (("corda", "lorra"), "did you mean lora"),
        (("corda", "lora", "drif"), "did you mean drift"),
        (("lora", "lora"), "nothing|the same"),
    ],
)
def test_wrong_names_in_a_comparison_are_errors_with_the_right_ones(results, given, said):
    with pytest.raises(UsageError, match=said):
        results.compare(*given)


def test_a_pair_of_model_and_task_that_is_not_there_is_an_error(results):
    with pytest.raises(UsageError, match="smollm2-135m on arithmetic"):
        results.compare("corda", "lora", task="arithmetics")


@pytest.mark.parametrize("kind", ["paths", "pareto"])
def test_figures_are_those_of_the_report(results, kind):
    pictures = results.plot(kind)
    drawn = [p for p in draw_plots(load_leaderboard(SEEDS), "all") if p.kind.name == kind]
    assert list(pictures.titles) == [plot.title for plot in drawn]
    with settings():
        assert [image(figure, "png") for figure in pictures] == [plot.png for plot in drawn]
    assert pictures._repr_html_().count("<img ") == len(pictures) == 1


def test_a_plot_that_does_not_exist_or_has_nothing_to_show_is_an_error(results):
    with pytest.raises(UsageError, match="did you mean paths"):
        results.plot("path")
    with pytest.raises(UsageError, match="no cell here"):
        results.plot("why")
    with pytest.raises(UsageError, match="countries"):
        results.plot("paths", "countries")


def test_a_notebook_shows_the_methods_and_no_text_as_markup(results):
    shown = results._repr_html_()
    assert shown.count("<table>") == 1
    assert all(method in shown for method in results.leaderboard["method"])
    assert repr(results).endswith("15 cells, 5 methods)")


def test_the_report_is_written_where_the_results_are(tmp_path):
    for name in ("cells.parquet", "facts.parquet"):
        shutil.copy(SEEDS / name, tmp_path)
    page = load_results(tmp_path).report(plots="none")
    assert page == tmp_path / "leaderboard.html"
    assert (tmp_path / "leaderboard.csv").read_text() == (SEEDS / "leaderboard.csv").read_text()


def test_a_folder_without_cells_and_an_unknown_reference_are_errors(tmp_path):
    with pytest.raises(UsageError, match="no cells"):
        load_results(tmp_path)
    with pytest.raises(UsageError, match="did you mean"):
        load_results(SEEDS, reference="cordaa")
    assert load_results(str(SEEDS), "corda").leaderboard["reference"].unique() == ["corda"]


def test_damaged_fact_rows_are_named_and_left_out(tmp_path):
    for name in ("cells.parquet", "facts.parquet"):
        shutil.copy(EXAMPLE / name, tmp_path)
    kept = load_results(tmp_path).cells["cell"][0]
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"{kept}.json").write_text("{")
    results = load_results(tmp_path)
    assert [kept in line for line in results.problems] == [True]
    assert kept not in set(results.cells["cell"]) | set(results.facts["cell"])


@pytest.mark.parametrize("frame", ["cells", "facts", "paths", "curves"])
def test_the_guide_explains_every_column_that_has_a_fixed_name(results, frame):
    metrics = set(results.leaderboard.columns)
    columns = [c for c in getattr(results, frame).columns if "." not in c and c not in metrics]
    if frame == "facts":  # those of a fact are in the reference
        columns = CELL
    assert [column for column in columns if f"`{column}`" not in GUIDE] == []


def test_results_are_of_the_class_that_is_public(results):
    assert isinstance(results, Results)
