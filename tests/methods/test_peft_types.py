"""`peft[path=...]`: every type of the installed PEFT runs, or is refused with a reason."""

import json

import pytest
import torch
from peft import PeftModel, PeftType

from methods.parts import ADAPTERS
from methods.peft_config import OUTSIDE_LAYERS, REFUSED_INITS, REFUSED_TYPES, peft_types
from tasks.errors import UsageError

MINIMAL = {
    "ADALORA": {"init_r": 8, "target_r": 4, "tinit": 1, "tfinal": 2},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 2},
    "C3A": {"block_size": 8},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "CPT": {
        "cpt_token_ids": [65, 66, 67],
        "cpt_mask": [1, 1, 1],
        "cpt_tokens_type_mask": [1, 1, 1],
    },
    "FOURIERFT": {"n_frequency": 16},
    "MISS": {"r": 4},
    "PREFIX_TUNING": {"num_virtual_tokens": 4},
    "PROMPT_TUNING": {"num_virtual_tokens": 4},
    "PSOFT": {"r": 4},
    "P_TUNING": {"num_virtual_tokens": 4},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 2},
    "TRAINABLE_TOKENS": {"token_indices": [65, 66, 67]},
    "VBLORA": {"vector_length": 8, "num_vectors": 16},
    "WAVEFT": {"n_frequency": 16},
}
"""What a type needs beside its name on a model of width 32; nothing for the others."""

ALL = [member.value for member in PeftType]
RUNNING = [kind for kind in ALL if kind not in REFUSED_TYPES]


@pytest.fixture
def written(tmp_path):
    """Write a configuration and return the adapter that reads it."""

    def write(**values):
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps(values))
        return ADAPTERS["peft"](path=str(file))

    return write


def minimal(kind, **values):
    return {"peft_type": kind, **MINIMAL.get(kind, {}), **values}


def test_names_are_those_of_the_installed_peft():
    assert list(peft_types()) == ALL
    assert len(RUNNING) >= 25


@pytest.mark.parametrize("kind", RUNNING)
def test_type_trains_saves_and_loads(kind, written, cases, tiny_base, make_tiny, tmp_path):
    cell = cases.attach(tiny_base, written(**minimal(kind)))
    start = cell.logits()
    cell.train(steps=8, rate=3e-2)  # to the end of AdaLoRA's schedule
    trained = cell.logits()
    assert (trained - start).abs().max() > 1e-3, "it must have learned something"
    loaded = PeftModel.from_pretrained(make_tiny(), str(cell.save(tmp_path / "out")))
    assert (cases.logits_of(loaded) - trained).abs().max() < 1e-4
    assert loaded.peft_config["default"].base_model_name_or_path == "org/tiny"
    pristine = make_tiny().state_dict()
    now = tiny_base.model.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in pristine.items())


@pytest.mark.parametrize("kind", REFUSED_TYPES)
def test_type_is_refused_with_a_reason(kind, written):
    with pytest.raises(UsageError, match=f"{kind} is not supported: .+"):
        written(**minimal(kind)).check()


@pytest.mark.parametrize("kind", sorted(set(RUNNING) - OUTSIDE_LAYERS))
def test_type_takes_chosen_layers(kind, written, cases, tiny_base):
    adapter = written(**minimal(kind))
    assert adapter.per_layer
    cell = cases.attach(tiny_base, adapter, layers=(1,))
    names = [name for name, p in cell.model.named_parameters() if p.requires_grad]
    assert names
    assert not any("layers.0." in name for name in names)


@pytest.mark.parametrize("kind", sorted(OUTSIDE_LAYERS - set(REFUSED_TYPES)))
def test_type_outside_the_layers_refuses_them(kind, written, cases, tiny_base):
    adapter = written(**minimal(kind))
    assert not adapter.per_layer
    with pytest.raises(UsageError, match="no modules in decoder layers"):
        cases.attach(tiny_base, adapter, layers=(1,))


