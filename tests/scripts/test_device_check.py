"""The stages of the check on a GPU run through on a CPU, at a tiny shape, as a user runs them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts" / "gpu"
TABLES = {
    "machine": {"Machine": 1},
    "same": {"The same cells": 24},
    "steps": {"Training steps, tiny": 6, "Stacked training steps, tiny": 2},
    "answers": {r"64 answers of \d+ tokens, tiny": 2},
    "prepare": {"Preparing matrices of 7B": 2},
    "stacked": {"32 cells, tiny": 2},
    "large": {"Large training steps, tiny": 3, "Large stacked training steps, tiny": 1},
    "whole": {"Preparing a whole model, tiny": 2},
    "grid": {
        "Cells, tiny, all": 7,
        "Cells, tiny, 1-workers": 2,
        "Cells, tiny, 4-workers": 2,
        "Whole runs": 3,
    },
}
"""By stage the titles of its tables, as patterns, and how many rows each has on a CPU."""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a tokenizer of one token per byte."""
    from tests.conftest import byte_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checked(tmp_path_factory, tokenizer):
    """The folder that all stages have written to, run by the script as a user runs them."""
    out = tmp_path_factory.mktemp("checked")
    told = {"OUT": out, "TOKENIZER": tokenizer, "MODELS": out / "models", "SITE": out / "site"}
    told |= {"PYTHON": sys.executable, "NO_INSTALL": "1", "NO_TESTS": "1", "OMP_NUM_THREADS": "1"}
    told |= {"DEVICE": "cpu", "SHAPE": "tiny", "LIMIT": "7200", "SECONDS_LEFT": "99999"}
    done = subprocess.run(
        ["bash", "scripts/gpu/check.sh", *TABLES],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in told.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    failures = out / "failures.txt"
    assert done.returncode == 0, (failures.exists() and failures.read_text(), done.stderr)
    return out


def tables(report: Path) -> dict[str, int]:
    """Return the number of rows of each table of the report."""
    parts = re.split(r"^## (.*)$", report.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {title: body.count("\n| ") - 2 for title, body in pairs}


@pytest.fixture
def stages(monkeypatch):
    """The module that runs stages, in this process."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("device_check.__main__")


def test_every_stage_is_described_and_has_its_tables_here(stages):
    readme = (FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", readme, re.MULTILINE)
    assert rows == [(name, str(stage.seconds)) for name, stage in stages.STAGES.items()]
    assert list(TABLES) == list(stages.STAGES)


def test_an_unknown_stage_is_refused(stages, tmp_path, capsys):
    assert stages.main(str(tmp_path), "", "steppes") == 2
    assert "no stage 'steppes'" in capsys.readouterr().out


def test_a_stage_that_fails_is_told_and_the_others_run(stages, tmp_path, tokenizer, capsys):
    made = stages.Check(tmp_path, tokenizer, tmp_path, device="cpu", shape="2b")
    assert stages.run_stages(made, ["answers", "machine", "same"], 50.0) == ["answers"]
    assert tables(tmp_path / "gpu.md") == {"answers failed": 1, "Machine": 1}
    assert "KeyError: '2b'" in (tmp_path / "failures.txt").read_text()
    assert made.flops > 0
    assert "same: too little time is left" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_stage_runs_through_on_a_cpu(checked, name):
    report = (checked / "gpu.md").read_text()
    found = tables(checked / "gpu.md")
    for pattern, rows in TABLES[name].items():
        [title] = [title for title in found if re.fullmatch(pattern, title)]
        assert found[title] == rows
    assert f"{name} failed" not in report


@pytest.mark.slow
def test_no_cell_failed_and_the_records_are_packed(checked):
    assert "| failed |" not in (checked / "gpu.md").read_text()
    assert (checked / "failures.txt").read_text() == ""
    with tarfile.open(checked / "records.tgz") as packed:
        folders = {name.split("/")[0] for name in packed.getnames() if "/cells/" in name}
    assert "same-cpu-float32" in folders
