"""Two-layer random models of every architecture that the guide lists, and how their cells end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
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


@dataclass(frozen=True)
class Architecture:
    """An architecture and what its cells are to say.

    Attributes:
        name: As the guide writes it.
        config: Name of its configuration class in transformers.
        options: What differs from `SHARED`.
        alone: Whether `options` are everything.
        refused: Method -> a piece of the reason why its cell is refused; all others end as done.
        notes: Pieces of the warnings that a LoRA cell has.
    """

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    alone: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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


plain = partial(Architecture)

ARCHITECTURES = (
    plain("Llama, tied", "LlamaConfig", {"tie_word_embeddings": True}),
    plain("Llama, untied", "LlamaConfig", {"tie_word_embeddings": False}),
    plain("Qwen2", "Qwen2Config"),
    plain("Qwen3", "Qwen3Config"),
    plain("Gemma 2", "Gemma2Config", SLIDING),
    plain("Gemma 3, text", "Gemma3TextConfig", SLIDING),
    plain(
        "Gemma 4, text",
        "Gemma4TextConfig",
        {
            **SLIDING,
            "layer_types": ["sliding_attention", "full_attention"],
            "vocab_size_per_layer_input": 257,
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 0,
            "global_head_dim": 8,
        },
    ),
    plain("Mistral", "MistralConfig"),
    plain("OLMo 2", "Olmo2Config"),
    plain("Granite", "GraniteConfig"),
    plain("SmolLM3", "SmolLM3Config"),
    plain("Phi", "PhiConfig"),
    plain("GPT-NeoX", "GPTNeoXConfig"),
    plain("Phi-3", "Phi3Config"),
    plain("Falcon", "FalconConfig", FALCON, alone=True),
    plain("BLOOM", "BloomConfig", {"n_head": 4, "n_layer": 2}),
    plain("OPT", "OPTConfig", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    plain(
        "OPT with projected embeddings",
        "OPTConfig",
        {"ffn_dim": 64, "word_embed_proj_dim": 24, "do_layer_norm_before": False},
    ),
    plain("GPT-2", "GPT2Config", GPT2, alone=True),
    plain("Mixtral", "MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    plain("Qwen3-MoE", "Qwen3MoeConfig", EXPERTS),
    plain("gpt-oss", "GptOssConfig", {**SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2}),
    plain("Qwen2-MoE", "Qwen2MoeConfig", {**EXPERTS, "shared_expert_intermediate_size": 32}),
    plain("Qwen3-Next", "Qwen3NextConfig", {**EXPERTS, **LINEAR_ATTENTION}),
    plain("DeepSeek-V3", "DeepseekV3Config", MLA),
    plain("Gemma 3 with vision", "Gemma3Config", _text_with_images(3), alone=True),
    plain("Gemma 3 with vision as deep", "Gemma3Config", _text_with_images(2), alone=True),
    plain("Mamba", "MambaConfig", {"state_size": 8, "time_step_rank": 4}),
)
BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES}
METHODS = ("lora", "corda", "freeze", "dora", "pissa", "full")
