"""Adapters for other programs say what the saved ones say, or are refused."""

from __future__ import annotations

import dataclasses
import json

import gguf
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from bench.publishing.command import run_command
from bench.publishing.export import AdapterFormat, export_saved
from bench.publishing.gguf_lora import ARCHITECTURES, read_gguf, write_gguf
from bench.publishing.plain_lora import plain_lora, vllm_rank
from bench.publishing.saved import find_saved
from tasks.errors import UsageError
from tests.bench.publishing.typed import planned_by

PLAIN = ["lora", "pissa", "rslora"]


def changes(base, folder):
    """Return dW of every layer, as PEFT computes it."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight("default")
        for name, module in model.named_modules()
        if "default" in getattr(module, "lora_A", ())
    }


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert weight.norm() > 0
        assert torch.dist(found[name], weight) < 1e-5 * weight.norm(), name


@pytest.mark.parametrize("form", ["peft", "vllm"])
@pytest.mark.parametrize("method", PLAIN)
def test_peft_reads_the_same_change_from_what_was_exported(
    saved_grid, saved_of, tiny_folder, tmp_path, method, form
):
    saved = saved_of(method)
    found = export_saved(saved_grid[0], saved, tmp_path / "out", AdapterFormat(form))
    same(changes(tiny_folder, found.folder), changes(tiny_folder, saved.folder))
    assert (found.folder / "README.md").is_file()


@pytest.mark.parametrize(("method", "rank"), [("lora", 4), ("pissa", 8), ("rslora", 4)])
def test_vllm_is_given_what_its_reader_takes(saved_grid, saved_of, tmp_path, method, rank):
    out = tmp_path / "out"
    found = export_saved(saved_grid[0], saved_of(method), out, AdapterFormat.VLLM)
    config = json.loads((out / "adapter_config.json").read_text())
    # PEFTHelper reads these alone: one rank and one scale for all layers, and no DoRA.
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (rank, rank, False)
    assert not config["use_dora"]
    assert not config["modules_to_save"]
    assert config["bias"] == "none"
    assert not config["rank_pattern"]
    assert not config["alpha_pattern"]
    assert found.rank == rank
    assert "--enable-lora --max-lora-rank 8 --lora-modules" in found.command
    assert str(out) in found.command


def test_ranks_and_scales_of_single_layers_become_one(tiny_base, tmp_path):
    torch.manual_seed(0)
    config = LoraConfig(
        r=2,
        lora_alpha=3,
        target_modules=["q_proj", "up_proj"],
        rank_pattern={"up_proj": 5},
        alpha_pattern={"q_proj": 7},
        init_lora_weights=False,
    )
    model = get_peft_model(tiny_base.model, config)
    model.save_pretrained(tmp_path)
    lora = plain_lora(tmp_path)
    assert lora.rank == 5
    for name, module in model.named_modules():
        if "default" in getattr(module, "lora_A", ()):
            A, B = lora.factors[name.removeprefix("base_model.model.")]
            assert (A.shape[0], B.shape[1]) == (5, 5)
            assert torch.allclose(B @ A, module.get_delta_weight("default"), atol=1e-6)


def test_a_rank_is_rounded_up_to_one_that_vllm_allows():
    assert [vllm_rank(rank) for rank in (1, 2, 16, 17, 300, 512)] == [1, 8, 16, 32, 320, 512]
    with pytest.raises(UsageError, match="merge"):
        vllm_rank(513)


@pytest.mark.parametrize("form", ["vllm", "gguf"])
@pytest.mark.parametrize("method", ["dora", "kasa", "osf", "full", "peft"])
def test_what_no_plain_lora_holds_is_refused(saved_grid, saved_of, tmp_path, method, form):
    right = "use it with PEFT" if method == "peft" else "'merge'"
    with pytest.raises(UsageError, match=right):
        export_saved(saved_grid[0], saved_of(method), tmp_path / "out", AdapterFormat(form))
    assert list(tmp_path.iterdir()) == []


def test_two_steps_are_one_plain_lora(small_grid, lamps_file, tiny_folder, tmp_path):
    after = f"{lamps_file}:frozen:lora[r=2]"
    records = small_grid(after=after, methods="lora[r=4]", forgetting="none")
    [record] = [record for record in records if record.spec.after]
    saved = find_saved(tmp_path / "results", record.cell_id)
    found = export_saved(tmp_path / "results", saved, tmp_path / "out", AdapterFormat.VLLM)
    assert found.rank == 2 + 4
    same(changes(tiny_folder, found.folder), changes(tiny_folder, saved.folder))
    text = (saved.folder / "README.md").read_text(encoding="utf-8")
    assert "It holds two steps" in text
    cells = planned_by(run_command(record), tmp_path / "nothing")
    assert record.cell_id in [cell.cell_id for cell in cells]


def hub_names(found, model):
    """Turn changes by GGUF's names into those of transformers, by its own reader of GGUF."""
    config = model.config.to_dict()
    kind = TENSOR_PROCESSORS.get(ARCHITECTURES[model.config.model_type].name, TensorProcessor)
    processor = kind(config=config)
    names = get_gguf_hf_weights_map(model, processor)
    return {
        names[key].removesuffix(".weight"): torch.from_numpy(
            processor.process((B @ A).numpy(), key).weights.copy()
        )
        for key, (A, B) in found.items()
    }


@pytest.mark.parametrize("method", PLAIN)
def test_a_gguf_file_holds_the_same_change_in_llama_cpps_order(
    saved_grid, saved_of, tiny_folder, tmp_path, method
):
    saved = saved_of(method)
    found = export_saved(saved_grid[0], saved, tmp_path / "out", AdapterFormat.GGUF)
    path = found.folder / "adapter.gguf"
    fields = gguf.GGUFReader(path).fields
    said = {key: field.contents() for key, field in fields.items()}
    assert said["general.architecture"] == "llama"
    assert (said["general.type"], said["adapter.type"]) == ("adapter", "lora")
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    written = read_gguf(path)
    same(hub_names(written, model), changes(tiny_folder, saved.folder))
    A, B = written["blk.0.attn_q.weight"]
    turned = torch.dist(
        B @ A, changes(tiny_folder, saved.folder)["model.layers.0.self_attn.q_proj"]
    )
    assert turned > 0.1, "the rows of q have another order there, or the test shows nothing"


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen2", "qwen3"])
def test_other_architectures_keep_the_order_of_their_rows(kind, tmp_path):
    config = AutoConfig.for_model(
        kind,
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted = get_peft_model(
        model, LoraConfig(r=3, target_modules=targets, init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path)
    expected = {
        name.removeprefix("base_model.model."): module.get_delta_weight("default")
        for name, module in adapted.named_modules()
        if "default" in getattr(module, "lora_A", ())
    }
    write_gguf(plain_lora(tmp_path), config, tmp_path / "a.gguf", "a")
    plain = AutoModelForCausalLM.from_config(config)
    same(hub_names(read_gguf(tmp_path / "a.gguf"), plain), expected)


def test_gguf_of_an_unknown_architecture_is_refused(saved_grid, saved_of, tmp_path, tiny_folder):
    other = tmp_path / "other"
    other.mkdir()
    content = json.loads((tiny_folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**content, "model_type": "olmo2"}))
    saved = saved_of("lora")
    spec = saved.spec.model_copy(update={"model": str(other)})
    moved = dataclasses.replace(saved, record=saved.record.model_copy(update={"spec": spec}))
    with pytest.raises(UsageError, match="olmo2"):
        export_saved(saved_grid[0], moved, tmp_path / "out", AdapterFormat.GGUF)
