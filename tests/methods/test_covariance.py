"""Input covariances against PEFT's own, and what masking, batching and sharing must not change."""

from dataclasses import replace
from weakref import ref

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import calib_cov_distribution
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig

from methods.adapters.corda import Corda
from methods.calibration import text_batches
from methods.covariance import covariance_bytes, input_covariances
from methods.targets import linear_layers, linear_names
from tasks.errors import UsageError


def covariances(base, texts, batch_size=16):
    model = base.model
    batches = text_batches(base.tokenizer, texts, model.device, batch_size=batch_size)
    return input_covariances(model, batches)


TEXTS = ["Question: a?\nAnswer: b\n", "short", "a rather longer text than the others " * 3, "x y"]


def test_equals_peft_fed_one_text_at_a_time(tiny_base):
    model, tokenizer = tiny_base.model, tiny_base.tokenizer
    ours = covariances(tiny_base, TEXTS, batch_size=3)

    def run_model():
        for text in TEXTS:
            model(**tokenizer(text, return_tensors="pt"))

    config = LoraConfig(target_modules=linear_names(model), corda_config=CordaConfig())
    calib_cov_distribution(model, config, run_model, None, None)
    for name, module in linear_layers(model):
        theirs = module.covariance_matrix
        assert (ours[name] - theirs).norm() / theirs.norm() < 1e-5, name


def test_batching_changes_nothing(tiny_base):
    alone = covariances(tiny_base, TEXTS, batch_size=1)
    padded = covariances(tiny_base, TEXTS, batch_size=4)
    for name, matrix in alone.matrices.items():
        assert torch.allclose(matrix, padded.matrices[name], rtol=1e-4, atol=1e-6)
    assert alone.tokens == padded.tokens
    assert set(alone.tokens.values()) == {sum(len(text) for text in TEXTS)}


def test_layers_that_share_an_input_share_a_matrix(tiny_base):
    found = covariances(tiny_base, TEXTS)
    assert len(found.matrices) == 2 * 4
    layer = "model.layers.1."
    query = found.input_of(f"{layer}self_attn.q_proj")
    assert found.input_of(f"{layer}self_attn.k_proj") == query
    assert found.input_of(f"{layer}self_attn.v_proj") == query
    assert found.input_of(f"{layer}mlp.up_proj") == found.input_of(f"{layer}mlp.gate_proj")
    assert found.input_of(f"{layer}self_attn.o_proj") != query
    assert found[f"{layer}mlp.down_proj"].shape == (64, 64)


def test_nothing_is_left_on_the_model(tiny_base):
    head = []
    handle = tiny_base.model.lm_head.register_forward_hook(lambda *_: head.append(1))
    covariances(tiny_base, TEXTS)
    handle.remove()
    assert not head, "the head is not run"
    assert not any(module._forward_pre_hooks for module in tiny_base.model.modules())


def test_too_few_tokens_are_told(tiny_base):
    few = covariances(tiny_base, ["x" * 40])
    assert few.low_rank() == ("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj")


def test_wrong_use(tiny_base):
    with pytest.raises(ValueError, match="at least one"):
        input_covariances(tiny_base.model, [])
    found = covariances(tiny_base, TEXTS)
    with pytest.raises(UsageError, match="lm_head"):
        found["lm_head"]


class Memory(TorchDispatchMode):
    """The most bytes that tensors made inside the block held at once, beside a model's weights."""

    def __init__(self, model):
        super().__init__()
        self.peak, self._made = 0, {}
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._made[id(tensor)] = ref(tensor)
        live = [tensor for made in self._made.values() if (tensor := made()) is not None]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in live}
        held = sum(size for at, size in storages.items() if at not in self._weights)
        self.peak = max(self.peak, held)
        return result


STATES = 30 * 4 * 512
"""Bytes for each token that the model itself holds within a layer, at most."""


