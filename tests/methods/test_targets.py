"""Which modules are targets, on architectures that store their layers and weights differently."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from methods.parts import ADAPTERS
from methods.targets import decoder_layers, linear_names, set_weight, weight_of
from tasks.errors import UsageError


@pytest.fixture
def gpt2(tiny_base):
    """The resident base with GPT-2's architecture, whose linear layers are `Conv1D`."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=2, n_positions=256)
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    return type(tiny_base)("gpt2", "random", model, tiny_base.tokenizer)


def test_llama(tiny_base):
    names = linear_names(tiny_base.model)
    assert len(names) == 14
    assert linear_names(tiny_base.model, (1,)) == [n for n in names if "layers.1." in n]
    assert decoder_layers(tiny_base.model)[0] == "model.layers"


def test_gpt2(gpt2):
    assert len(linear_names(gpt2.model)) == 2 * 4
    assert all(name.startswith("transformer.h.0.") for name in linear_names(gpt2.model, (0,)))
    linear = gpt2.model.transformer.h[0].mlp.c_fc
    assert weight_of(linear).shape == (128, 32)
    set_weight(linear, 2 * weight_of(linear))
    assert linear.weight.shape == (32, 128)


def test_unknown_layer_is_one_line(tiny_base):
    with pytest.raises(UsageError, match="no decoder layer 2: the model has 0 to 1"):
        linear_names(tiny_base.model, (2,))


@pytest.mark.parametrize("name", ["lora", "dora", "pissa", "milora", "eva", "corda"])
def test_adapters_on_conv1d(name, gpt2, cases, tmp_path):
    from copy import deepcopy

    from peft import PeftModel

    cell = cases.attach(gpt2, ADAPTERS[name](r=4))
    assert torch.allclose(cell.logits(), cases.logits_of(gpt2.model), atol=1e-4)
    cell.train()
    loaded = PeftModel.from_pretrained(deepcopy(gpt2.model), str(cell.save(tmp_path / "a")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4
