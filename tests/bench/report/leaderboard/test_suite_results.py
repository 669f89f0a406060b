import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.interchange.export_results import export_to_peft_suite
from bench.report.leaderboard.suite_results import read_suite_results
from bench.report.write import write_report
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell

EXAMPLE = Path(__file__).parents[4] / "results/example"


def real(**changes):
    """A result in PEFT's form, with the fields that are read."""
    last = {
        "step": 5000,
        "test accuracy": 0.4784,
        "train loss": 0.607,
        "train samples": 20000,
        "train total tokens": 4198051,
        "forgetting": -0.01,
    }
    content = {
        "run_info": {
            "experiment_name": "lora/llama-3.2-3B-rank32",
            "train_config": {"model_id": "meta-llama/Llama-3.2-3B", "seed": 0},
            "peft_config": {"peft_type": "LORA", "r": 32},
        },
        "train_info": {
            "status": "success",
            "accelerator_memory_max": 22292725760,
            "train_time": 941.9,
            "num_trainable_params": 9175040,
            "metrics": [{"step": 250, "valid accuracy": 0.3}, last],
        },
        "meta_info": {"dataset_info": {"metamath": {}, "gsm8k": {}}},
    }
    return {**content, **changes}


def write(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return folder


def grid(folder):
    methods = {"lora": 0.7, "dora": 0.9}
    cells = [
        make_cell(accuracy=accuracy, spec={"method": method, "seed": seed})
        for method, accuracy in methods.items()
        for seed in range(3)
    ]
    return fill(folder, cells)


def test_a_result_is_read_with_what_it_lacks(tmp_path):
    [row] = read_suite_results(write(tmp_path / "there", good=real())).rows
    assert (row.experiment, row.seed) == ("lora/llama-3.2-3B-rank32", 0)
    assert (row.accuracy, row.forgetting, row.parameters) == (0.4784, -0.01, 9175040)
    files = write_report(grid(tmp_path / "ours"), wanted_plots="none")
    lacks = row.lacks(files.board.sections)
    assert lacks == ["one seed", "no answers per fact", "other model", "other task"]


def test_bad_files_are_a_line_each(tmp_path):
    images = real()
    images["train_info"] = {**images["train_info"], "metrics": [{"test dino_similarity": 0.5}]}
    failed = real()
    failed["train_info"] = {**failed["train_info"], "status": "failed"}
    bad = {"cut": '{"run_info": ', "list": "[]", "other": "{}", "images": images, "failed": failed}
    found = read_suite_results(write(tmp_path / "there", good=real(), **bad))
    assert len(found.rows) == 1
    assert sorted(line.split("/")[-1].partition(".json: ")[0] for line in found.problems) == sorted(
        bad
    )
    with pytest.raises(UsageError, match="no JSON files"):
        read_suite_results(tmp_path)


def test_the_rows_change_no_number_and_no_rank_of_ours(tmp_path):
    ours = grid(tmp_path / "ours")
    there = write(tmp_path / "there", good=real(), bad="{")
    alone = write_report(ours, wanted_plots="none")
    before = {path: path.read_text() for path in (alone.csv, alone.markdown, alone.tex)}
    both = write_report(ours, wanted_plots="none", beside=there)
    assert both.csv.read_text() == before[both.csv]
    assert both.tex.read_text() == before[both.tex]

    def rows(text):
        return [line for line in text.splitlines() if line.startswith("| ")]

    new = [line for line in rows(both.markdown.read_text()) if line not in before[both.markdown]]
    assert any("lora/llama-3.2-3B-rank32" in line and "one seed" in line for line in new)
    assert [line for line in rows(both.markdown.read_text()) if line not in new] == rows(
        before[both.markdown]
    )
    assert "bad.json" in both.markdown.read_text()
    page = both.html.read_text()
    assert "lora/llama-3.2-3B-rank32" in page
    assert page.index("dora") < page.index("lora/llama-3.2-3B-rank32")


def test_our_own_exports_are_read_and_named(tmp_path):
    export_to_peft_suite(EXAMPLE, tmp_path / "there", placeholder=-1)
    rows = read_suite_results(tmp_path / "there").rows
    assert {row.cell[:8] for row in rows} == {"680684d7", "bec0f00a"}
    for row in rows:
        assert row.peak_bytes is None, "a placeholder is no number"
        assert (row.accuracy, row.forgetting, row.data) == (1.0, None, ("countries",))
    files = write_report(grid(tmp_path / "ours"), wanted_plots="none", beside=tmp_path / "there")
    assert "exported by this program from cell 680684d7" in files.markdown.read_text()


def test_the_command_says_where_they_stand(tmp_path, capsys):
    there = write(tmp_path / "there", good=real())
    ours = grid(tmp_path / "ours")
    command = ["report", "--out", str(ours), "--plots", "none", "--with"]
    assert main([*command, str(there)]) == 0
    assert f"1 result of {there}" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
