"""Every adapter shipped: invariants at init, while training, and after saving."""

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from methods.notes import stored
from methods.parts import ADAPTERS
from tasks.errors import UsageError
from tasks.notation import build_part, parse_part

LORA_FAMILY = ["lora", "rslora", "dora", "pissa", "milora", "olora", "eva"]
LORA_FAMILY += ["corda", "corda[mode=ipm]"]
LORA_FAMILY += ["astra", "astra[mode=kpm]", "sc_lora", "mica", "oplora[k=4]", "corda_pp"]
PROJECTED = ["astra", "sc_lora", "lora_null", "mica", "oplora[k=4]"]
LORA_FAMILY += [f"lora_null[variant={variant}]" for variant in ("v1", "v2", "zero")]
LORA_FAMILY += ["lora_ga", "lora_ga[form=paper]", "lora_one", "keep_lora[principal=8]", "kasa"]
LORA_FAMILY += ["eva[rho=1]"]
FROZEN = {"mica": "lora_B", "lora_null[variant=v2]": "lora_A", "keep_lora[principal=8]": "lora_A"}
WRITTEN = ["full", "osf", *LORA_FAMILY, "pissa[r=4,alpha=2]", "corda[precision=reference,r=4]"]


def part(written):
    name, parameters = parse_part(written)
    small = {} if name in ("full", "osf") or "r" in parameters else {"r": "8"}
    return build_part(ADAPTERS[name], name, {**small, **parameters})


@pytest.fixture(params=WRITTEN)
def cell(request, cases, tiny_base):
    cell = cases.attach(tiny_base, part(request.param))
    cell.written = request.param
    return cell


def test_start_is_an_identity_or_says_that_it_is_none(cell, cases):
    difference = (cell.logits() - cases.logits_of(cell.base.model)).abs().max()
    assert (difference < 1e-4) == cell.adapter.starts_as_base


def test_base_stays_bit_identical(cell, make_tiny):
    cell.train()
    pristine = make_tiny().state_dict()
    now = cell.base.model.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in pristine.items())
    assert not any(p.requires_grad for p in cell.base.model.parameters())


def test_training_changes_only_what_requires_gradients(cell):
    before = {name: p.detach().clone() for name, p in cell.model.named_parameters()}
    cell.train()
    for name, parameter in cell.model.named_parameters():
        assert parameter.requires_grad == (not torch.equal(parameter, before[name])), name
        if "full" not in type(cell.adapter).__name__.lower():
            kept = FROZEN.get(cell.written, "no factor")
            adapted = "lora_" in name or "osf_svd" in name
            assert parameter.requires_grad == (adapted and kept not in name)


def test_saved_adapter_answers_alike_on_the_untouched_base(cell, cases, make_tiny, tmp_path):
    start = cell.logits()
    cell.train()
    trained, folder = cell.logits(), cell.save(tmp_path / "adapter")
    assert (trained - start).abs().max() > 1e-2, "the adapter must have learned something"
    if (folder / "adapter_config.json").exists():
        loaded = PeftModel.from_pretrained(make_tiny(), str(folder))
        assert loaded.peft_config["default"].base_model_name_or_path == "org/tiny"
    else:
        loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert (cases.logits_of(loaded) - trained).abs().max() < 1e-4


@pytest.mark.parametrize("written", WRITTEN)
def test_chosen_layers_alone_are_trained(written, cases, tiny_base):
    cell = cases.attach(tiny_base, part(written), layers=(1,))
    trained = [name for name, p in cell.model.named_parameters() if p.requires_grad]
    assert trained
    assert all("layers.1." in name for name in trained)


@pytest.mark.parametrize("written", LORA_FAMILY)
def test_every_linear_layer_but_the_head_is_a_target(written, cases, tiny_base):
    cell = cases.attach(tiny_base, part(written))
    names = [name for name, _ in cell.model.named_parameters()]
    adapted = len([name for name in names if "lora_A" in name])
    assert adapted == 2 * 7 or (written == "eva" and adapted <= 2 * 7)
    assert not any("lm_head" in name and "lora" in name for name in names)


