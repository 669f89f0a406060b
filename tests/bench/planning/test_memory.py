"""What cells take by the formulas: small ones are counted, those of real models are bounded."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, MixtralConfig

from bench.config.types import DType
from bench.models.shape import shape_of_config
from bench.planning import memory
from bench.planning.memory import ITEM, Setup, need, stack_size
from bench.planning.memory_notes import (
    CRUDE_OVERHEAD,
    CRUDE_ROWS,
    CRUDE_WEIGHT,
    Place,
    memory_notes,
)
from methods.covariance import input_covariances
from methods.recipe import parse_recipe
from methods.targets import linear_names
from tasks.form import QUESTIONS
from tests.bench.report_cells import make_spec
from tests.methods.conftest import attach

GB = 1e9
SIZES = {
    "135m": (576, 1536, 30, 9, 3, 49152, True),
    "1b": (2048, 8192, 16, 32, 8, 128256, True),
    "3b": (3072, 8192, 28, 24, 8, 128256, True),
    "7b": (4096, 11008, 32, 32, 32, 32000, False),
    "8b": (4096, 14336, 32, 32, 8, 128256, False),
    "70b": (8192, 28672, 80, 64, 8, 128256, False),
}


def config(size):
    hidden, wide, layers, heads, grouped, vocabulary, tied = SIZES[size]
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=grouped,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
    )


@pytest.fixture(scope="module")
def shapes():
    return {size: shape_of_config(config(size)) for size in SIZES}


def setup(method="lora", dtype=DType.BFLOAT16, rows=8, tokens=memory.PLAIN_TOKENS, members=1):
    recipe = parse_recipe(method)
    return Setup(recipe.adapter, 1.0, recipe.placement is not None, dtype, rows, tokens, members)


def test_a_shape_is_that_of_the_model_and_needs_no_weights(shapes, tiny_base):
    model = tiny_base.model
    shape = shape_of_config(model.config)
    assert shape.weights == sum(parameter.numel() for parameter in model.parameters())
    assert shape.in_layers == sum(
        parameter.numel() for parameter in model.model.layers.parameters()
    )
    assert len(shape.linear) == len(linear_names(model))
    assert (shape.layers, shape.hidden, shape.wide, shape.vocabulary) == (2, 32, 64, 257)
    assert shape.cached == 2 * 2 * 2 * 8, "keys and values of two layers, two heads, eight wide"
    assert shapes["8b"].weights == 8_030_261_248
    assert shape_of_config(GPT2Config(n_layer=2)).inputs == (768, 768, 768, 3072) * 2
    assert shape_of_config(MixtralConfig(num_hidden_layers=1)).layers == 1


def test_covariances_take_what_the_measured_ones_do(tiny_base):
    batch = {"input_ids": torch.arange(24).view(2, 12), "attention_mask": torch.ones(2, 12).long()}
    measured = input_covariances(tiny_base.model, [batch]).matrices.values()
    shape = shape_of_config(tiny_base.model.config)
    assert sorted(shape.inputs) == sorted(len(matrix) for matrix in measured)
    held = sum(matrix.nbytes for matrix in measured)
    beside = 3 * 4 * memory.CALIBRATED_TOKENS * max(shape.inputs)
    assert memory.covariances(shape) == held + beside


@pytest.mark.parametrize(
    ("method", "sets"),
    [
        ("pissa", 0),
        ("oplora", 0),
        ("corda", 1),
        ("astra", 1),
        ("lora_null", 1),
        ("sc_lora", 2),
        ("corda_pp", 2),
        ("corda_pp[candidates=5]", 5),
    ],
)
def test_each_set_of_covariances_counts(method, sets, shapes):
    shape = shapes["1b"]
    plain, asked = (need(shape, setup(one)).prepare for one in ("lora", method))
    decomposed = memory.decomposition(shape)
    assert asked - plain == pytest.approx(sets * memory.covariances(shape) + decomposed)


def test_explaining_keeps_the_covariances_of_knowledge_and_of_the_task(shapes):
    plain = setup()
    more, less = (need(shapes["1b"], s) for s in (replace(plain, explains=True), plain))
    found = {high - low for high, low in zip(more, less, strict=True)}
    assert found == {2 * memory.covariances(shapes["1b"])}


def test_an_adapter_has_as_many_numbers_as_peft_makes(make_tiny):
    model = make_tiny()
    shape = shape_of_config(model.config)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=linear_names(model)))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    held = memory.adapter_state(shape, setup("lora[r=4]", DType.FLOAT32))
    assert held == 20 * trained, "itself, its gradient, two moments and its start"


def test_osf_has_as_many_numbers_as_peft_makes(tiny_base):
    cell = attach(tiny_base, parse_recipe("osf[frozen=0.25]").adapter)
    shape = shape_of_config(tiny_base.model.config)
    trained = [p for p in cell.model.parameters() if p.requires_grad and p.dim() == 2]
    held = memory.adapter_state(shape, setup("osf[frozen=0.25]", DType.FLOAT32))
    assert held == 20 * sum(p.numel() for p in trained)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.BFLOAT16])
def test_full_takes_18_to_20_bytes_a_weight(dtype, make_tiny):
    """Counted: a base, masters, gradients and moments, after a step."""
    base = make_tiny(tied=False).to(getattr(torch, dtype))
    masters = make_tiny(tied=False).float().requires_grad_(True)
    optimizer = torch.optim.AdamW(masters.parameters(), fused=True)
    masters(input_ids=torch.zeros(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = [*base.parameters(), *masters.parameters(), *(p.grad for p in masters.parameters())]
    moments = [
        state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    counted = sum(tensor.nbytes for tensor in (*held, *moments))
    shape = shape_of_config(base.config)
    copies = ITEM[dtype] * shape.weights if dtype is DType.BFLOAT16 else 0  # of autocast
    whole = ITEM[dtype] * shape.weights + memory.full_state(shape, setup("full", dtype))
    assert whole == counted + copies
    assert 18 <= whole / shape.weights <= 20


@pytest.mark.parametrize(
    ("dtype", "full"), [(DType.FLOAT32, False), (DType.FLOAT32, True), (DType.BFLOAT16, True)]
)
@pytest.mark.parametrize("sizes", [(256, 1024, 8, 2), (256, 1024, 8, 8), (256, 512, 8, 8)])
def test_activations_are_what_a_pass_saves(dtype, full, sizes):
    hidden, wide, heads, grouped = sizes
    chosen = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=wide,
        num_attention_heads=heads,
        num_key_value_heads=grouped,
        num_hidden_layers=4,
        vocab_size=300,
    )
    model = LlamaForCausalLM(chosen).to(getattr(torch, dtype)).requires_grad_(full)
    if not full:
        get_peft_model(model, LoraConfig(r=16, target_modules=linear_names(model)))
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    saved = {}  # by storage: a tensor that several steps save is there once

    def keep(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(input_ids=torch.zeros(8, 24, dtype=torch.long))
    kept = [t.untyped_storage().nbytes() for at, t in saved.items() if at not in own]
    method = "full" if full else "lora"
    expected = memory.activations(shape_of_config(chosen), setup(method, dtype))
    assert 0.75 < expected / sum(kept) < 1.33


def test_methods_at_real_sizes_take_what_cards_show(shapes):
    def peak(method, size):
        return need(shapes[size], setup(method)).peak / GB

    assert 15 < peak("lora", "8b") < 22
    assert 12 < peak("pissa", "7b") < 22, "no weights of its own"
    assert peak("corda", "7b") < peak("corda", "8b") < 60
    assert 150 < peak("full", "8b") < 175
    assert 20 < peak("full", "1b") < 30
    assert peak("full+freeze", "8b") < peak("full", "8b")
    assert peak("lora", "7b") < peak("lora_ga", "7b") < 30, "their sums lie on the CPU"
    assert peak("lora", "7b") < peak("eva", "7b") < peak("corda", "7b"), "W is left whole"
    assert peak("kasa", "7b") > peak("lora", "7b") + 10, "weights of its own"
    assert peak("osf", "1b") > 2 * peak("lora", "1b"), "half of all directions"


def test_a_quantised_base_takes_the_bits_of_its_linear_layers(shapes):
    sizes = {
        kind: memory.base(shapes["8b"], replace(setup(), quantised=kind)) / GB
        for kind in ("none", "8bit", "4bit")
    }
    assert 16 < sizes["none"] < 16.1
    assert 9 < sizes["8bit"] < 9.2
    assert 5.9 < sizes["4bit"] < 6.1


def test_what_is_not_looked_into_would_fit(shapes):
    """The bound that saves reading a configuration lies above all formulas."""
    for size, shape in shapes.items():
        for method in ("lora", "dora", "pissa", "corda", "lora_ga", "kasa", "osf", "full"):
            for dtype in (DType.FLOAT32, DType.BFLOAT16):
                for tokens in (memory.PLAIN_TOKENS, memory.LONG_TOKENS):
                    for rows in (1, 8, 64):
                        taken = need(shape, setup(method, dtype, rows, tokens)).peak
                        bound = CRUDE_WEIGHT * shape.weights * max(1, rows / CRUDE_ROWS)
                        assert taken < bound + CRUDE_OVERHEAD, (size, method, dtype, tokens, rows)


def planned(size, method="lora", dtype=DType.BFLOAT16, batch=8):
    spec = make_spec(model=size, method=method, dtype=dtype, batch_size=batch)
    data = SimpleNamespace(task=SimpleNamespace(form=QUESTIONS))
    given = {"source": size, "recipe": parse_recipe(method), "data": data}
    return SimpleNamespace(spec=spec, **given, knowledge_digest="")


@pytest.fixture
def known(shapes, monkeypatch):
    """Models whose names are sizes."""
    for module in ("memory", "memory_notes"):
        monkeypatch.setattr(f"bench.planning.{module}.model_shape", shapes.get)
    weights = {size: float(shape.weights) for size, shape in shapes.items()}
    monkeypatch.setattr("bench.planning.memory_notes.weights_of", weights.get)


def test_as_many_cells_are_stacked_as_fit(known, shapes):
    cells = [planned("1b", method) for method in ("lora", "dora", "pissa", "corda[r=32]") * 8]
    sizes = [stack_size(cells, free * GB) for free in (0, 1, 4, 16, 64, 1000)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, len(cells))
    assert len(set(sizes)) > 2
    for free, size in zip((4, 16), sizes[2:4], strict=True):
        largest = max(memory.of_member(shapes["1b"], setup(c.spec.asked)) for c in cells[:size])
        assert size * largest < free * GB
    assert stack_size(cells * 8, 1e15) == memory.MOST_STACKED
    assert stack_size([], 1e12) == 1
    assert stack_size([planned("unknown")], 1e12) == 1


def test_the_estimate_of_a_large_model_counts_what_its_method_takes(known, shapes):
    weights = float(shapes["8b"].weights)
    taken = [memory.estimate(planned("8b", m), weights) for m in ("lora", "corda", "full")]
    assert taken == sorted(taken)
    assert taken == [need(shapes["8b"], setup(m)).peak for m in ("lora", "corda", "full")]
    small = memory.estimate(planned("135m", "full"), float(shapes["135m"].weights))
    assert small == pytest.approx(20 * shapes["135m"].weights + memory.OVERHEAD)


def test_a_model_that_fits_is_no_line(known):
    cells = [planned(size, method) for size in ("135m", "1b") for method in ("lora", "corda")]
    assert not memory_notes(cells, Place("cuda:0", 80 * GB))
    assert not memory_notes([planned("135m", "full", DType.FLOAT32)], Place("here", 8 * GB))
    assert not memory_notes([planned("unknown", "full")], Place("here", GB)), "nobody can tell"


def test_what_does_not_fit_is_one_line_that_says_what_would(known, snapshot):
    card, laptop = Place("cuda:0", 80 * GB), Place("this machine", 12 * GB)
    cells = [planned("8b", "full"), planned("8b", "full"), planned("8b")]
    lines = memory_notes(cells, card)
    lines += memory_notes([planned("8b", "corda")], Place("cuda:0", 40 * GB))
    lines += memory_notes([planned("3b", "lora", DType.FLOAT32)], laptop)
    lines += memory_notes([planned("8b", "lora", batch=2048)], card)
    lines += memory_notes([planned("70b", "dora")], card)
    lines += memory_notes([planned("8b")], card, stacked=1024)
    lines += memory_notes([planned("8b")], card._replace(workers=8))
    assert [line.split()[0] for line in lines] == [
        "full",
        "corda",
        *["lora"] * 2,
        "dora",
        "lora",
        "lora",
    ]
    assert all(len(line.splitlines()) == 1 for line in lines)
    snapshot("plan", "what will not fit", "\n".join(lines))


def test_what_is_advised_fits(known, shapes):
    [line] = memory_notes([planned("8b", "lora", batch=2048)], Place("cuda:0", 80 * GB))
    rows = int(line.split("--batch-size ")[1].split()[0])
    assert need(shapes["8b"], setup(rows=rows)).peak <= 80 * GB
    assert need(shapes["8b"], setup(rows=2 * rows)).peak > 80 * GB
