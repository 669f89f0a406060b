"""Nothing foreign is trusted: no code from models, no path from names, no secret in a record."""

from __future__ import annotations

import json
import logging
import sys

import pytest
import torch

from bench import cli
from bench.claims import Claims
from bench.executor import run_grid
from bench.grid import plan_grid
from bench.models import load_base, resolve_model
from bench.options import build_options
from bench.progress import PlainProgress
from bench.redaction import HIDDEN, for_people, without_secrets
from bench.report.write import write_report
from bench.store import ResultsStore
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell

TOKEN = "hf_" + "aB3" * 10


@pytest.fixture
def with_code(tiny_folder, tmp_path):
    """A copy of the model that asks for Python code of its own."""
    folder = tmp_path / "with_code"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "homemade"
    config["auto_map"] = {
        "AutoConfig": "code.HomemadeConfig",
        "AutoModelForCausalLM": "code.HomemadeModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).write_text('ran')\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class HomemadeConfig(LlamaConfig):\n    model_type = 'homemade'\n"
        "class HomemadeModel(LlamaForCausalLM):\n    config_class = HomemadeConfig\n"
    )
    return folder


def test_code_of_a_model_runs_only_when_asked(with_code, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    with pytest.raises(UsageError, match="give --trust-remote-code"):
        load_base(str(with_code))
    assert not (tmp_path / "ran").exists()
    load_base(str(with_code), trust_remote_code=True)
    assert (tmp_path / "ran").exists()
    assert build_options({}).trust_remote_code is False


def test_weights_are_read_from_safetensors_alone(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    torch.save({"lm_head.weight": torch.zeros(2, 2)}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="cannot load model"):
        load_base(str(folder))


@pytest.mark.parametrize(
    "name",
    ["../../x/y", "a/../../b", "/etc/nothing", "a/b/c", "~/x", "a/..", "x/y\x1b[2J", "a\\b/c"],
)
def test_a_name_of_a_model_cannot_leave_the_cache(name):
    with pytest.raises(UsageError):
        resolve_model(name)


def test_a_hub_token_is_in_no_record_and_no_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "a-token-that-looks-like-no-other")
    said = f"401 for https://user:{TOKEN}@huggingface.co with a-token-that-looks-like-no-other"
    record, rows = make_cell(n=1, reason=said, traceback=said, warnings=[said])
    folder = fill(tmp_path, [(record, rows)])
    [path] = (folder / "cells").glob("*.json")
    text = path.read_text()
    assert TOKEN not in text
    assert "looks-like-no-other" not in text
    assert HIDDEN in ResultsStore(folder).read(record.cell_id).traceback
    assert without_secrets("hf_hub_download is a function") == "hf_hub_download is a function"
    PlainProgress(sys.stderr).note(said)
    monkeypatch.setattr(
        "bench.run_cli._plan", lambda options: (_ for _ in ()).throw(UsageError(said))
    )
    assert cli.main(["plan"]) == 2
    err = capsys.readouterr().err
    assert TOKEN not in err
    assert "looks-like-no-other" not in err
    assert err.count(HIDDEN) == 4


def test_what_people_read_cannot_steer_their_terminal():
    assert for_people("a\x1b[2Jb\u202ec\r\nd") == "a\\x1b[2Jb\\u202ec\\r\nd"
    assert for_people("Zürich · 東京") == "Zürich · 東京"


HOSTILE = [
    {"id": "../../../escape", "question": "<script>alert(1)</script>?", "answer": "<b>x</b>"},
    {"id": "/etc/passwd", "question": "Who \x1b[2J\x1b]0;owned\x07?", "answer": "a\x00b"},
    {"id": "C:\\x", "subject": "../..", "question": "\u202eWho\u202c?", "answer": "\u2066me\u2069"},
    {"id": "a" * 5000, "question": "| `x` | [y](javascript:z)?", "answer": "=cmd|' /C calc'!A0"},
]


def test_a_hostile_facts_file_harms_nothing(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "\x1b7facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HOSTILE), encoding="utf-8")
    options = build_options(
        {
            "methods": "lora[r=4]",
            "tasks": str(path),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 1,
            "device": "cpu",
            "out": tmp_path / "results",
        }
    )
    [record] = run_grid(options, PlainProgress(sys.stderr)).records
    assert record.status == "done", record.reason
    files = write_report(options.out)
    assert "\x1b" not in capsys.readouterr().err
    page = files.html.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "\x1b" not in page
    below = {found.resolve() for found in tmp_path.rglob("*")}
    assert all(tmp_path in found.parents for found in below)
    assert {found.name for found in tmp_path.iterdir()} == {"in", "results"}
    assert not [found for found in (tmp_path / "results").rglob("*") if "escape" in found.name]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (json.dumps({"question": "x" * 10_000_000, "answer": "y"}), "has 10,000,000 characters"),
        ('{"question": "\\ud800?", "answer": "y"}', "half of a surrogate pair"),
        ("[" * 200_000, "nesting is too long"),
        ('{"question": "x", "answer": ' + "9" * 10_000 + "}", "too long to be read"),
    ],
    ids=["10 MB", "surrogate", "nested", "number"],
)
def test_what_cannot_be_a_fact_is_one_short_line(tmp_path, capsys, content, told):
    path = tmp_path / "facts.jsonl"
    path.write_text(content)
    assert cli.main(["plan", "--tasks", str(path), "--out", str(tmp_path / "none")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert len(err) < 400


def test_many_rows_are_planned_in_seconds_and_only_a_few_are_trained(tiny_folder, tmp_path, caplog):
    path = tmp_path / "many.jsonl"
    rows = ({"question": f"Who is number {i}?", "answer": str(i)} for i in range(20_000))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = build_options(
        {"tasks": str(path), "models": str(tiny_folder), "forgetting": "none", "methods": "lora"}
    )
    caplog.set_level(logging.WARNING)
    [cell] = plan_grid(options, ResultsStore(tmp_path / "none"))
    assert (cell.spec.facts, cell.data.available) == (64, 20_000)


def test_claims_and_cells_are_named_by_digests_alone(tiny_folder, tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(HOSTILE[0]) + "\n")
    options = build_options(
        {"tasks": str(path), "models": str(tiny_folder), "forgetting": "none", "methods": "lora"}
    )
    [cell] = plan_grid(options, ResultsStore(tmp_path))
    assert len(cell.cell_id) == 16
    assert int(cell.cell_id, 16) >= 0
    with Claims(tmp_path) as claims:
        assert claims.take(cell.cell_id)
        assert (tmp_path / "claims" / f"{cell.cell_id}.json").is_file()
