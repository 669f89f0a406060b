"""Every `nox -s bench` command of the README does what the README says, on a few facts.

The first runs on the embedded model, in test_embedded.py. The others run here on the two-layer
model, in place of whatever models they name: what they ask for is the same, and a grid of 24
cells takes seconds.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main
from bench.store.store import ResultsStore
from methods.recipe import parse_recipes
from tests.bench.readme_commands import COMMANDS, FACTS, RUNS

EXAMPLE = Path(__file__).parents[3] / "results" / "example"
CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = [
    "--limit",
    "4",
    "--tune-limit",
    "4",
    "--epochs",
    "1",
    "--forgetting-limit",
    "4",
    "--device",
    "cpu",
]


STUDIES = {
    "interference": ["--sizes", "1,2", "--measured", "2", "--exposures", "1"],
    "placement": ["--limit", "4", "--epochs", "1", "--forgetting", "none", "--cuts", "1"],
    "calibration": ["--limit", "4", "--epochs", "1", "--forgetting", "none", "--samples", "2"],
    "order": ["--sizes", "1,3", "--measured", "3", "--most", "2", "--exposures", "1"],
    "sequence": ["--parts", "2", "--limit", "4", "--epochs", "1"],
}
"""What makes each study of the README small."""


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Be someone in a fresh folder, with the README's facts file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    (tmp_path / "my_facts.csv").write_text(FACTS, encoding="utf-8")
    said = [
        {"instruction": f"Say {i}.", "input": "Now.", "output": f"It is\n{i}."} for i in range(20)
    ]
    (tmp_path / "my_skill.json").write_text(json.dumps(said))
    turns = [
        [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"It is {i}."}]
        for i in range(20)
    ]
    chats = "".join(json.dumps({"messages": each}) + "\n" for each in turns)
    (tmp_path / "my_chats.jsonl").write_text(chats)
    notes = [f"Bed {i} is {('well', 'ill')[i % 2]}." for i in range(60)]
    (tmp_path / "notes.txt").write_text("\n\n".join(notes))
    labels = (f"Bed {i} of ward {i % 9}?,{('well', 'ill')[i % 2]}\n" for i in range(60))
    (tmp_path / "notes_labels.csv").write_text("text,label\n" + "".join(labels))
    (tmp_path / "handbook.md").write_text("# The house\n\nWho lives here writes their own facts.\n")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def value_of(words, option, default):
    return words[words.index(option) + 1] if option in words else default


def with_model(words, folder):
    """Replace the models that a command names, and make generated skills small."""
    words = [f"{word}[n=40]" if word in ("arithmetic", "dates") else word for word in words]
    if "--models" in words:
        start = words.index("--models")
        words = [*words[:start], *words[start + 2 :]]
    return [*words, "--models", str(folder)]


def cells_on_board(out):
    """Return how many cells the leaderboard's rows hold."""
    return int(pd.read_csv(out / "leaderboard.csv")["seeds"].sum())


def test_the_readme_shows_runs_and_other_commands():
    assert len(RUNS) >= 3
    assert RUNS[0] == ["--methods", "lora,corda"], "what everyone types first"
    assert {words[0] for words in COMMANDS if words not in RUNS} >= {"show", "list"}


RAY = [words for words in RUNS if "ray" in words]


@pytest.mark.parametrize("words", RAY, ids=shlex.join)
def test_a_run_on_ray_is_planned(reader, tiny_folder, words, capsys):
    """Its grid runs on a cluster in test_ray.py."""
    assert main(["run", *with_model(words, tiny_folder), *SMALL, "--dry-run"]) == 0
    assert "2 cells" in capsys.readouterr().out


@pytest.mark.parametrize("words", [w for w in RUNS[1:] if w not in RAY], ids=shlex.join)
def test_a_run_of_the_readme_ends_well(reader, tiny_folder, chat_folder, words, monkeypatch):
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())  # the first command draws
    folder = chat_folder if any("[as=" in word for word in words) else tiny_folder
    assert main(["run", *with_model(words, folder), *SMALL]) == 0
    methods = parse_recipes([value_of(words, "--methods", "lora,dora,pissa,corda")])
    sizes = [value_of(words, option, "one").count(",") + 1 for option in ("--tasks", "--seeds")]
    cells, firsts = len(methods) * sizes[0] * sizes[1], sizes[1] if "--after" in words else 0
    assert cells_on_board(reader / "results") == cells + firsts
    saved = list(reader.glob("results/adapters/*/adapter_config.json"))
    assert len(saved) == (cells if "--save-adapters" in words else 0) + firsts


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_of_the_readme_ends_with_a_table_and_a_picture(reader, tiny_folder, study):
    [words] = [words for words in COMMANDS if words[:2] == ["study", study]]
    small = ["--model", str(tiny_folder), "--device", "cpu", *STUDIES[study]]
    assert main([*words, *small]) == 0
    for suffix in ("csv", "md", "png", "svg"):
        assert (reader / "results" / "studies" / f"{study}.{suffix}").is_file()


ELSEWHERE = {"study", "card", "push", "merge", "export-adapter", "log"}
"""Studies are above; the others need saved adapters or a tracker, as their own tests have."""
OTHERS = [words for words in COMMANDS if words not in RUNS and words[0] not in ELSEWHERE]


@pytest.mark.parametrize("words", OTHERS, ids=shlex.join)
def test_another_command_of_the_readme_answers(reader, capsys, words, monkeypatch):
    """A placeholder stands for any cell of the example, which lies in the repository."""
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    (reader / "results").mkdir()
    for name in ("cells.parquet", "facts.parquet"):
        shutil.copy(EXAMPLE / name, reader / "results")
    cell = ResultsStore(EXAMPLE).records().records[0].cell_id
    grids = {f"configs/{path.name}": str(path) for path in CONFIGS.glob("*.yaml")}
    meant = {"CELL": cell, "results/example": str(EXAMPLE), **grids}
    assert main([meant.get(word, word) for word in words]) == 0
    assert (cell if "CELL" in words else "lora") in capsys.readouterr().out