def test_scales(cases, tiny_base):
    for written, scale in [
        ("lora[r=4]", 1.0),
        ("lora[r=4,alpha=8]", 2.0),
        ("rslora[r=4,alpha=8]", 4.0),
        ("dora[r=4,alpha=2]", 0.5),
    ]:
        layer = cases.attach(tiny_base, part(written)).model.get_submodule(
            "base_model.model.model.layers.0.mlp.up_proj"
        )
        assert layer.scaling["default"] == scale


def test_dora_keeps_the_norm_of_each_row(cases, tiny_base):
    cell = cases.attach(tiny_base, part("dora[r=4]"))
    layer = cell.model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    magnitude = layer.lora_magnitude_vector["default"].weight
    assert torch.allclose(magnitude, layer.base_layer.weight.norm(dim=1))


def test_bfloat16_base_trains_float32_and_saves_its_own_dtype(cases, tiny_base, tmp_path):
    tiny_base.model.bfloat16()
    several = ["lora", "pissa", "corda", "eva", "lora_ga", "lora_one", "keep_lora[r=4]", "kasa"]
    several += ["sc_lora", "mica", "oplora[k=4]"]
    for written in ["full", "osf", *several]:
        cell = cases.attach(tiny_base, part(written))
        trained = [p for p in cell.model.parameters() if p.requires_grad]
        assert {p.dtype for p in trained} == {torch.float32}
        difference = (cell.logits() - cases.logits_of(tiny_base.model)).abs().max()
        assert difference < 0.02 or not cell.adapter.starts_as_base
        cell.train()
        folder = cell.save(tmp_path / written)
        if written == "full":
            assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16
    assert {p.dtype for p in tiny_base.model.parameters()} == {torch.bfloat16}


def test_no_local_path_is_saved(cases, tiny_base, tmp_path):
    tiny_base.model.name_or_path = tiny_base.model.config._name_or_path = "/somewhere/local"
    for written in ["full", "lora", "pissa"]:
        folder = cases.attach(tiny_base, part(written)).save(tmp_path / written)
        for file in folder.iterdir():
            assert b"/somewhere/local" not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("lora[r=0]", "r=0"),
        ("lora[alpha=-1]", "alpha=-1"),
        ("dora[dropout=1]", "dropout=1"),
        ("corda[samples=0]", "samples=0"),
        ("corda[pack=-1]", "pack=-1.*0 for one text"),
        ("corda[calibration=countrys]", "countrys"),
        ("astra[samples=0]", "samples=0"),
        ("sc_lora[beta=1.5]", "beta=1.5"),
        ("sc_lora[calibration=train]", "calibration=train.*other facts"),
        ("oplora[k=0]", "k=0"),
        ("corda_pp[candidates=0]", "candidates=0"),
        ("corda_pp[rho=0.5]", "rho=0.5"),
        ("keep_lora[principal=0]", "principal=0"),
        ("kasa[beta=-1]", "beta=-1"),
    ],
)
def test_values_that_never_work_are_refused_before_a_model(written, said):
    with pytest.raises(UsageError, match=said):
        part(written).check()


OF_ANY_RANK = [
    "lora",
    "rslora",
    "dora",
    "pissa",
    "milora",
    "olora",
    "corda",
    "eva[rho=1]",
    "lora_ga",
]


@pytest.mark.parametrize("written", [*OF_ANY_RANK, *PROJECTED])
def test_a_rank_above_the_smaller_side_of_a_target_is_that_side_there(
    written, cases, tiny_base, make_tiny, tmp_path
):
    name, given = parse_part(written)
    cell = cases.attach(
        tiny_base, build_part(ADAPTERS[name], name, {"r": "17", "alpha": "34", **given})
    )
    ranks = {}
    for name, _ in tiny_base.model.named_modules():
        if name.endswith("_proj"):
            layer = cell.model.get_submodule(f"base_model.model.{name}")
            ranks[name.rsplit(".")[-1]] = len(layer.lora_A["default"].weight)
            assert layer.scaling["default"] == pytest.approx(cell.adapter.scale), name
    assert ranks.pop("k_proj") == ranks.pop("v_proj") == 16
    assert set(ranks.values()) == {17}
    assert (cell.logits() - cases.logits_of(tiny_base.model)).abs().max() < 1e-4
    warnings = [
        line for one in cell.adapter.notes(cell.model, cell.prepared) for line in one.warnings
    ]
    [line] = [line for line in warnings if "smaller side" in line]
    assert "k_proj" in line
    assert "3 more" in line
    cell.train()
    loaded = PeftModel.from_pretrained(make_tiny(), str(cell.save(tmp_path / "adapter")))
    assert (cases.logits_of(loaded) - cell.logits()).abs().max() < 1e-4


