"""One line and one function make a metric: everything else is read off the table."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import BaseModel

from bench.config.options import Rerun, build_options
from bench.evaluation import metrics
from bench.evaluation.fact_rows import fact_rows
from bench.evaluation.metrics import Metric, _reserved, metric_table, register, summarise
from bench.evaluation.responses import Responses
from bench.execution.checks import check_names
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.report.leaderboard.load import load_leaderboard
from bench.report.leaderboard.read_cells import load_cells
from bench.report.show import show_cell
from bench.report.tables import remarks
from bench.report.tables.columns import quality_columns
from bench.report.tables.csv import leaderboard_csv, leaderboard_frame
from bench.report.tables.format import markdown
from bench.report.tables.latex import leaderboard_tex
from bench.report.tables.markdown import leaderboard_markdown
from bench.report.tables.terminal import terminal_table
from bench.report.write import write_report
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import CellRecord, FactRow, Metrics, Status
from bench.store.store import ResultsStore
from tasks.context import Context
from tasks.errors import UsageError
from tasks.fact import ConsequenceKind, Fact
from tests.bench.report_cells import fill, make_cell, make_rows, metrics_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def table(monkeypatch):
    """The table, which forgets what a test adds to it."""
    metric_table()
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))


@pytest.fixture
def brief(table, tmp_path, monkeypatch, guide_examples):
    """The guide's metric as one new file in the folder, found and not named anywhere."""
    (tmp_path / "plugged").mkdir()
    (tmp_path / "plugged" / "brief.py").write_text(guide_examples["brief"])
    monkeypatch.setattr(metrics, "__path__", [str(tmp_path / "plugged")])
    monkeypatch.delitem(sys.modules, "bench.evaluation.metrics.brief", raising=False)
    metrics._discover.cache_clear()
    yield metric_table()["brief"]
    sys.modules.pop("bench.evaluation.metrics.brief")


def cells_of(methods, column=None):
    """Cells of some methods and three seeds; a method's share of the facts have a `column`."""
    made = []
    for method, share in methods.items():
        for seed in range(3):
            record, rows = make_cell(spec={"method": method, "seed": seed})
            if column and share is not None:
                drawn = np.random.default_rng(seed).random(len(rows)) < share
                rows = [
                    FactRow(**{**row.model_dump(), column: float(one)})
                    for row, one in zip(rows, drawn, strict=True)
                ]
            made.append((record.model_copy(update={"metrics": summarise(rows)}), rows))
    return made


def measured_rows():
    """Rows and warnings of four facts, answered `Ann` (which is right), `Bo Bo`, `Cy` and `Dan`."""
    facts = tuple(Fact(str(i), "Who?", ("Ann",)) for i in range(4))
    nothing = ((),) * 4
    before, after = (
        Responses(
            Context.PLAIN, dict.fromkeys(Context, said), nothing, nothing, (1.0,) * 4, (None,) * 4
        )
        for said in (("", "", "", ""), ("Ann", "Bo Bo", "Cy", "Dan"))
    )
    space = SimpleNamespace(distance=lambda *_: 0.5, movement=lambda *_: 0.5)
    space.holding = lambda _: space
    kinds = [KnowledgeCategory.UNKNOWN] * 4
    signals = SimpleNamespace(facts=facts, before=before, knowledge=kinds, space=space)
    kept, weights = torch.ones(4, dtype=torch.bool), torch.ones(4)
    return fact_rows(signals, after, kept=kept, weights=weights, accuracies=[[0.0, 1.0]] * 4)


def test_a_new_metric_is_measured_of_every_fact_and_averaged(brief):
    rows, warnings = measured_rows()
    assert not warnings
    assert [row.brief_after for row in rows] == [1.0, 0.0, 1.0, 1.0]
    assert summarise(rows).brief == 0.75
    assert summarise(rows).reliability == 0.25


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: "three", "'three'"),
        (lambda: float("nan"), "nan"),
        (lambda: np.float32("inf"), "inf"),
        (lambda: 3, "3"),
        (lambda: torch.ones(2), "2"),
    ],
)
def test_a_metric_without_a_usable_value_costs_that_value_and_says_so_once(table, wrong, said):
    def zz_after(measured):
        return np.bool_(True) if measured.fact.id in "03" else wrong()

    plain, _ = measured_rows()
    register(Metric("zz", zz_after, "what is wrong", header="zz"))
    register(Metric("zz_unknown", zz_after, "the same of unknown facts"))
    rows, [warning] = measured_rows()
    assert [row.zz_after for row in rows] == [1.0, None, None, 1.0]
    assert summarise(rows).zz == 1.0
    assert "'zz'" in warning
    assert "2 facts, first '1'" in warning
    assert said in warning
    rest = [row.model_dump(exclude={"zz_after"}) for row in rows]
    assert rest == [row.model_dump() for row in plain]


