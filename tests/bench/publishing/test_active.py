"""A saved adapter is loaded again: it must have an effect, and the one that was measured."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from bench.models.copy_on_write import borrow
from bench.publishing.active import check_active, probe_logits
from methods.lora_family import LoraFamily
from tasks.errors import UsageError

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def saved(tiny_base, tmp_path):
    """Save a LoRA with a given B; return the logits of its model, and the folder."""

    def make(scale):
        torch.manual_seed(0)
        config = LoraConfig(r=2, target_modules=["q_proj", "up_proj"])
        model = get_peft_model(borrow(tiny_base).model, config).eval()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data = scale * torch.randn_like(parameter)
        model.save_pretrained(tmp_path)
        return probe_logits(model, tiny_base.model), tmp_path

    return make


def change(folder, changed):
    """Rewrite the saved tensors."""
    pairs = [changed(name, tensor) for name, tensor in load_file(folder / WEIGHTS).items()]
    save_file({name: tensor.contiguous() for name, tensor in pairs}, folder / WEIGHTS)


def test_a_trained_adapter_is_active_and_random_numbers_go_on(tiny_base, saved):
    trained, folder = saved(0.1)
    before = torch.get_rng_state()
    assert check_active(tiny_base, trained, folder) == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rounding", [0.0, 1e-7])
def test_an_untrained_adapter_is_saved_with_a_warning(tiny_base, saved, rounding):
    trained, folder = saved(0.0)
    [line] = check_active(tiny_base, trained * (1 + rounding), folder)
    assert "no effect" in line


def test_an_adapter_that_fits_no_layer_is_refused(tiny_base, saved):
    trained, folder = saved(0.1)
    change(folder, lambda name, tensor: (name.replace("layers", "blocks"), tensor))
    with pytest.raises(UsageError, match="no effect"):
        check_active(tiny_base, trained, folder)


def test_an_adapter_that_answers_otherwise_is_told(tiny_base, saved):
    trained, folder = saved(0.1)
    change(folder, lambda name, tensor: (name, 2 * tensor if "lora_B" in name else tensor))
    [line] = check_active(tiny_base, trained, folder)
    assert "otherwise than the trained model" in line


def test_an_adapter_that_cannot_be_loaded_is_kept_and_told(tiny_base, saved):
    trained, folder = saved(0.1)
    (folder / WEIGHTS).write_bytes(b"no tensors")
    [line] = check_active(tiny_base, trained, folder)
    assert "could not be loaded" in line


def test_a_cell_whose_files_have_no_effect_keeps_its_numbers_alone(
    small_grid, tmp_path, monkeypatch
):
    plain = LoraFamily.save

    def emptied(self, model, prepared, setting, folder):
        plain(self, model, prepared, setting, folder)
        change(folder, lambda name, tensor: (name, torch.zeros_like(tensor)))

    monkeypatch.setattr(LoraFamily, "save", emptied)
    [record] = small_grid(forgetting="none", epochs=1, limit=4)
    assert (record.status, record.adapter_path, record.save_failed) == ("done", "", True)
    assert any("was not saved: loaded on the untouched base" in line for line in record.warnings)
    assert not (tmp_path / "results/adapters" / record.cell_id).exists()
