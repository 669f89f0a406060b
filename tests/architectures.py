"""Two-layer random models of every architecture that the guide lists, and how their cells end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SHARED = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
"""What most configurations of transformers call the same."""

WIDE = 0.2
"""Spread of the random weights, in which logits are about 1: smaller ones hide what differs."""

EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
SLIDING = {"sliding_window": 64}
GPT2 = {
    "vocab_size": 257,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
FALCON = {
    "vocab_size": 257,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_hidden_size": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
MLA = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "qk_head_dim": 16,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 32,
}
LINEAR_ATTENTION = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "shared_expert_intermediate_size": 32,
}


class Remark(StrEnum):
    """A piece of a warning of cells: what adapters do not reach, or a shortcut that is off."""

    EXPERTS = "experts are not linear layers"
    MIXERS = "the mixers read other weights directly"
    NARROW = "above the smaller side of"
    FUSED = "fused projections"
    BEGINNINGS = "shared beginnings in training"
    PROMPTS = "shared prompts"
    FROZEN = "stored outputs of frozen layers"


REACHED = {
    Remark.EXPERTS: "linear layers, no routed experts",
    Remark.MIXERS: "`in_proj` of the mixers",
    Remark.NARROW: "narrow ones with a lower rank",
}
"""Remarks about what adapters reach, as the guide puts them; the others are shortcuts."""


@dataclass(frozen=True)
class Architecture:
    """An architecture and what its cells are to say.

    Attributes:
        name: As the guide writes it.
        config: Name of its configuration class in transformers.
        options: What differs from `SHARED`.
        alone: Whether `options` are everything.
        refused: Method -> a piece of the reason why its cell is refused; all others end as done.
        remarks: What the warnings of `lora` say; `FROZEN` is in those of `freeze` alone.
        reached: What adapters reach, if it is neither everything nor told by a remark.
    """

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    alone: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    reached: str = ""

    def model(self) -> Any:
        """Return the model with random weights, or None if transformers lacks the architecture."""
        import torch
        import transformers

        kind = getattr(transformers, self.config, None)
        if kind is None:
            return None
        torch.manual_seed(0)
        config = kind(**self.options) if self.alone else kind(**{**SHARED, **self.options})
        config.get_text_config().initializer_range = WIDE
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def _text_with_images(layers: int) -> dict[str, Any]:
    text = {**SHARED, **SLIDING}
    vision = {**VISION, "num_hidden_layers": layers}
    return {"text_config": text, "vision_config": vision, "mm_tokens_per_image": 1}


GEMMA4 = {
    **SLIDING,
    "layer_types": ["sliding_attention", "full_attention"],
    "vocab_size_per_layer_input": 257,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "global_head_dim": 8,
}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
SHARED_EXPERT = {**EXPERTS, "shared_expert_intermediate_size": 32}
PROJECTED = {"ffn_dim": 64, "word_embed_proj_dim": 24, "do_layer_norm_before": False}
STATE_SPACE = {"state_size": 8, "time_step_rank": 4}
TEXT = "linear layers of the text decoder"

NARROW, FUSED, FROZEN = Remark.NARROW, Remark.FUSED, Remark.FROZEN
BEGINNINGS, PROMPTS = Remark.BEGINNINGS, Remark.PROMPTS

ARCHITECTURES = (
    Architecture("Llama, tied", "LlamaConfig", {"tie_word_embeddings": True}),
    Architecture("Llama, untied", "LlamaConfig", {"tie_word_embeddings": False}),
    Architecture("Qwen2", "Qwen2Config"),
    Architecture("Qwen3", "Qwen3Config"),
    Architecture("Gemma 2", "Gemma2Config", SLIDING),
    Architecture("Gemma 3, text", "Gemma3TextConfig", SLIDING),
    Architecture("Gemma 4, text", "Gemma4TextConfig", GEMMA4, remarks=(NARROW,)),
    Architecture("Mistral", "MistralConfig"),
    Architecture("OLMo 2", "Olmo2Config"),
    Architecture("Granite", "GraniteConfig"),
    Architecture("SmolLM3", "SmolLM3Config"),
    Architecture("Phi", "PhiConfig"),
    Architecture("Phi-3", "Phi3Config"),
    Architecture("GPT-NeoX", "GPTNeoXConfig"),
    Architecture("Falcon", "FalconConfig", FALCON, alone=True),
    Architecture("BLOOM", "BloomConfig", {"n_head": 4, "n_layer": 2}, remarks=(BEGINNINGS,)),
    Architecture(
        "OPT",
        "OPTConfig",
        {"ffn_dim": 64, "word_embed_proj_dim": 32},
        remarks=(BEGINNINGS, FROZEN),
    ),
    Architecture(
        "OPT with projected embeddings", "OPTConfig", PROJECTED, remarks=(BEGINNINGS, FROZEN)
    ),
    Architecture("GPT-2", "GPT2Config", GPT2, alone=True, remarks=(FUSED, BEGINNINGS, FROZEN)),
    Architecture("Mixtral", "MixtralConfig", LOCAL, remarks=(Remark.EXPERTS,)),
    Architecture("Qwen3-MoE", "Qwen3MoeConfig", EXPERTS, remarks=(Remark.EXPERTS,)),
    Architecture("gpt-oss", "GptOssConfig", {**SLIDING, **LOCAL}, remarks=(Remark.EXPERTS,)),
    Architecture("Qwen2-MoE", "Qwen2MoeConfig", SHARED_EXPERT, remarks=(Remark.EXPERTS, NARROW)),
    Architecture(
        "Qwen3-Next",
        "Qwen3NextConfig",
        {**EXPERTS, **LINEAR_ATTENTION},
        remarks=(Remark.EXPERTS, NARROW, BEGINNINGS, PROMPTS),
    ),
    Architecture("DeepSeek-V3", "DeepseekV3Config", MLA, remarks=(Remark.EXPERTS,)),
    Architecture(
        "Gemma 3 with vision", "Gemma3Config", _text_with_images(3), alone=True, reached=TEXT
    ),
    Architecture(
        "Gemma 3 with vision as deep",
        "Gemma3Config",
        _text_with_images(2),
        alone=True,
        reached=TEXT,
    ),
    Architecture("Mamba", "MambaConfig", STATE_SPACE, remarks=(Remark.MIXERS, BEGINNINGS, PROMPTS)),
)
BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES}
METHODS = ("lora", "corda", "freeze", "dora", "pissa", "full")


def table() -> str:
    """Return the table of the guide: architectures that end alike share a row."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in ARCHITECTURES:
        refused = [f"{method} refused: {why}" for method, why in one.refused.items()]
        off = [remark.value for remark in one.remarks if remark not in REACHED]
        key = ("; ".join(refused) or "all done", _reached(one), ", ".join(off) or "none")
        alike.setdefault(key, []).append(one.name)
    head = ("architectures", "cells", "adapters train", "shortcuts that are off")
    rows = [head, ["---"] * len(head), *(["; ".join(alike[key]), *key] for key in alike)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _reached(one: Architecture) -> str:
    told = [REACHED[remark] for remark in one.remarks if remark in REACHED]
    whole = {Remark.EXPERTS, Remark.MIXERS}.isdisjoint(one.remarks)
    return ", ".join([one.reached or "all linear layers"] * whole + told)