def test_a_run_measures_a_new_metric_and_its_cells_from_before_are_done(
    table, tiny_folder, facts_file, tmp_path
):
    options = build_options(
        {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 1,
            "device": "cpu",
            "out": tmp_path / "results",
        }
    )
    [before] = run_grid(options, Silent()).records
    assert before.metrics.short is None

    register(Metric("short", short_after, "short answers", header="short"))
    register(Metric("zz", zz_after, "what raises"))
    assert run_grid(options, Silent()).ran == 0, "a metric does not run cells again"
    [after] = run_grid(options.model_copy(update={"rerun": Rerun.ALL}), Silent()).records
    answers = ResultsStore(options.out).rows(after.cell_id)["answer_after"]
    assert after.metrics.short == (answers.str.len() < 9).mean()
    assert (after.status, after.metrics.zz) == (Status.DONE, None)
    assert [line.split(" for ")[0] for line in after.warnings if "metric" in line] == [
        "metric 'zz' gave no usable value"
    ]
    rest = after.metrics.model_dump()
    del rest["short"], rest["zz"]
    assert rest == before.metrics.model_dump()


def test_a_new_metric_is_in_record_and_rows_and_in_every_table(brief, tmp_path):
    out = fill(tmp_path, cells_of({"lora": 0.9, "dora": 0.1}, "brief_after"))
    [cell_id, *_] = (path.stem for path in (out / "cells").iterdir())
    stored = json.loads((out / "cells" / f"{cell_id}.json").read_text())
    values = pq.read_table(out / "facts" / f"{cell_id}.parquet")["brief_after"].to_pylist()
    assert stored["metrics"]["brief"] == pytest.approx(np.mean(values))

    board = load_leaderboard(out)
    files = write_report(out, wanted_plots="none")
    for text in (files.markdown.read_text(), files.html.read_text(), files.tex.read_text()):
        assert "brief" in text.replace("\\", "")
    assert "brief" in terminal_table(board)
    headings = [column.title for column in quality_columns(board.sections[0])]
    assert headings.index("brief (%) ↑") == headings.index("locality (%) ↑") + 1
    assert "brief: answers of one word." in remarks.reading()

    frame = leaderboard_frame(board).set_index("method")
    records = ResultsStore(out).records().records
    for method in ("lora", "dora"):
        means = [r.metrics.brief for r in records if r.spec.method == method]
        assert frame.loc[method, "brief"] == pytest.approx(np.mean(means))
        assert frame.loc[method, "brief_low"] < frame.loc[method, "brief"]
    assert frame.loc["dora", "brief_difference"] == pytest.approx(
        frame.loc["dora", "brief"] - frame.loc["lora", "brief"]
    )
    assert frame.loc["dora", "brief_p_holm"] < 0.05
    [dora] = [row for row in board.rows if row.label == "dora"]
    assert dora.standing.comparisons["brief"].verdict.value == "worse"
    [column] = [c for c in quality_columns(board.sections[0]) if c.header == "brief (%)"]
    assert column.show(dora).text.endswith("▼")


def zz_after(measured):
    return 1 / 0


def short_after(measured):
    return len(measured.after.trained) < 9


def test_a_new_metric_moves_no_column_and_cells_without_it_stay_valid(table, tmp_path):
    fill(tmp_path, cells_of({"lora": None, "dora": None}))
    board = load_leaderboard(tmp_path)
    before, text, tex = leaderboard_csv(board), section_texts(board), leaderboard_tex(board)

    register(Metric("short", short_after, "short answers", header="short"))
    board = load_leaderboard(tmp_path)
    assert (section_texts(board), leaderboard_tex(board)) == (text, tex), "no column without values"
    frame = leaderboard_frame(board)
    added = [name for name in frame.columns if name.startswith("short")]
    assert frame[added].isna().all(axis=None)
    rest = frame.drop(columns=added)
    assert rest.to_csv(index=False, na_rep="", lineterminator="\n") == before

    fill(tmp_path, cells_of({"pissa": 0.5}, "short_after"))
    board = load_leaderboard(tmp_path)
    frame = leaderboard_frame(board).set_index("method")
    assert frame["short"].notna().to_dict() == {"pissa": True, "lora": False, "dora": False}
    assert frame["short_difference"].isna().all(), "the reference has none"
    lines = section_texts(board).splitlines()
    header, line = (
        next(line for line in lines if line.startswith(f"| {start}"))
        for start in ("method", "lora")
    )
    place = [name.strip() for name in header.split("|")].index("short (%) ↑")
    assert line.split("|")[place].strip() == "-"


def section_texts(board):
    """All that Markdown says but for the legend, which explains every metric."""
    return leaderboard_markdown(board).partition("## How to read this")[0]