def test_corda_says_what_it_calibrates_on(cases, tiny_base):
    assert part("corda").calibration_tasks(["countries"]) == ("countries",)
    assert part("corda").calibration_tasks([]) == ("elements",)
    assert part("corda[mode=ipm]").calibration_tasks(["countries"]) == ()
    assert part("corda[calibration=train]").calibration_tasks(["countries"]) == ()
    assert part("corda[mode=ipm,calibration=elements]").calibration_tasks([]) == ("elements",)
    with pytest.raises(UsageError, match="no facts to calibrate on"):
        cases.attach(tiny_base, part("corda"), calibration=())


def test_corda_notes_tokens_and_conditions(cases, tiny_base):
    cell = cases.attach(tiny_base, part("corda"), calibration=cases.facts[:1])
    told = cell.adapter.notes(cell.model, cell.prepared)
    notes = stored(told)
    assert notes["calibration_samples"] == 1
    assert len(notes["condition"]) == 14
    assert notes["condition_largest"] == max(notes["condition"].values())
    assert ["low-rank" in line for one in told for line in one.warnings] == [True]
    enough = cases.attach(tiny_base, part("corda"))
    assert not any(one.warnings for one in enough.adapter.notes(enough.model, enough.prepared))


def test_corda_notes_in_which_samples_it_calibrated(cases, tiny_base):
    tokens = {}
    for pack, samples, marked in ((2048, 1, False), (100, 9, False), (0, 12, True)):
        cell = cases.attach(tiny_base, part(f"corda[pack={pack}]"))
        found = cell.adapter.notes(cell.model, cell.prepared)
        notes = stored(found)
        assert notes["calibration_samples"] == samples
        assert notes["calibration_window"] == min(pack, 1024), "1024: the model's context"
        tokens[pack] = notes["calibration_tokens"]
        told = [one for each in found for one in each.told(24, None) if one.label == "calibration"]
        assert [f"{tokens[pack]:,} tokens in {samples} " in one.text for one in told] == [True]
        assert [("variant" in one.mark, "variant" in one.text) for one in told] == [(marked,) * 2]
    assert tokens[2048] == tokens[100] == tokens[0] + 11, "the texts are joined by newlines"


def test_windows_make_a_smaller_against_b(cases, tiny_base):
    """B A does not depend on the scale of C, |A| / |B| does: it falls as C grows."""
    balance = {}
    for pack in (0, 2048):
        cell = cases.attach(tiny_base, part(f"corda[pack={pack}]"))
        balance[pack] = stored(cell.adapter.notes(cell.model, cell.prepared))["balance_median"]
        starts = cell.prepared.factors.values()
        ratios = sorted(float(start.A.norm() / start.B.norm()) for start in starts)
        assert ratios[0] <= balance[pack] <= ratios[-1]
    assert 6 < balance[0] / balance[2048] < 24, "twelve texts are one window"


def test_corda_calibration_data_matter(cases, tiny_base):
    ours = cases.attach(tiny_base, part("corda"), calibration=cases.facts[:2])
    other = cases.attach(tiny_base, part("corda"), calibration=cases.facts[5:7])
    name = "model.layers.1.mlp.down_proj"
    pair = [cell.prepared.factors[name] for cell in (ours, other)]
    assert not torch.allclose(pair[0].B @ pair[0].A, pair[1].B @ pair[1].A, atol=1e-4)
