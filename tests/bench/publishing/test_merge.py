"""Merged models answer as base and adapter do, and are written whole or not at all."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.publishing.merge import merge_adapter
from tasks.errors import UsageError


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 40)[None]).logits


@pytest.mark.parametrize("method", ["lora", "pissa", "dora", "rslora", "kasa", "osf", "full"])
def test_a_merged_folder_answers_as_base_and_adapter(
    saved_grid, saved_of, tiny_folder, tmp_path, method
):
    saved = saved_of(method)
    found = merge_adapter(saved_grid[0], saved, tmp_path / "new/merged")
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    plain = logits(base)
    if method == "full":
        expected = logits(AutoModelForCausalLM.from_pretrained(saved.folder))
    else:
        expected = logits(PeftModel.from_pretrained(base, saved.folder))
    merged = logits(AutoModelForCausalLM.from_pretrained(found.folder))
    assert torch.allclose(merged, expected, atol=1e-3)
    assert not torch.allclose(plain, expected, atol=1e-1), "else there is nothing to compare"
    assert found.difference < 1e-4 < found.moved
    assert AutoTokenizer.from_pretrained(found.folder)("a").input_ids
    assert "AutoModelForCausalLM" in (found.folder / "README.md").read_text(encoding="utf-8")


def test_what_cannot_be_merged_leaves_nothing_behind(saved_grid, saved_of, tmp_path):
    with pytest.raises(UsageError, match="cannot be merged"):
        merge_adapter(saved_grid[0], saved_of("peft"), tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(saved_grid, saved_of, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="is not empty"):
        merge_adapter(saved_grid[0], saved_of("lora"), tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        merge_adapter(saved_grid[0], saved_of("lora"), tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(saved_grid, saved_of, tmp_path):
    (tmp_path / "empty").mkdir()
    merge_adapter(saved_grid[0], saved_of("lora"), tmp_path / "empty")
    assert (tmp_path / "empty/config.json").is_file()


def test_another_revision_of_the_base_is_refused(saved_grid, saved_of, tmp_path):
    saved = saved_of("lora")
    spec = saved.spec.model_copy(update={"model_revision": "sha256:0"})
    other = dataclasses.replace(saved, record=saved.record.model_copy(update={"spec": spec}))
    with pytest.raises(UsageError, match="trained on sha256:0"):
        merge_adapter(saved_grid[0], other, tmp_path / "merged")
