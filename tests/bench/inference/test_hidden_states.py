"""States at the answer positions, and how far they are from the tokens to predict."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from bench.evaluation.signals import BaseSignals
from bench.inference.encoding import collate
from bench.inference.hidden_states import answer_states, fact_deviations, latent_states
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt
from tests.bench.encoded import encode

PAIRS = [("Question: where?\nAnswer:", "in bed"), ("Question: who is it?\nAnswer:", "me")]


def tiny_gpt2():
    """A second architecture: another name for the final norm, absolute positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=257, n_embd=32, n_layer=3, n_head=4, n_positions=256, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval().requires_grad_(False)


@pytest.fixture(params=["llama", "gpt2"])
def base(request, tiny_base):
    if request.param == "llama":
        norm = tiny_base.model.model.norm
        norm.weight.data = torch.linspace(0.5, 2, 32)  # so that norming twice would show
        return tiny_base
    return Base("gpt2", "random", tiny_gpt2(), tiny_base.tokenizer)


def examples_of(base):
    return [encode(base.tokenizer, prompt, answer) for prompt, answer in PAIRS]


def test_the_final_norm_is_found_and_applied_once(base):
    examples = examples_of(base)
    batch = collate(examples, [1, 0], base.tokenizer.pad_token_id)
    states = answer_states(base.model, batch)
    plain = latent_states(base.model, batch)
    final = base.model.model.norm if "llama" in str(type(base.model)).lower() else None
    final = final or base.model.transformer.ln_f
    assert states.final_norm is final
    targets = [examples[row].tokens[examples[row].start :] for row in (1, 0)]
    assert states.tokens.tolist() == [token for target in targets for token in target]
    assert len(states.raw) == len(plain) == base.model.config.num_hidden_layers + 1
    for row, index in enumerate([1, 0]):
        example, here = examples[index], states.rows == row
        at = slice(example.start - 1, len(example.tokens) - 1)
        assert torch.equal(states.raw[0, here], plain[0][row, at])
        assert torch.equal(states.raw[1, here], plain[1][row, at])
        # transformers norms the last hidden state only
        assert torch.equal(states.normed("final")[-1, here], plain[-1][row, at])
        assert not torch.allclose(states.normed("raw")[-1, here], plain[-1][row, at])
        assert torch.allclose(states.normed("final")[1, here], final(plain[1][row, at]))


@pytest.mark.parametrize("norm", ["final", "raw"])
def test_deviations_are_means_over_each_facts_answer_positions(base, norm):
    examples = examples_of(base)
    head = base.model.get_output_embeddings().weight
    bases = torch.linalg.pinv(head.double().T)
    pad = base.tokenizer.pad_token_id
    found = fact_deviations(base.model, head, examples, pad, norm)
    assert found.dtype == torch.float64
    for index, example in enumerate(examples):
        alone = answer_states(base.model, collate([example], [0], pad)).normed(norm).double()
        wanted = bases[list(example.tokens[example.start :])]
        expected = 1 - torch.cosine_similarity(alone, wanted.expand_as(alone), dim=-1)
        assert torch.allclose(found[index], expected.mean(1), atol=1e-6)


@pytest.mark.parametrize("before", [True, False])
def test_where_embeddings_are_projected_deviations_lie_in_the_heads_space(before, tiny_base):
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4,
        word_embed_proj_dim=24, do_layer_norm_before=before,
    )  # fmt: skip
    model = OPTForCausalLM(config).eval().requires_grad_(False)
    examples, pad = examples_of(tiny_base), tiny_base.tokenizer.pad_token_id
    batch = collate(examples, [0, 1], pad)
    states, plain = answer_states(model, batch), latent_states(model, batch)
    decoder = model.model.decoder
    assert states.raw.shape[-1] == 32
    assert states.projection is decoder.project_out
    assert (states.final_norm is decoder.final_layer_norm) == before
    ends = [int((states.rows == row).nonzero()[-1]) for row in range(2)]
    lengths = [len(example.tokens) for example in examples]
    last = torch.stack([plain[-1][row, length - 2] for row, length in enumerate(lengths)])
    assert torch.allclose(states.normed("final")[-1, ends], last, atol=1e-6)
    head = model.get_output_embeddings().weight
    for norm in ("final", "raw"):
        assert fact_deviations(model, head, examples, pad, norm).shape == (2, 3)


def test_training_brings_the_last_space_nearer_to_the_targets(tiny_base):
    base, examples = tiny_base, examples_of(tiny_base)
    head, pad = base.model.get_output_embeddings().weight, base.tokenizer.pad_token_id
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(borrow(base).model, config)
    before = fact_deviations(model.eval(), head, examples, pad, "final")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    from bench.inference.likelihood import fact_losses, target_logits

    batch = collate(examples, [0, 1], pad)
    for _ in range(30):
        fact_losses(target_logits(model, batch), batch.labels)[0].mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = fact_deviations(model, head, examples, pad, "final")
    assert after.mean(0)[-1] < before.mean(0)[-1] - 0.05
    assert torch.allclose(after.mean(0)[0], before.mean(0)[0]), "what enters layer 1 is frozen"


def test_signals_measure_once_and_say_whether_the_head_has_a_bias(tiny_base, monkeypatch):
    facts = tuple(Fact(str(i), f"where is {i}?", ("here", "in bed")) for i in range(3))
    cache = CostCache()
    first, second = (BaseSignals(tiny_base, facts, Prompt(BUILT_IN), cache) for _ in range(2))
    measured = first.layer_deviation("final")
    assert measured.per_fact.shape == (3, 3)
    assert not measured.head_bias
    monkeypatch.setattr("bench.evaluation.signals.fact_deviations", None)
    assert second.layer_deviation("final").per_fact is measured.per_fact
    tiny_base.model.lm_head.bias = torch.nn.Parameter(torch.zeros(257))
    assert second.layer_deviation("final").head_bias