@pytest.mark.parametrize("tokens", [4, 300])
def test_the_formula_of_its_memory_is_what_it_holds(tokens, make_tiny):
    """It counts the sums once: nothing is copied for all inputs when they are complete."""
    model = make_tiny(hidden=256, layers=3)
    widths = [256, 256, 256, 512] * 3
    batches = [{"input_ids": torch.full((1, tokens), 65), "attention_mask": torch.ones(1, tokens)}]
    with Memory(model) as memory:
        found = input_covariances(model, batches * 2)
    sums = 4 * sum(width**2 for width in widths)
    assert sum(C.nbytes for C in found.matrices.values()) == sums
    formula = covariance_bytes(widths, tokens)
    assert sums < memory.peak <= formula + STATES * tokens
    assert formula < 1.5 * sums + STATES * tokens


SQUARES = 3
"""Squares of the widest input in float64 that damping C and decomposing W C hold at once."""


@pytest.mark.parametrize("mode", ["kpm", "ipm"])
@pytest.mark.parametrize("precision", ["float64", "reference"])
def test_corda_holds_the_covariances_and_little_more(mode, precision, make_tiny, cases, tiny_base):
    model, widths = make_tiny(hidden=256, layers=10), [256, 256, 256, 512] * 10
    adapter = Corda(r=4, mode=mode, precision=precision, samples=2)
    setting = cases.attach(replace(tiny_base, model=model), adapter).setting
    with Memory(model) as memory:
        prepared = adapter.prepare(replace(setting, model=model))
    tokens = prepared.notes[-1].calibration_tokens
    limit = covariance_bytes(widths, tokens) + SQUARES * 8 * 512**2 + STATES * tokens
    twice = 2 * 4 * sum(width**2 for width in widths)
    assert twice / 2 < memory.peak < limit < twice


def test_corda_on_an_8b_shape_fits_into_60_gigabytes():
    weights = 2 * 8.03e9
    covariances = covariance_bytes([4096, 4096, 4096, 14336] * 32, tokens=2048)
    assert weights + covariances + SQUARES * 8 * 14336**2 < 60e9


def through(first, last):
    """A model of one linear layer whose input is reshaped first, and its output last."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 8, bias=False)
            self.config = LlamaConfig()

        def get_output_embeddings(self):
            return None

        @property
        def base_model(self):
            return lambda input_ids, attention_mask, use_cache: last(
                self.inner(first(table[input_ids]))
            )

    table = torch.randn(10, 8, generator=torch.Generator().manual_seed(1))
    return Layer(), table


IDS = torch.tensor([[1, 2, 3], [4, 5, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize("scaled", [False, True])
def test_moments_per_token_are_those_of_all_rows(scaled):
    """Centred too; a scaled row is one divided by the largest entry of its sample."""
    model, table = through(lambda x: x, lambda x: x)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    found = input_covariances(model, [batch], scaled=scaled)
    samples = [table[ids[mask.bool()]] for ids, mask in zip(IDS, MASK, strict=True)]
    X = torch.cat([rows / rows.max().abs() if scaled else rows for rows in samples]).double()
    assert torch.allclose(found.means["inner"].double(), X.mean(0), atol=1e-6)
    assert torch.allclose(found.per_token("inner"), X.T @ X / len(X), atol=1e-5)
    centred = torch.cov(X.T, correction=0)
    assert torch.allclose(found.per_token("inner", centred=True), centred, atol=1e-5)


@pytest.mark.parametrize(
    "reshape",
    [lambda x: x, lambda x: x.flatten(0, 1), lambda x: x[:, None], lambda x: x[:, :, None]],
    ids=["3-D", "2-D", "a head before the tokens", "a head behind them"],
)
def test_an_input_may_have_any_axes_with_one_row_for_each_token(reshape):
    model, table = through(reshape, lambda x: x)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    found = input_covariances(model, [batch], scaled=False)
    X = table[IDS[MASK.bool()]]
    assert torch.allclose(found["inner"], X.T @ X / 2, atol=1e-5)


def test_an_input_with_other_rows_is_one_line_that_names_the_layer():
    model, _ = through(lambda x: x[:, :, None].expand(-1, -1, 4, -1), lambda x: x)
    with pytest.raises(UsageError, match=r"'inner' \(2 x 3 x 4 x 8\).*\(2 x 3\)") as error:
        input_covariances(model, [{"input_ids": IDS, "attention_mask": MASK}])
    assert "\n" not in str(error.value)