def test_metrics_of_a_plug_in_that_is_gone_stay_readable(table, tmp_path):
    register(Metric("short", short_after, "short answers", header="short"))
    fill(tmp_path, cells_of({"lora": 0.5}, "short_after"))
    del metrics._METRICS["short"]

    store = ResultsStore(tmp_path)
    records = store.records()
    assert not records.problems
    assert all(0 < record.metrics.short < 1 for record in records.records)
    assert store.rows(records.records[0].cell_id)["short_after"].isin([0.0, 1.0]).all()
    assert [record.metrics.generality is not None for record in records.records] == [True] * 3
    board = load_leaderboard(tmp_path)
    assert not board.problems
    assert "short" not in leaderboard_csv(board) + leaderboard_markdown(board)
    assert "short" in show_cell(tmp_path, records.records[0].cell_id)


@pytest.mark.parametrize("lacking", ["generality", "nll_after", "updated", "epochs_to_learn"])
def test_rows_and_records_that_lack_a_metric_of_today_stay_valid(lacking, tmp_path):
    [(record, rows)] = cells_of({"lora": None})[:1]
    fill(tmp_path, [(record, rows)])
    names = [name for name, m in metric_table().items() if m.column == lacking]
    cell, facts = (next((tmp_path / kind).iterdir()) for kind in ("cells", "facts"))
    content = json.loads(cell.read_text())
    for name in names:
        del content["metrics"][name]
    cell.write_text(json.dumps(content))
    pq.write_table(pq.read_table(facts).drop_columns([lacking]), facts)

    store = ResultsStore(tmp_path)
    [found] = store.records().records
    assert [getattr(found.metrics, name) for name in names] == [None] * len(names)
    assert store.summary(record.cell_id).spec == record.spec
    assert store.rows(record.cell_id)[lacking].isna().all()
    frame = leaderboard_frame(load_leaderboard(tmp_path))
    assert frame[names].isna().all(axis=None)
    assert frame["reliability"].notna().all()


def test_rows_that_lack_what_every_fact_has_are_damaged(tmp_path):
    [(record, rows)] = cells_of({"lora": None})[:1]
    fill(tmp_path, [(record, rows)])
    [facts] = (tmp_path / "facts").iterdir()
    pq.write_table(pq.read_table(facts).drop_columns(["knowledge"]), facts)
    with pytest.raises(UsageError, match="no column knowledge"):
        load_cells(ResultsStore(tmp_path), [record])


@pytest.mark.parametrize("folder", ["", "semantics", "corda_table1", "starts", "astra"])
def test_the_numbers_and_columns_of_committed_cells_are_what_they_were(folder):
    board = load_leaderboard(ROOT / "results/example" / folder)
    written = ROOT / "results/example" / folder / "leaderboard.csv"
    if written.exists():
        assert leaderboard_csv(board) == written.read_text()
        assert leaderboard_tex(board) == written.with_suffix(".tex").read_text()
        said = written.with_suffix(".md").read_text()
        assert section_texts(board) in said
        for line in remarks.reading():
            assert markdown(line) in said
    store = ResultsStore(ROOT / folder)
    for cell in load_cells(store, store.records().records):
        if cell.record.metrics is not None:
            means = {n: mean(cell.facts.per_fact(m)) for n, m in metric_table().items()}
            found = {name: getattr(cell.record.metrics, name) for name in means}
            assert found == pytest.approx(means, nan_ok=True)


def mean(values):
    return values.mean() if len(values) else None


@pytest.mark.parametrize("updates", [0, 12])
def test_means_are_over_the_facts_that_a_metric_counts(updates):
    rows = make_rows(40, updates=updates)
    assert summarise(rows).model_dump() == pytest.approx(metrics_of(rows).model_dump())
    assert set(summarise([]).model_dump().values()) == {None}


def test_every_metric_has_its_own_line(table):
    found = metric_table()
    for name, metric in found.items():
        assert (metric.name, metric.explanation.endswith(".")) == (name, False)
        # Those of one context or kind are columns of their own, as are those of plug-ins.
        in_context = metric.column.rpartition(".")[2] in {*Context, *ConsequenceKind}
        assert in_context or metric.column in FactRow.model_fields
        low, high = metric.bounds
        assert low < high
    sentences = [metric.sentence for metric in found.values() if metric.sentence]
    assert len(sentences) == len(set(sentences))
    told = " ".join(remarks.reading())
    of_context = [m for m in found.values() if m.header and "." in m.name]
    plain = [m.sentence for m in found.values() if m.header and "." not in m.name and m.is_mean]
    assert all(sentence in told for sentence in plain)
    assert all(f"{metric.name.partition('.')[0]}: " in told for metric in of_context)


