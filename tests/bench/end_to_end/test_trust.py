"""Nothing foreign is trusted: no code from models, no path from names, no secret in a record."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from bench import cli
from bench.config.options import build_options
from bench.models.loading import load_base
from bench.models.registry import resolve_model
from bench.progress.plain import PlainProgress
from bench.redaction import HIDDEN, safe_text, without_secrets
from bench.report.tables import format as wording
from bench.report.tables.latex import latex
from bench.store.store import ResultsStore
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
    with pytest.raises(UsageError, match="add --trust-remote-code"):
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
    monkeypatch.setattr("bench.cli.run._plan", lambda *_: (_ for _ in ()).throw(UsageError(said)))
    assert cli.main(["plan"]) == 2
    err = capsys.readouterr().err
    assert TOKEN not in err
    assert "looks-like-no-other" not in err
    assert err.count(HIDDEN) == 4


def test_a_hub_token_is_in_no_table_and_no_page(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "looks-like-no-other")
    for write in (safe_text, wording.markdown, latex):
        assert "looks-like-no-other" not in write("the model said looks-like-no-other")
        assert TOKEN not in write(f"the model said {TOKEN}")


def test_what_people_read_cannot_steer_their_terminal():
    steering = "a\x1b[2Jb\u202ec\r\nd"
    assert safe_text(steering, breaks=True) == "a\\x1b[2Jb\\u202ec\\r\nd"
    assert safe_text(steering) == "a\\x1b[2Jb\\u202ec\\r\\nd"
    assert safe_text("Zürich · 東京") == "Zürich · 東京"
