"""The head on chosen positions gives what the whole head gives, through any adapter."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model

from bench.inference.encoding import collate
from bench.inference.likelihood import target_logits
from bench.inference.lm_head import last_logits, logits_at
from bench.models.capabilities import takes
from bench.optimizations import Optimization, without
from tests.bench.encoded import encode
from tests.conftest import byte_tokenizer, tiny_llama

TOKENS = torch.arange(1, 41).reshape(2, 20)
CONFIGS = {
    "lora": LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
}


def adapted(kind):
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(), CONFIGS[kind]).eval()


@pytest.fixture
def head_rows():
    """A model's count of rows that its head has run on."""

    def watch(model):
        rows = []
        model.lm_head.register_forward_hook(lambda _, __, out: rows.append(out[..., 0].numel()))
        return rows

    return watch


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_the_whole_head(kind):
    model, kept = adapted(kind), torch.tensor([-7, -2, -1])
    expected = model(input_ids=TOKENS).logits
    assert torch.allclose(logits_at(model, kept, input_ids=TOKENS), expected[:, kept], atol=1e-6)
    assert torch.allclose(last_logits(model, input_ids=TOKENS), expected[:, -1], atol=1e-6)


def test_the_head_runs_where_it_is_asked_and_the_shortcut_can_be_switched_off(head_rows):
    model = tiny_llama()
    rows = head_rows(model)
    last_logits(model, input_ids=TOKENS)
    with without(Optimization.KEPT_POSITIONS):
        plain = last_logits(model, input_ids=TOKENS)
    assert rows == [2, TOKENS.numel()]
    assert torch.allclose(plain, last_logits(model, input_ids=TOKENS), atol=1e-6)


def test_a_model_without_the_option_gives_all_and_we_choose():
    inner = tiny_llama()

    class Whole(torch.nn.Module):
        def forward(self, input_ids):
            return inner(input_ids)

    assert not takes(Whole(), "logits_to_keep")
    expected = inner(TOKENS).logits[:, [-3]]
    assert torch.equal(logits_at(Whole(), torch.tensor([-3]), input_ids=TOKENS), expected)


@pytest.mark.parametrize("kind", CONFIGS)
def test_target_logits_keep_no_states_and_are_the_plain_ones(kind):
    """Keys and values are only kept where an adapter gives some of its own."""
    tokenizer, model = byte_tokenizer(), adapted(kind)
    examples = [encode(tokenizer, f"{'so ' * n}{n}?", str(n)) for n in range(3)]
    batch = collate(examples, range(3), 0)
    asked = []
    inner = model.get_base_model()
    inner.register_forward_pre_hook(
        lambda _, __, options: asked.append(options.get("use_cache")), with_kwargs=True
    )
    found = target_logits(model, batch)
    assert asked == [False if kind == "lora" else None]
    expected = model(input_ids=batch.tokens, attention_mask=batch.mask).logits[:, batch.kept]
    assert torch.allclose(found, expected, atol=1e-6)
