"""A facts file cannot do harm: not by what it says, not by its names, not by its size."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.config.options import build_options
from bench.execution.leases import Claims
from bench.execution.run import run_grid
from bench.planning.grid import plan_grid
from bench.progress.plain import PlainProgress
from bench.store.store import ResultsStore

ROOT = Path(__file__).parents[3]

HOSTILE = [
    {"id": "../../../escape", "question": "<script>alert(1)</script>?", "answer": "<b>x</b>"},
    {"id": "/etc/passwd", "question": "Who \x1b[2J\x1b]0;owned\x07?", "answer": "a\x00b"},
    {"id": "C:\\x", "subject": "../..", "question": "\u202eWho\u202c?", "answer": "\u2066me\u2069"},
    {"id": "a" * 5000, "question": "| `x` | [y](javascript:z)?", "answer": "=cmd|' /C calc'!A0"},
    {"id": "x\x00\n\r../y", "question": "{{ 7 * 7 }}{% for %}", "answer": "\\input{x}$\\write{y}$"},
    {"id": "\u202e~", "question": "word " * 60, "answer": "z" * 200, "paraphrases": ["\n#\n"]},
]
FILE_NAME = "\x1b7<img src=x onerror=alert(1)>|`$^{\\input%&#~_}$\u202e.jsonl"


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_hostile_facts_file_harms_nothing(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Half a minute: plots have tests of their own.
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    (tmp_path / "in").mkdir()
    trained = written(tmp_path / "in" / FILE_NAME, HOSTILE)
    others = [{**row, "question": f"{row['question']} {n}"} for row in HOSTILE for n in range(2)]
    asked = [{**row, "id": f"{row['id']}{n}"} for n, row in enumerate(others)]
    forgotten = written(tmp_path / "in" / "other\x07 {{ 7 * 7 }}.jsonl", asked)
    options = build_options(
        {
            "methods": "lora[r=4]",
            "tasks": (str(trained),),
            "models": str(tiny_folder),
            "forgetting": (str(forgotten),),
            "epochs": 1,
            "device": "cpu",
            "out": tmp_path / "results",
        }
    )
    [record] = run_grid(options, PlainProgress(sys.stderr)).records
    assert record.status == "done", record.reason
    assert cli.main(["show", record.cell_id[:8], "--out", str(options.out)]) == 0
    assert cli.main(["report", "--out", str(options.out)]) == 0
    said = "".join(capsys.readouterr())
    boards = [options.out / f"leaderboard.{kind}" for kind in ("html", "md", "tex")]
    texts = [path.read_text(encoding="utf-8") for path in boards]
    for text in (said, *texts):
        assert not re.search(r"[\x00\x07\x1b\u202a-\u202e\u2066-\u2069]", text)
    assert max(map(len, said.splitlines())) < 300, "no line floods a terminal"
    assert len(said.splitlines()) < 230
    for text in texts[:2]:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    assert not re.search(r"(?<!textbackslash\{\})\\(input|write)", texts[2])
    below = {found.resolve() for found in tmp_path.rglob("*")}
    assert all(tmp_path in found.parents for found in below)
    assert {found.name for found in tmp_path.iterdir()} == {"in", "results"}
    assert not [found for found in (tmp_path / "results").rglob("*") if "escape" in found.name]


def test_claims_and_cells_are_named_by_digests_alone(tiny_folder, tmp_path):
    path = written(tmp_path / "facts.jsonl", HOSTILE[:1])
    options = build_options(
        {"tasks": str(path), "models": str(tiny_folder), "forgetting": "none", "methods": "lora"}
    )
    [cell] = plan_grid(options, ResultsStore(tmp_path))
    assert len(cell.cell_id) == 16
    assert int(cell.cell_id, 16) >= 0
    with Claims(tmp_path) as claims:
        assert claims.take(cell.cell_id)
        assert (tmp_path / "claims" / f"{cell.cell_id}.json").is_file()


LONG = "x" * 10_000_000
FACT = {"question": "x", "answer": "y"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("f.jsonl", {**FACT, "question": LONG}, "question: has 10,000,000 characters"),
        ("f.jsonl", {**FACT, "answer": LONG}, "answer: has 10,000,000 characters"),
        ("f.jsonl", {**FACT, "paraphrases": ["p", LONG]}, "paraphrases: has 10,000,000"),
        ("f.jsonl", {**FACT, "id": LONG}, "id: has 10,000,000 characters"),
        ("f.jsonl", {"question": "x", LONG: "y"}, "answer: is missing; the row has question, xxx"),
        ("f.csv", f"question,answer\nx,{LONG}\n", "field larger than field limit"),
        ("f.jsonl", {**FACT, "paraphrases": ["p"] * 10_000}, "at most 1,000 are allowed"),
        ("f.jsonl", {**FACT, "neighbours": [FACT] * 10_000}, "at most 1,000 are allowed"),
        (
            "f.jsonl",
            {**FACT, "paraphrase": "", **{f"f{i}": "" for i in range(99_999)}},
            "mean para",
        ),
        ("f.jsonl", '{"question": "\\ud800?", "answer": "y"}', "half of a surrogate pair"),
        ("f.jsonl", "[" * 200_000, "nesting too deep"),
        ("f.jsonl", '{"question": "x", "answer": ' + "9" * 10_001 + "}", "has 10,001 characters"),
        ("f.csv", "question,answer,paraphrases\nx,y," + "[" * 100_000, "nesting too deep"),
        ("f.csv", "question,answer\n" + f"{'q' * 9000},a\n" * 2, "is also asked in row 1"),
    ],
)
def test_what_cannot_be_a_fact_is_one_short_line(tmp_path, capsys, name, content, told):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert cli.main(["plan", "--tasks", str(path), "--out", str(tmp_path / "none")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert len(err) < 700


def test_lines_and_files_without_an_end_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tasks.rows.LARGEST_JSON", 2**20)
    for name, told in (("f.jsonl", "line 1: longer than 64 MiB"), ("f.json", "write it as .jsonl")):
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(2**33)  # sparse: 8 GiB that take no room
        assert cli.main(["plan", "--tasks", str(path)]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_rows_are_planned_and_only_a_few_are_trained(tiny_folder, tmp_path, kind, count):
    path = tmp_path / f"many.{kind}"
    with path.open("w") as file:
        if kind == "csv":
            file.write("id,question,answer\n")
            file.writelines(f"k{i},Who is number {i}?,{i}\n" for i in range(count))
        else:
            row = '{"id": "k%d", "question": "Who is number %d?", "answer": "%d"}\n'
            file.writelines(row % (i, i, i) for i in range(count))
    command = ["plan", "--tasks", path, "--models", tiny_folder, "--methods", "lora"]
    command += ["--forgetting", "none", "--out", tmp_path / "none"]
    plan = "import sys; from bench.cli import main; status = main(sys.argv[1:])"
    peak = "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    done = subprocess.run(
        [sys.executable, "-c", f"{plan}; {peak}; sys.exit(status)", *map(str, command)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert f": 64 of {count} facts" in done.stdout
    [kib] = re.findall(r"VmHWM:\D*(\d+) kB", done.stdout)
    assert int(kib) * 1024 < 150 * 2**20 + 600 * count, "facts are in memory, the file is not"
