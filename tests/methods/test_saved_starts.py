"""Starts that cut the base are saved with whatever else was trained, for the untouched base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from bench.models.loading import Base
from methods.adapters.astra import Astra
from methods.adapters.corda import Corda
from methods.adapters.corda_pp import CordaPp
from methods.adapters.lora_null import LoraNull
from methods.adapters.milora import MiLora
from methods.adapters.olora import OLora
from methods.adapters.pissa import Pissa
from methods.parts import ADAPTERS
from tasks.errors import UsageError

TARGETS = ["q_proj", "v_proj", "down_proj"]
BESIDE = {
    "plain": {},
    "module": {"modules_to_save": ["embed_tokens"]},
    "norm": {"modules_to_save": ["norm"]},
    "tokens": {"trainable_token_indices": [65, 66, 67]},
    "bias": {"bias": "all"},
    "lora bias": {"bias": "lora_only"},
    "embedding": {"target_modules": [*TARGETS, "embed_tokens"]},
    "patterns": {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"v_proj": 6}},
    "layer": {"layers_to_transform": [1]},
}
CUTS = {
    "pissa": {"init_lora_weights": "pissa"},
    "niter": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "pissa+dora": {"init_lora_weights": "pissa", "use_dora": True},
    "olora+dora": {"init_lora_weights": "olora", "use_dora": True},
    "pissa+rslora": {"init_lora_weights": "pissa", "use_rslora": True},
    "olora+rslora": {"init_lora_weights": "olora", "use_rslora": True},
    "olora+rslora+dora": {"init_lora_weights": "olora", "use_rslora": True, "use_dora": True},
}
OURS = {"pissa": Pissa, "milora": MiLora, "olora": OLora, "corda": Corda}
OURS |= {"astra": Astra, "lora_null": LoraNull, "corda_pp": CordaPp}


def biased(*, tied):
    """A two-layer model whose attention has biases, as those of Qwen have."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        attention_bias=True,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.1)
    return model


@pytest.fixture
def written(tmp_path):
    """Write a configuration and return the adapter that reads it."""

    def write(**values):
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 6, **values}))
        return ADAPTERS["peft"](path=str(file))

    return write


@pytest.fixture
def answers_alike(cases, tiny_base, tmp_path):
    """Train an adapter, save it, load it on the untouched base, and compare the logits."""

    def check(adapter, *, tied=True):
        base = Base("tiny", "0", biased(tied=tied), tiny_base.tokenizer)
        cell = cases.attach(base, adapter)
        start = cell.logits()
        assert (start - cases.logits_of(base.model)).abs().max() < 1e-4
        cell.train()
        trained, folder = cell.logits(), cell.save(tmp_path / "saved")
        assert (trained - start).abs().max() > 1e-2, "it must have learned something"
        loaded = PeftModel.from_pretrained(biased(tied=tied), str(folder))
        assert (cases.logits_of(loaded) - trained).abs().max() < 1e-4
        assert not (folder / "README.md").exists()
        return folder

    return check


@pytest.mark.parametrize(
    ("cut", "beside"),
    [
        *product(["pissa", "olora+rslora+dora"], BESIDE),
        *product(CUTS, ["plain"]),
        ("pissa+dora", "embedding"),
        ("niter", "module"),
    ],
)
def test_a_cut_start_of_peft_loads_on_the_untouched_base(cut, beside, written, answers_alike):
    answers_alike(written(**{"target_modules": TARGETS, **CUTS[cut], **BESIDE[beside]}))


@pytest.mark.parametrize("beside", ["module", "tokens", "embedding"])
def test_a_head_of_its_own_makes_no_difference(beside, written, answers_alike):
    values = {"target_modules": TARGETS, **CUTS["pissa"], **BESIDE[beside]}
    answers_alike(written(**values), tied=False)


def test_all_at_once(written, answers_alike):
    beside = {**BESIDE["norm"], **BESIDE["tokens"], **BESIDE["bias"], **BESIDE["patterns"]}
    answers_alike(written(target_modules=TARGETS, **CUTS["pissa+rslora"], use_dora=True, **beside))


OPTIONS = {
    **{name: BESIDE[name] for name in ("plain", "module", "norm", "tokens", "bias", "lora bias")},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "rslora+dora": {"use_rslora": True, "use_dora": True, **BESIDE["norm"]},
}


@pytest.mark.parametrize(
    ("name", "beside"),
    [*product(["pissa"], OPTIONS), *product([*OURS][1:], ["module", "dora"])],
)
def test_our_cut_starts_load_on_the_untouched_base(name, beside, answers_alike):
    @dataclass(frozen=True)
    class Ours(OURS[name]):
        options = MappingProxyType(OPTIONS[beside])

    answers_alike(Ours(r=4, alpha=6.0))


def test_only_the_rank_doubles(written, answers_alike):
    folder = answers_alike(
        written(target_modules=[*TARGETS, "embed_tokens"], bias="all", **CUTS["pissa+dora"])
    )
    saved = load_file(folder / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.0.self_attn.q_proj."
    assert saved[f"{prefix}lora_A.weight"].shape == (8, 32)
    assert saved[f"{prefix}lora_B.weight"].shape == (32, 8)
    assert saved[f"{prefix}lora_magnitude_vector"].shape == (32,)
    assert saved[f"{prefix}base_layer.bias"].shape == (32,)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 12, True)


BLOCKS = {"nblocks": 2, "target_modules_bd_a": ["down_proj"], "target_modules_bd_b": ["q_proj"]}


@pytest.mark.parametrize("variant", [{"alora_invocation_tokens": [65]}, {"use_bdlora": BLOCKS}])
def test_a_variant_that_cannot_be_converted_is_refused(variant, written, cases, tiny_base):
    adapter = written(target_modules=["q_proj", "down_proj"], **CUTS["pissa"], **variant)
    with pytest.raises(UsageError, match="init_lora_weights=pissa cannot be saved") as error:
        cases.attach(tiny_base, adapter)
    assert "\n" not in str(error.value)
