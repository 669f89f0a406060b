"""`push` by huggingface_hub itself, against a stand-in for the hub; and what may go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load as load_tensors
from safetensors.torch import load_file

from tests.bench.publishing.hub import TOKEN, Hub

ROOT = Path(__file__).parents[3]
BASE = ("--base", "someone/tiny")


@pytest.fixture
def hub():
    with Hub() as running:
        yield running


@pytest.fixture
def push(saved_grid, saved_of, hub, tmp_path):
    """Push the LoRA of seed 0; return the exit status and what was said."""

    def run(*typed, cell=None, token=TOKEN, url=None, **environment):
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        if token:
            (home / "token").write_text(token)  # where `hf auth login` leaves it
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH")
        }
        changed = {
            "HF_ENDPOINT": url or hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",  # another protocol for the content of large files
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        cell = cell or saved_of("lora").record.cell_id
        command = [sys.executable, "-m", "bench", "push", cell, *typed]
        done = subprocess.run(
            [*command, "--out", str(saved_grid[0])],
            env={**kept, **changed},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_without_yes_nothing_reaches_the_hub(push, hub):
    status, said = push("me/lora", *BASE)
    assert status == 0
    assert hub.asked == []
    assert f"{hub.url}/me/lora (public), base someone/tiny" in said
    assert "adapter_model.safetensors" in said
    assert "Nothing was uploaded" in said


def test_everything_arrives_and_names_nothing_of_this_machine(
    push, hub, saved_of, tiny_folder, facts_file
):
    status, said = push("me/lora", *BASE, "--yes", "--private")
    assert (status, f"{hub.url}/me/lora" in said) == (0, True), said
    assert hub.repositories == {"me/lora": True}
    files, saved = hub.files["me/lora"], saved_of("lora").folder
    assert files.keys() == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    stored, sent = (
        load_file(saved / "adapter_model.safetensors"),
        files["adapter_model.safetensors"],
    )
    arrived = load_tensors(sent)
    assert all(stored[name].equal(arrived[name]) for name in stored)
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "someone/tiny"
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == "someone/tiny"
    assert 'PeftModel.from_pretrained(base, "me/lora")' in card.text
    for name in ("README.md", "adapter_config.json"):
        assert str(tiny_folder.parent).encode() not in files[name]
        assert str(facts_file.parent).encode() not in files[name]
    assert TOKEN not in said


def test_a_public_repository_is_not_given_what_is_to_be_private(push, hub):
    hub.repositories["me/lora"] = False
    status, said = push("me/lora", *BASE, "--yes", "--private")
    assert (status, "public" in said, hub.files) == (2, True, {})


@pytest.mark.parametrize(
    ("typed", "changes", "status", "right"),
    [
        (("me/lora", *BASE, "--yes"), {"token": ""}, 2, "hf auth login"),
        (("me/lora", *BASE, "--yes"), {"token": "hf_" + "b" * 34}, 1, "hf auth login"),
        (("me/lora", *BASE, "--yes"), {"url": "http://127.0.0.1:9"}, 1, "check the connection"),
        (("me/lora", *BASE, "--yes"), {"HF_HUB_OFFLINE": "1"}, 1, "HF_HUB_OFFLINE"),
        (("me/lo ra", *BASE), {}, 2, "USER/NAME"),
        (("lora", *BASE), {}, 2, "USER/lora"),
        (("me/lora",), {}, 2, "--base"),
        (("me/lora", *BASE), {"cell": "zz"}, 2, "no cell 'zz'"),
    ],
)
def test_what_goes_wrong_is_one_line(push, hub, typed, changes, status, right):
    found, said = push(*typed, **changes)
    assert found == status, said
    [error] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert right in error
    assert "Traceback" not in said
    assert "hf_" not in said.replace("hf_token", "")
    assert hub.files == {}


def test_a_token_that_may_only_read_is_told(push, hub):
    hub.denied = True
    status, said = push("me/lora", *BASE, "--yes")
    assert (status, "may not write to repositories of 'me'" in said) == (1, True), said