def test_a_name_or_a_column_that_is_taken_is_an_error(table):
    with pytest.raises(UsageError, match="'updated'"):
        register(Metric("updated", short_after, "other facts"))

    def generality(measured):
        return 1.0

    with pytest.raises(UsageError, match="'generality'"):
        register(Metric("other", generality, "other facts"))
    register(metric_table()["updated"])
    assert "other" not in metric_table()


TAKEN_NAMES = {
    **dict.fromkeys(("_hidden", "two words", "2nd"), "plain"),
    **dict.fromkeys(("weight", "status", "model_dump", "json"), "something else"),
    **dict.fromkeys(("seeds", "brief_low", "brief_p_holm"), "something else"),
}


@pytest.mark.parametrize(("name", "why"), TAKEN_NAMES.items())
def test_a_name_or_a_column_that_means_something_else_is_an_error(table, name, why):
    def compute(measured):
        return 1.0

    with pytest.raises(UsageError, match=why):
        register(Metric(name, compute, "other facts"))
    compute.__name__ = name
    with pytest.raises(UsageError, match=f"'other'.*{why}"):
        register(Metric("other", compute, "other facts"))
    assert {name, "other"}.isdisjoint(metric_table())


@pytest.mark.parametrize("compute", [lambda measured: 1.0, partial(short_after), 3])
def test_what_computes_a_metric_has_a_name(table, compute):
    with pytest.raises(UsageError, match=r"'other'.*no plain name"):
        register(Metric("other", compute, "other facts"))


def test_a_header_that_is_taken_is_an_error(table):
    with pytest.raises(UsageError, match=r"'short'.*'locality'"):
        register(Metric("short", short_after, "short answers", header="locality"))


def test_the_reserved_names_are_those_in_use(tmp_path):
    means = (metric.column for metric in metric_table().values() if metric.is_mean)
    measured = {*metric_table(), *means}
    columns = leaderboard_frame(load_leaderboard(fill(tmp_path, [make_cell(n=8)]))).columns
    names = {*FactRow.model_fields, *CellRecord.model_fields, *dir(BaseModel), *columns} - measured
    names = {name for name in names if name.isidentifier()}
    assert all(map(_reserved.refusal, names))
    assert not any(map(_reserved.refusal, measured))
    assert names >= _reserved.RESERVED


def test_an_installed_package_adds_a_metric(table, tmp_path, monkeypatch, guide_examples):
    (tmp_path / "brief_answers.py").write_text(guide_examples["brief"])
    package = tmp_path / "brief_answers-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: brief-answers\nVersion: 1\n")
    declared = package / "entry_points.txt"
    declared.write_text("[semantic_peft_bench.metrics]\nbrief = brief_answers\n")
    sys.modules.pop("brief_answers", None)
    monkeypatch.syspath_prepend(tmp_path)
    metrics._discover.cache_clear()
    assert metric_table()["brief"].column == "brief_after"

    del metrics._METRICS["brief"]
    declared.write_text("[semantic_peft_bench.metrics]\nword = one_word:WORD\n")
    (tmp_path / "one_word.py").write_text(
        "from bench.evaluation.metrics import Metric\ndef one_word(measured): return 1.0\n"
        "WORD = Metric('word', one_word, 'one word')\n"
    )
    metrics._discover.cache_clear()
    assert metric_table()["word"].column == "one_word"

    declared.write_text("[semantic_peft_bench.metrics]\nbrief = long_answers\n")
    metrics._discover.cache_clear()
    with pytest.raises(UsageError, match=r"'brief'.*long_answers"):
        metric_table()
    declared.unlink()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def wrong(:", "SyntaxError"),
        ("import no_such_package", "no_such_package"),
        ("raise ValueError('no luck\\nat all')", "no luck"),
    ],
)
def test_a_metric_file_that_cannot_be_loaded_is_one_line_before_anything_is_trained(
    table, source, why, tmp_path, facts_file, tiny_folder, monkeypatch
):
    (tmp_path / "zz.py").write_text(source)
    monkeypatch.setattr(metrics, "__path__", [str(tmp_path)])
    options = build_options({"models": str(tiny_folder), "tasks": str(facts_file)})
    metrics._discover.cache_clear()
    with pytest.raises(UsageError) as error:
        check_names(options)
    assert str(tmp_path / "zz.py") in str(error.value)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_metrics_of_a_record_are_numbers_and_what_is_lacking_is_none():
    found = Metrics.model_validate({"reliability": 0.5, "gone": None})
    assert (found.reliability, found.gone, found.never_measured) == (0.5, None, None)
    assert pickle.loads(pickle.dumps(found)) == found == Metrics.model_validate(found.model_dump())
    with pytest.raises(ValueError, match="number"):
        Metrics.model_validate({"reliability": "most"})


def test_the_table_needs_no_torch():
    code = (
        "import sys; from bench.evaluation.metrics import metric_table; assert metric_table(); "
        "import bench.report.tables.markdown; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
