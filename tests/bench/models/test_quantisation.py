"""Quantised bases: which methods run on them, and what copies of them share."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.config.types import DType, Quantisation
from bench.execution.checks import check_machine, check_names
from bench.models.copy_on_write import borrow
from bench.models.device import Compute, compute_of
from bench.models.quantisation import check_quantisation, quantising
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from methods.reach import reached_share
from methods.targets import linear_names, text_parameters, weight_of
from tasks.errors import UsageError

FOUR, EIGHT = Quantisation.FOUR_BITS, Quantisation.EIGHT_BITS


class Codes:
    """What the bits of a layer mean, as bitsandbytes keeps it beside the weight."""

    def __init__(self, shape, scale):
        self.shape, self.scale = shape, scale


class Packed(nn.Linear):
    """A linear layer of 4 bits in plain PyTorch: two weights in a byte, one scale."""

    def __init__(self, linear):
        super().__init__(linear.in_features, linear.out_features, bias=False)
        W = linear.weight.data
        scale = W.abs().max() / 7
        codes = (W / scale).round().add(8).to(torch.uint8).flatten()
        packed = (codes[::2] * 16 + codes[1::2])[:, None]
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.weight.quant_state = self.quant_state = Codes(W.shape, scale)

    def forward(self, x):
        codes = torch.stack([self.weight[:, 0] // 16, self.weight[:, 0] % 16], 1)
        shape = self.quant_state.shape
        return x @ ((codes.float().flatten() - 8) * self.quant_state.scale).view(shape).T


Packed.__module__ = "bitsandbytes.nn.modules"


@pytest.fixture
def packed(tiny_base):
    """The two-layer base with packed layers."""
    model = tiny_base.model
    for name in linear_names(model):
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, Packed(model.get_submodule(name)))
    return tiny_base


def test_a_copy_shares_packed_weights_with_all_that_belongs_to_them(packed):
    loan = borrow(packed)
    names = linear_names(packed.model)
    assert len(names) == 14
    for name in names:
        own, base = loan.model.get_submodule(name), packed.model.get_submodule(name)
        assert own is not base
        assert own.weight is base.weight
        assert own.quant_state is base.quant_state
    tokens = torch.arange(9)[None] + 65
    before = packed.model(tokens).logits
    assert torch.equal(loan.model(tokens).logits, before)
    loan.settle()
    assert loan.changed() == []
    loan.model.get_submodule(names[0]).weight = nn.Parameter(torch.zeros(1), requires_grad=False)
    assert torch.equal(packed.model(tokens).logits, before)


def test_packed_weights_count_one_by_one_and_are_not_read(packed, make_tiny):
    plain = make_tiny()
    assert text_parameters(packed.model) == text_parameters(plain)
    assert reached_share(packed.model) == reached_share(plain) == (1, "")
    with pytest.raises(UsageError, match="packed: leave out --quantize"):
        weight_of(packed.model.model.layers[0].mlp.up_proj)


@pytest.fixture
def written(tmp_path):
    """Write a PEFT configuration and return its recipe."""

    def write(**values):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(values))
        return f"peft[path={path}]"

    return write


def options_of(methods, **changes):
    return build_options({"methods": methods, "device": "cpu", **changes})


@pytest.mark.parametrize("method", ["lora", "rslora", "dora+freeze", "eva", "lora+filter"])
def test_methods_that_leave_weights_alone_run_on_a_quantised_base(method):
    check_names(options_of(method, quantize="4bit"))


@pytest.mark.parametrize(
    "method",
    [
        "pissa",
        "milora",
        "olora",
        "corda[mode=ipm]",
        "full",
        "mica",
        "oplora",
        "lora_ga",
        "lora_one",
        "keep_lora",
        "kasa",
        "osf",
    ],
)
def test_methods_that_read_weights_are_refused(method):
    check_names(options_of(method))
    name = method.partition("[")[0]
    with pytest.raises(UsageError, match=f"--quantize 8bit: {name} works on plain weights"):
        check_names(options_of(f"lora,{method}", quantize="8bit"))


@pytest.mark.parametrize(
    ("values", "runs"),
    [
        ({"peft_type": "LORA"}, True),
        ({"peft_type": "LORA", "use_dora": True}, True),
        ({"peft_type": "LORA", "init_lora_weights": "gaussian"}, True),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, True),
        ({"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"}, False),
        ({"peft_type": "LORA", "init_lora_weights": "olora"}, False),
        ({"peft_type": "OFT"}, False),
        ({"peft_type": "IA3"}, False),
    ],
)
def test_of_configurations_only_plain_ones_run(values, runs, written):
    options = options_of(written(**values), quantize="4bit")
    if runs:
        check_names(options)
    else:
        with pytest.raises(UsageError, match="--quantize 4bit: peft works on plain weights only"):
            check_names(options)


def test_a_machine_that_cannot_quantise_says_so_at_once(monkeypatch):
    with pytest.raises(UsageError, match="--quantize 4bit needs a CUDA device, not cpu"):
        check_machine(options_of("lora", quantize="4bit"), Compute("cpu", DType.FLOAT32))
    monkeypatch.setattr("bench.models.quantisation.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install \"semantic-peft-bench\[quantize\]\""):
        check_quantisation(EIGHT, "cuda:0")
    check_quantisation(Quantisation.NONE, "cpu")


GPU = pytest.param(
    "cuda",
    "lora,rslora,dora,lora+last[n=1],eva",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    ],
)


@pytest.mark.parametrize("bits", [FOUR, EIGHT])
@pytest.mark.parametrize(("device", "methods"), [("cpu", "lora,rslora,lora+last[n=1],eva"), GPU])
def test_cells_on_a_quantised_base(
    bits, device, methods, make_tiny, tiny_parts, facts_file, tmp_path
):
    """On a CPU as well, where bitsandbytes runs, though the command line does not offer it.

    Not DoRA: there PEFT reads weights that bitsandbytes has laid out in another way.
    """
    pytest.importorskip("bitsandbytes")
    make_tiny(hidden=64).save_pretrained(tmp_path / "model")  # 64 weights share a scale
    tiny_parts[1].save_pretrained(tmp_path / "model")
    changes = {
        "tasks": str(facts_file),
        "models": str(tmp_path / "model"),
        "forgetting": "drift",
        "forgetting_limit": 4,
        "epochs": 2,
        "device": device,
        "dtype": "bfloat16",
        "quantize": bits,
        "out": tmp_path / "results",
    }
    options = options_of(methods, **changes)
    compute = compute_of(options)
    assert compute.quantisation is bits
    context = CellContext(options, compute, print)
    tokens = torch.arange(9, device=device)[None] + 65
    for cell in plan_grid(options, ResultsStore(options.out)):
        base = context.base(cell)
        before = base.model(tokens).logits
        assert len([m for m in base.model.modules() if "bitsandbytes" in type(m).__module__]) == 14
        record = run_cell(cell, context, Silent()).record
        assert (record.status, record.reason) == (Status.DONE, "")
        assert record.init_difference < (0.1 if "dora" in record.spec.method else 1e-6)
        assert record.provenance["quantisation"] == bits
        assert record.curve[-1].loss < record.curve[0].loss
        assert torch.equal(context.base(cell).model(tokens).logits, before)


def test_what_is_asked_of_transformers():
    assert quantising(Quantisation.NONE) == {}
    four = quantising(FOUR)["quantization_config"]
    assert (four.load_in_4bit, four.bnb_4bit_quant_type) == (True, "nf4")
    assert four.bnb_4bit_compute_dtype == torch.bfloat16
    assert quantising(EIGHT)["quantization_config"].load_in_8bit
