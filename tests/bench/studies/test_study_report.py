from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.studies.study_report import (
    Form,
    StudyColumn,
    StudyReport,
    StudyTable,
    shown_lines,
    study_markdown,
    write_study,
)
from bench.studies.terminal import study_text
from tasks.errors import UsageError

mpl.use("Agg")

COLUMNS = (
    StudyColumn("method", "method"),
    StudyColumn("reliability", "reliability %", Form.PERCENT),
    StudyColumn("drift", "drift nats", Form.NATS),
    StudyColumn("ratio", "ratio", Form.NUMBER),
    StudyColumn("flops", "training compute", Form.OPERATIONS),
    StudyColumn("parameters", "trainable parameters", Form.COUNT),
    StudyColumn("seconds", "train time", Form.SECONDS),
)


def report(**changes: object) -> StudyReport:
    table = pd.DataFrame(
        {
            "method": ["lora", "lora+last[n=2]"],
            "reliability": [0.5, None],
            "reliability_low": [0.4, None],
            "reliability_high": [0.6, None],
            "drift": [0.125, 0.0],
            "ratio": [0.3333, 12.0],
            "flops": [3.2e12, None],
            "parameters": [4_900_000, 512],
            "seconds": [185.0, 0.4],
            "hidden": [1, 2],
        }
    )
    figure = Figure()
    figure.add_subplot().plot([1, 2], [0.1, 0.2])
    whole = {
        "name": "example",
        "title": "Does it * work?",
        "about": ("one seed", "n = 2"),
        "table": table,
        "columns": COLUMNS,
        "figure": figure,
        "command": "python -m bench study example",
    }
    return StudyReport(**{**whole, **changes})  # type: ignore[arg-type]


def test_markdown_shows_columns_with_units_and_intervals():
    text = study_markdown(report())
    assert text.startswith("# Does it \\* work?\n\n![Does it \\* work?](example.png)\n")
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line]
    shown = ["50.0 [40, 60]", "0.125", "0.333", "3.2 TFLOP", "4.9 M", "3 min 5 s"]
    assert ["lora", *shown] in lines
    assert ["lora+last\\[n=2\\]", "-", "0.000", "12", "-", "512", "0.4 s"] in lines
    assert "hidden" not in text
    assert (
        "- one seed\n- n = 2\n\n## How to repeat it\n\n```sh\npython -m bench study example\n"
        in text
    )
    assert "without a result" not in text
    assert "without a result\n\n- lora: why\n" in study_markdown(report(failures=("lora: why",)))


def test_a_mean_has_two_decimals_and_needs_five_items():
    column = StudyColumn("epochs", "epochs to learn", Form.MEAN, items="facts")
    table = pd.DataFrame(
        {
            "epochs": [2.345, 2.0, 1.0],
            "epochs_low": [1.96, None, None],
            "epochs_high": [3.0, None, None],
            "facts": [5, 5, 4],
        }
    )
    shown = shown_lines(report(table=table, columns=(column,)))
    assert shown == [["2.35 [2.0, 3.0]"], ["2.00"], ["-"]]


def test_four_files_the_same_bytes_each_time(tmp_path: Path):
    first = write_study(tmp_path / "a", report())
    again = write_study(tmp_path / "b", report())
    for name in ("csv", "markdown", "png", "svg"):
        path: Path = getattr(first, name)
        assert path.parent == tmp_path / "a" / "studies"
        assert path.read_bytes() == getattr(again, name).read_bytes()
    assert [path.name for path in sorted((tmp_path / "a" / "studies").iterdir())] == [
        "example.csv",
        "example.md",
        "example.png",
        "example.svg",
    ]
    stored = pd.read_csv(first.csv)
    assert list(stored.columns) == list(report().table.columns)
    assert stored["reliability"].isna().tolist() == [False, True]
    assert str(tmp_path) not in first.markdown.read_text()


def test_column_that_is_not_in_the_table_is_refused_before_anything_is_written(tmp_path: Path):
    wrong = report(columns=(StudyColumn("speed", "speed"),))
    with pytest.raises(ValueError, match="'speed'"):
        write_study(tmp_path, wrong)
    assert not (tmp_path / "studies").exists()


def test_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "studies").write_text("a file")
    with pytest.raises(UsageError, match="give a writable folder with --out"):
        write_study(tmp_path, report())


def test_a_further_table_stands_below_the_first_and_in_a_file_of_its_own(tmp_path):
    more = StudyTable(
        "matrix",
        "All | of it",
        pd.DataFrame({"part": [1, 2], "share": [0.25, None]}),
        (
            StudyColumn("part", "part", Form.COUNT, key=True),
            StudyColumn("share", "%", Form.PERCENT),
        ),
    )
    whole = report(further=(more,))
    files = write_study(tmp_path, whole)
    assert (files.csv.parent / "example_matrix.csv").read_text() == "part,share\n1,0.25\n2,\n"
    text = files.markdown.read_text()
    first, below = text.index("| lora "), text.index("All \\| of it:")
    assert first < below < text.index(" 25.0 |", below) < text.index("- one seed")
    shown = study_text(whole)
    assert shown.index("lora+last") < shown.index("All | of it:") < shown.index("25.0")
    assert study_markdown(report()) == text.replace(text[below : text.index("- one seed")], "")
