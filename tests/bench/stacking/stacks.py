"""Models with adapters, and stacks of them, for the tests of this folder."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model

from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from tests.conftest import byte_tokenizer


def base_of(model):
    """A resident base around a random model."""
    return Base("tiny", "random-0", model.eval().requires_grad_(False), byte_tokenizer())


def adapted(base, seed=0, *, spread=0.0, r=4, **options):
    """A base with an adapter; with a spread, B and m are not what they start at."""
    torch.manual_seed(seed)
    options = {"lora_alpha": 6, "target_modules": "all-linear", **options}
    loan = borrow(base)
    model = get_peft_model(loan.model, LoraConfig(r=r, task_type="CAUSAL_LM", **options)).eval()
    loan.settle()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if spread and "lora_B" in name:
                parameter.normal_(std=spread)
            if spread and "magnitude" in name:
                parameter.mul_(1 + spread * torch.rand(parameter.shape))
    return model


def tiny_gpt2():
    """Two layers with Conv1D and biases."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 257, "n_positions": 256}
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**sizes, **drops))


def tiny_gemma():
    """Two layers with scaled embeddings, capped logits and norms on both sides."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    return Gemma2ForCausalLM(Gemma2Config(**_sizes(), head_dim=8, query_pre_attn_scalar=8))


def tiny_experts():
    """Two layers whose experts see the tokens of all rows mixed."""
    from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

    torch.manual_seed(0)
    experts = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**_sizes(), **experts, num_experts=4))


def _sizes():
    return {
        "vocab_size": 257,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
    }
