"""Which modules are targets, on architectures that store their layers and weights differently."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from methods.parts import ADAPTERS
from methods.peft_adapter import lora_layers
from methods.reach import reach_notes, reached_share
from methods.recipe import parse_recipe
from methods.targets import (
    Modules,
    decoder_layers,
    layer_prefixes,
    linear_names,
    sides_of,
    targets_of,
    text_parameters,
    weight_of,
)
from tasks.errors import UsageError
from tests.architectures import ARCHITECTURES, BY_NAME


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
    assert linear.weight.shape == (32, 128)


def test_unknown_layer_is_one_line(tiny_base):
    with pytest.raises(UsageError, match="no decoder layer 2: the model has 0 to 1"):
        linear_names(tiny_base.model, (2,))


ADAPTED = ["lora", "dora", "pissa", "milora", "eva", "corda", "mica", "astra", "lora_ga"]


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_on_conv1d(name, gpt2, cases, tmp_path):
    from copy import deepcopy

    from peft import PeftModel

    cell = cases.attach(gpt2, ADAPTERS[name](r=4))
    assert torch.allclose(cell.logits(), cases.logits_of(gpt2.model), atol=1e-4)
    cell.train()
    loaded = PeftModel.from_pretrained(deepcopy(gpt2.model), str(cell.save(tmp_path / "a")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["Gemma 3 with vision", "Gemma 3 with vision as deep"])
def test_a_vision_tower_is_neither_trained_nor_counted(name):
    from transformers import Gemma3ForCausalLM

    model = BY_NAME[name].model()
    alone = Gemma3ForCausalLM(model.config.text_config)
    text = "model.language_model."
    assert decoder_layers(model)[0] == f"{text}layers"
    assert layer_prefixes(model, None) == (text, "lm_head.")
    assert layer_prefixes(model, (1,)) == (f"{text}layers.1.",)
    assert linear_names(model) == [n.replace("model.", text, 1) for n in linear_names(alone)]
    assert text_parameters(model) == sum(p.numel() for p in alone.parameters())


def test_of_a_text_model_every_weight_counts_once(tiny_base):
    model = tiny_base.model
    assert layer_prefixes(model, None) == ("",)
    assert text_parameters(model) == sum(p.numel() for p in model.parameters())


def test_a_file_that_names_its_targets_leaves_the_vision_tower_alone(cases, tiny_base, tmp_path):
    path = tmp_path / "adapter_config.json"
    path.write_text('{"peft_type": "LORA", "target_modules": ["q_proj", "fc1"], "r": 2}')
    model = BY_NAME["Gemma 3 with vision"].model().requires_grad_(False)
    base = type(tiny_base)("gemma", "random", model, tiny_base.tokenizer)
    cell = cases.attach(base, ADAPTERS["peft"](path=str(path)))
    trained = [n for n, p in cell.model.named_parameters() if p.requires_grad]
    assert trained
    assert all(".language_model." in name and ".q_proj." in name for name in trained)


def test_layers_whose_weights_are_read_directly_are_no_targets():
    model = BY_NAME["Mamba"].model()
    assert linear_names(model) == [f"backbone.layers.{n}.mixer.in_proj" for n in (0, 1)]
    mixer = model.backbone.layers[0].mixer
    called = []
    for name, layer in mixer.named_children():
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    model.train()(input_ids=torch.ones(1, 4, dtype=torch.long), use_cache=False)
    assert "in_proj" in called
    assert "dt_proj" not in called, "then it could be a target"


@pytest.mark.parametrize("name", ["Qwen3-Next", "DeepSeek-V3"])
def test_shared_experts_are_not_taken_for_the_others(name, cases, tiny_base, tmp_path):
    from copy import deepcopy

    from peft import PeftModel

    model = BY_NAME[name].model().requires_grad_(False)
    base = type(tiny_base)("moe", "random", model, tiny_base.tokenizer)
    cell = cases.attach(base, ADAPTERS["lora"](r=1))
    assert sorted(cell.model.targeted_module_names) == sorted(linear_names(model))
    assert not cell.model.targeted_parameter_names
    cell.train()
    loaded = PeftModel.from_pretrained(deepcopy(model), str(cell.save(tmp_path / "a")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("name", "missed"),
    [("Mixtral", "experts"), ("Mamba", "the mixers"), ("Llama, tied", "")],
)
def test_the_share_of_weights_that_adapters_reach(name, missed):
    model = BY_NAME[name].model()
    share, why = reached_share(model)
    assert why.startswith(missed)
    layers = decoder_layers(model)[1]
    inside = sum(p.numel() for p in layers.parameters() if p.dim() > 1)
    linear = sum(model.get_submodule(n).weight.numel() for n in linear_names(model))
    assert share == pytest.approx(linear / inside)
    assert (share == 1) == (not missed)


def test_adapters_are_told_what_they_miss_and_full_misses_nothing(cases, tiny_base):
    model = BY_NAME["Mixtral"].model().requires_grad_(False)
    base = type(tiny_base)("moe", "random", model, tiny_base.tokenizer)
    lora = cases.attach(base, ADAPTERS["lora"](r=2)).model
    [note] = reach_notes(model, None, lora)
    assert note.reached == reached_share(model)[0] < 0.2
    assert f"{note.reached:.0%}" in note.warnings[0]
    full = cases.attach(base, ADAPTERS["full"]()).model
    dense = cases.attach(tiny_base, ADAPTERS["lora"](r=2)).model
    assert reach_notes(model, None, full) == reach_notes(tiny_base.model, None, dense) == ()


HAVE = {
    "Mixtral": {"attn"},
    "Qwen3-MoE": {"attn"},
    "gpt-oss": {"attn"},
    "Qwen3-Next": {"attn"},
    "DeepSeek-V3": {"attn"},
    "Mamba": set(),
}
"""What adapters reach where not all of attention, feed-forward layers and their halves."""


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)
def test_modules_divide_the_linear_layers_of_an_architecture(architecture):
    model = architecture.model()
    if model is None:
        pytest.skip("this transformers lacks it")
    have = HAVE.get(architecture.name, {"attn", "mlp", "up", "down"})
    found = {}
    for modules in Modules:
        if modules is Modules.ALL or modules in have:
            found[modules] = targets_of(model, None, modules)
        else:
            with pytest.raises(UsageError, match=f"modules={modules}: .* it has all") as raised:
                targets_of(model, None, modules)
            assert "\n" not in str(raised.value)
    assert [*found[Modules.ALL]] == linear_names(model)
    attn, mlp = ({*found.get(kind, ())} for kind in (Modules.ATTN, Modules.MLP))
    up, down = ({*found.get(kind, ())} for kind in (Modules.UP, Modules.DOWN))
    assert not attn & mlp
    assert (up | down, up & down) == (mlp, set())
    text = model.config.get_text_config()
    for name in attn:
        assert "att" in name
    for name in up:
        assert sides_of(model.get_submodule(name))[1] == text.hidden_size
    for name in down:
        assert sides_of(model.get_submodule(name))[0] == text.hidden_size
    if len(have) == 4:
        inside = {name for layer in (0, 1) for name in linear_names(model, (layer,))}
        # Gemma 4 has projections of its own beside both, Qwen2-MoE a gate of one row.
        others = {name for name in inside if "per_layer" in name or "expert_gate" in name}
        assert inside - attn - mlp == others
        last = targets_of(model, (1,), Modules.ATTN)
        assert last
        assert {*last} == {name for name in attn if ".1." in name}


def test_llama_by_hand(tiny_base):
    def named(modules):
        return {name.rpartition(".")[2] for name in targets_of(tiny_base.model, None, modules)}

    assert named(Modules.ATTN) == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert named(Modules.UP) == {"gate_proj", "up_proj"}
    assert named(Modules.DOWN) == {"down_proj"}


ADAPTERS_BY_MODULES = ("lora", "dora", "pissa", "corda[samples=4]", "eva[rho=1]", "olora", "milora")
ADAPTERS_BY_MODULES += ("lora_ga", "lora_one", "keep_lora", "kasa", "astra", "mica", "oplora[k=4]")


@pytest.mark.parametrize("method", ADAPTERS_BY_MODULES)
@pytest.mark.parametrize(("modules", "layers"), [("attn", None), ("down", (1,))])
def test_an_adapter_is_attached_to_the_chosen_modules_alone(
    method, modules, layers, cases, tiny_base
):
    recipe = parse_recipe(method).with_parameters({"modules": modules, "r": "2"})
    cell = cases.attach(tiny_base, recipe.adapter, layers)
    names = [name for name, _ in lora_layers(cell.model)]
    assert len(names) == (8 if modules == "attn" else 1)
    assert all(
        (".self_attn." if modules == "attn" else "layers.1.mlp.down_proj") in n for n in names
    )
    difference = (cell.logits() - cases.logits_of(tiny_base.model)).abs().max()
    assert difference < 1e-4 or not cell.adapter.starts_as_base


def test_the_default_of_modules_is_not_part_of_full_names_which_identify_cells():
    plain, named = parse_recipe("lora"), parse_recipe("lora[modules=all]")
    assert plain == named
    assert plain.full_name == "lora[alpha=none,dropout=0.0,r=16]"
    chosen = parse_recipe("corda[modules=attn,r=4]")
    assert "modules=attn" in chosen.full_name
    assert chosen.name == "corda[modules=attn,r=4]"
    assert parse_recipe(chosen.full_name) == chosen
    with pytest.raises(UsageError, match="modules must be one of all, attn, mlp, up, down"):
        parse_recipe("lora[modules=head]")