def test_written_targets_are_kept_inside_chosen_layers(written, cases, tiny_base):
    values = minimal("LORA", target_modules=["q_proj", "v_proj"], layers_to_transform=[0])
    cell = cases.attach(tiny_base, written(**values), layers=(1,))
    names = {name for name, p in cell.model.named_parameters() if p.requires_grad}
    assert len(names) == 4
    assert all("layers.1.self_attn" in name for name in names)


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "gaussian", "orthogonal"])
@pytest.mark.parametrize("rslora", [False, True])
def test_lora_initialisations_load_on_the_untouched_base(
    init, rslora, written, cases, tiny_base, make_tiny, tmp_path
):
    values = minimal("LORA", init_lora_weights=init, use_rslora=rslora, lora_alpha=4, r=4)
    values |= {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"v_proj": 6}}
    cell = cases.attach(tiny_base, written(**values))
    cell.train()
    loaded = PeftModel.from_pretrained(make_tiny(), str(cell.save(tmp_path / "out")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


@pytest.mark.parametrize("init", REFUSED_INITS)
def test_initialisation_is_refused_with_a_reason(init, written):
    with pytest.raises(UsageError, match=f"init_lora_weights={init} is not supported: .+"):
        written(**minimal("LORA", init_lora_weights=init)).check()


def test_adalora_penalty_equals_peft(written, cases, tiny_base):
    cell = cases.attach(tiny_base, written(**minimal("ADALORA", orth_reg_weight=0.3)))
    tokens = cases.tokens
    with_penalty = cell.model(input_ids=tokens, labels=tokens).loss
    plain = cell.model.base_model.model(input_ids=tokens, labels=tokens).loss
    assert torch.allclose(cell.adapter.extra_loss(cell.model), with_penalty - plain, atol=1e-5)


def test_adalora_follows_its_schedule(written, cases, tiny_base):
    cell = cases.attach(tiny_base, written(**minimal("ADALORA")), steps=8)
    cell.train(steps=8)
    config = cell.model.peft_config["default"]
    assert config.total_step == 8
    kept = sum(sum(mask) for mask in config.rank_pattern.values())
    assert kept == 14 * 4, "the budget is the target rank times the number of targets"


def test_adalora_says_how_many_steps_there_are_where_its_phases_leave_none(
    written, cases, tiny_base
):
    long = written(**minimal("ADALORA", tinit=5, tfinal=3))
    with pytest.raises(UsageError, match=r"tinit=5 and tfinal=3 leave nothing of the 8 steps"):
        cases.attach(tiny_base, long, steps=8)
    assert cases.attach(tiny_base, long, steps=9)


def test_other_types_have_no_penalty(written, cases, tiny_base):
    for kind in ["LORA", "PROMPT_TUNING"]:
        cell = cases.attach(tiny_base, written(**minimal(kind)))
        assert cell.adapter.extra_loss(cell.model) is None


def test_folder_is_read_and_its_file_named(written, tmp_path):
    file = tmp_path / "adapter_config.json"
    written(**minimal("LORA"))
    adapter = ADAPTERS["peft"](path=str(tmp_path))
    adapter.check()
    assert adapter.files() == (file,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory: give an adapter_config.json or its folder"),
        ("{", "not JSON"),
        ("[]", "no 'peft_type'"),
        ("{}", "no 'peft_type'"),
        ('{"peft_type": "LORRA"}', "unknown PEFT type 'LORRA': did you mean .*LORA"),
        ('{"peft_type": "PROMPT_TUNING"}', "needs 'num_virtual_tokens'"),
        ('{"peft_type": "ADALORA", "target_r": 12}', "target_r below init_r"),
    ],
)
def test_bad_file_is_one_line(content, said, tmp_path):
    file = tmp_path / "adapter_config.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=said) as error:
        ADAPTERS["peft"](path=str(file)).check()
    assert "\n" not in str(error.value)


def test_what_peft_refuses_is_one_line(written, cases, tiny_base):
    with pytest.raises(UsageError, match="PEFT refuses: ") as error:
        cases.attach(tiny_base, written(peft_type="FOURIERFT", n_frequency=10**6))
    assert "\n" not in str(error.value)


def test_unknown_keys_are_ignored_with_a_warning_as_by_peft(written, cases, tiny_base):
    values = minimal("LORA", target_modules=["q_proj"], r=4)
    plain = cases.attach(tiny_base, written(**values))
    assert [note.warnings for note in plain.adapter.notes(plain.model, None)] == [()]
    start = plain.logits()
    newer = written(**values, lora_alfa=99, of_a_later_release={"deep": [1]})
    newer.check()
    cell = cases.attach(tiny_base, newer)
    assert torch.equal(cell.logits(), start)
    [note] = newer.notes(cell.model, None)
    first, second = note.warnings
    assert "LORA has no 'lora_alfa'" in first
    assert "lora_alpha" in first
    assert "has no 'of_a_later_release'" in second
    assert not any("\n" in line for line in note.warnings)


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"])
def test_a_prompt_made_for_another_model_fits_this_one(kind, written, cases, tiny_base):
    made_for = {"token_dim": 3072, "num_layers": 28, "num_attention_heads": 24}
    other = cases.attach(tiny_base, written(**minimal(kind, **made_for)))
    plain = cases.attach(tiny_base, written(**minimal(kind)))
    shapes = [[p.shape for p in cell.model.parameters()] for cell in (other, plain)]
    assert shapes[0] == shapes[1]
    other.train()
