"""Two-layer models of several architectures with random weights, for `byte_tokenizer`."""

from __future__ import annotations

SHAPE = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2, "head_dim": 8}


def _llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM, LlamaConfig(**GROUPED)


def _qwen3():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM, Qwen3Config(**GROUPED)


def _gemma3():
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    return Gemma3ForCausalLM, Gemma3TextConfig(**GROUPED, sliding_window=64)


def _gpt_neox():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM, GPTNeoXConfig(**SHAPE)


def _qwen3_next():
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    linear = {f"linear_{name}": 8 for name in ("key_head_dim", "value_head_dim")}
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = Qwen3NextConfig(
        **GROUPED,
        **linear,
        **heads,
        **experts,
        shared_expert_intermediate_size=16,
        layer_types=["linear_attention", "full_attention"],
    )
    return Qwen3NextForCausalLM, config


MAKERS = {
    "llama": _llama,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "gpt_neox": _gpt_neox,
    "qwen3_next": _qwen3_next,
}


def random_model(name, *, std=0.02, seed=0):
    """Return a model in float32, in evaluation mode and without gradients.

    Args:
        name: A key of `MAKERS`.
        std: Standard deviation of its matrices, which sets the scale of its logits.
        seed: Seed of its weights.
    """
    import torch

    torch.manual_seed(seed)
    kind, config = MAKERS[name]()
    model = kind(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=std)
    return model
