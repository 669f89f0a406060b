"""The change of a layer's weight is what it computes more than the base's, by any adapter."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from methods.calibration import text_batches
from methods.covariance import input_covariances
from methods.parts import ADAPTERS
from methods.targets import linear_layers, weight_of
from methods.two_steps.pair import join
from methods.weight_change import Change, moved_by, spectral_ends, weight_changes
from tasks.errors import UsageError
from tasks.notation import build_part, parse_part
from tasks.prompt import fact_text
from tests.conftest import tiny_llama
from tests.methods.test_peft_types import minimal

FACTORED = ["lora[r=4]", "rslora[r=4,alpha=2]", "pissa[r=4]", "milora[r=4]", "olora[r=4]"]
FACTORED += ["corda[r=4]", "eva[r=4]", "lora[r=4,modules=attn]"]
WHOLE = ["dora[r=4]", "full"]
OTHERS = ["ADALORA", "BOFT", "HRA", "IA3", "LOHA", "LOKR", "OFT", "VERA", "FOURIERFT"]
PROMPTS = ["PROMPT_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT"]


def part(written):
    name, parameters = parse_part(written)
    return build_part(ADAPTERS[name], name, parameters)


def peft_type(tmp_path, kind, **values):
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(minimal(kind, **values)))
    return ADAPTERS["peft"](path=str(file))


def trained(cases, base, adapter, **given):
    cell = cases.attach(base, adapter, **given)
    cell.train(steps=3, rate=2e-2)
    return cell


def whole_of(change):
    return change.up if change.down is None else change.up @ change.down


def check_layers(model, base, changes):
    """Each layer computes dW x more than the base's, and those without a change the same."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    for name, linear in linear_layers(base):
        x = torch.randn(3, 5, weight_of(linear).shape[1], generator=torch.manual_seed(0))
        zero, module = torch.zeros_like(x), inner.get_submodule(name)
        with torch.no_grad():  # without biases, which `full` trains too
            more = module(x) - module(zero) - (linear(x) - linear(zero))
        expected = x @ whole_of(changes[name]).T if name in changes else torch.zeros_like(more)
        assert torch.allclose(more, expected, atol=1e-5), name


@pytest.mark.parametrize("written", FACTORED + WHOLE)
def test_it_is_what_a_layer_computes_more_than_the_base(cases, tiny_base, written):
    cell = trained(cases, tiny_base, part(written))
    changes = dict(weight_changes(cell.model, tiny_base.model))
    assert any(change.squared_norm() > 1e-4 for change in changes.values())
    assert all((change.down is None) == (written in WHOLE) for change in changes.values())
    check_layers(cell.model, tiny_base.model, changes)


@pytest.mark.parametrize("kind", OTHERS)
def test_any_adapter_of_peft_that_can_be_merged_has_one(cases, tiny_base, tmp_path, kind):
    cell = trained(cases, tiny_base, peft_type(tmp_path, kind))
    before = cases.logits_of(cell.model)
    changes = dict(weight_changes(cell.model, tiny_base.model))
    assert any(change.squared_norm() > 0 for change in changes.values())
    check_layers(cell.model, tiny_base.model, changes)
    assert torch.equal(cases.logits_of(cell.model), before), "looking must leave no trace"


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_change_no_weight(cases, tiny_base, tmp_path, kind):
    cell = trained(cases, tiny_base, peft_type(tmp_path, kind))
    assert not dict(weight_changes(cell.model, tiny_base.model))


def test_an_adapter_that_cannot_be_merged_is_refused(cases, tiny_base, monkeypatch):
    cell = cases.attach(tiny_base, part("dora[r=4]"))

    def refuse(*_, **__):
        raise NotImplementedError("not mergeable")

    monkeypatch.setattr("peft.tuners.lora.Linear.merge", refuse)
    with pytest.raises(UsageError, match=r"q_proj.*not mergeable"):
        dict(weight_changes(cell.model, tiny_base.model))


def test_a_transposed_weight_changes_out_by_in(cases):
    from tests.bench.stacking.stacks import base_of, tiny_gpt2

    base = base_of(tiny_gpt2())
    for written in ("lora[r=4]", "pissa[r=4]", "dora[r=4]", "full"):
        cell = trained(cases, base, part(written))
        check_layers(cell.model, base.model, dict(weight_changes(cell.model, base.model)))


def test_only_chosen_layers_change(cases, tiny_base):
    for written in ("lora[r=4]", "full"):
        cell = trained(cases, tiny_base, part(written), layers=(1,))
        assert all("layers.1." in name for name, _ in weight_changes(cell.model, tiny_base.model))


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_after_a_first_step_it_is_the_change_by_both(tmp_path, tiny_base, options):
    from bench.models.copy_on_write import borrow

    def adapted(seed, **options):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules="all-linear", **options)
        return get_peft_model(borrow(tiny_base).model, config).eval()

    first = adapted(0)
    for name, parameter in first.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    first.save_pretrained(tmp_path / "first")
    second = adapted(1, **options)
    tokens = torch.arange(12)[None] + 65
    join(second, tmp_path / "first", trainable=False, probe=lambda: second(tokens).logits)
    for name, parameter in second.named_parameters():
        if "lora_B.default" in name:
            parameter.data.normal_(std=0.1)
    changes = dict(weight_changes(second, tiny_base.model))
    check_layers(second, tiny_base.model, changes)
    assert torch.linalg.matrix_rank(whole_of(changes["model.layers.0.mlp.up_proj"])) >= 8


def test_after_a_merged_first_step_it_is_the_change_by_both(cases, tiny_base):
    started = replace(tiny_base, model=tiny_llama())
    for _, linear in linear_layers(started.model):
        linear.weight.data += 0.05 * torch.randn(linear.weight.shape)
    for written in ("lora[r=4]", "pissa[r=4]", "dora[r=4]"):
        cell = trained(cases, started, part(written), layers=(1,))
        changes = dict(weight_changes(cell.model, tiny_base.model))
        assert any("layers.0." in name for name in changes)
        check_layers(cell.model, tiny_base.model, changes)


def test_in_half_precision_an_adapter_is_not_rounded(cases, tiny_base):
    half = replace(tiny_base, model=tiny_llama().bfloat16())
    adapters = [part("lora[r=4]"), part("dora[r=4]")]
    cells = [cases.attach(half, adapter) for adapter in adapters]
    for cell in cells:
        for name, parameter in cell.model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=1e-4, generator=torch.manual_seed(len(name)))
    low, dora = (dict(weight_changes(cell.model, half.model)) for cell in cells)
    for name, change in low.items():
        assert change.squared_norm() > 0
        # DoRA's own scaling moves rows by less than B A does; rounding would move them by more.
        assert (whole_of(dora[name]) - whole_of(change)).norm() < whole_of(change).norm()


# --- what is measured of a change ---


def random_change(seed=0, rank=3, sides=(12, 10)):
    draws = torch.Generator().manual_seed(seed)
    up = torch.randn(sides[0], rank, generator=draws)
    return Change(up, torch.randn(rank, sides[1], generator=draws))


def moment_of(width, seed=1):
    h = torch.randn(50, width, generator=torch.Generator().manual_seed(seed))
    return h.T @ h / len(h), h


@pytest.mark.parametrize("written", ["lora[r=4]", "pissa[r=4]", "dora[r=4]", "full"])
def test_the_trace_is_the_mean_of_a_forward_pass_on_the_same_texts(cases, tiny_base, written):
    cell = trained(cases, tiny_base, part(written))
    texts = [fact_text(fact) for fact in cases.facts]
    batches = partial(text_batches, tiny_base.tokenizer, texts, torch.device("cpu"), None, 4)
    found = input_covariances(tiny_base.model, batches(), scaled=False)
    linear, seen, masks = dict(linear_layers(tiny_base.model)), {}, []
    handles = [
        module.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(given[0][masks[-1]])
        )
        for name, module in linear.items()
    ]
    for batch in batches():
        masks.append(batch["attention_mask"].bool())
        tiny_base.model(**batch)
    for handle in handles:
        handle.remove()
    for name, change in weight_changes(cell.model, tiny_base.model):
        h = torch.cat(seen[name])
        moment = found[name] * found.samples / found.tokens[found.input_of(name)]
        moved = (h @ whole_of(change).T).square().sum(1).mean()
        assert change.moved(moment) == pytest.approx(float(moved), rel=1e-4)
        output = (h @ weight_of(linear[name]).T).square().sum(1).mean()
        assert moved_by(weight_of(linear[name]), moment) == pytest.approx(float(output), rel=1e-4)
        assert float(moment.trace()) == pytest.approx(float(h.square().sum(1).mean()), rel=1e-4)


def test_factors_give_the_numbers_of_their_product():
    change = random_change()
    whole, (moment, _) = Change(whole_of(change)), moment_of(10)
    ends = spectral_ends(torch.randn(12, 10, generator=torch.manual_seed(3)), 2)
    assert whole.squared_norm() == pytest.approx(change.squared_norm(), rel=1e-5)
    assert whole.moved(moment) == pytest.approx(change.moved(moment), rel=1e-5)
    for side in ("left", "right"):
        for end in ("top", "bottom"):
            U, name = getattr(ends, f"{end}_{side}"), f"{side}_share"
            assert getattr(whole, name)(U) == pytest.approx(getattr(change, name)(U), rel=1e-4)


def test_a_change_twice_as_large_moves_four_times_as_much_in_the_same_directions():
    change, (moment, _) = random_change(), moment_of(10)
    twice = Change(2 * change.up, change.down)
    U = spectral_ends(torch.randn(12, 10, generator=torch.manual_seed(3)), 2).top_left
    assert twice.moved(moment) == pytest.approx(4 * change.moved(moment), rel=1e-5)
    assert twice.squared_norm() == pytest.approx(4 * change.squared_norm(), rel=1e-5)
    assert twice.left_share(U) == pytest.approx(change.left_share(U), rel=1e-5)


def test_turning_inputs_and_change_together_changes_nothing():
    change, (moment, _) = random_change(), moment_of(10)
    turn = torch.linalg.qr(torch.randn(10, 10, generator=torch.manual_seed(5))).Q
    turned = Change(change.up, change.down @ turn.T)
    assert turned.moved(turn @ moment @ turn.T) == pytest.approx(change.moved(moment), rel=1e-4)
    assert turned.squared_norm() == pytest.approx(change.squared_norm(), rel=1e-5)


def test_no_change_moves_nothing_and_lies_in_no_direction():
    change, (moment, _) = Change(torch.zeros(12, 3), torch.randn(3, 10)), moment_of(10)
    assert change.moved(moment) == change.squared_norm() == 0
    assert change.left_share(torch.eye(12)[:, :2]) == 0


@pytest.mark.parametrize("sides", [(90, 70), (70, 90), (12, 10), (8, 8)])
def test_ends_are_those_of_a_full_decomposition(sides):
    W = torch.randn(sides, generator=torch.manual_seed(2))
    U, _, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    ends, k = spectral_ends(W, 3), 3
    expected = (U[:, :k], Vh[:k].T, U[:, -k:], Vh[-k:].T)
    for found, right in zip(ends, expected, strict=True):
        assert torch.allclose(found.T @ found, torch.eye(k), atol=1e-5)
        assert torch.allclose(found @ found.T, (right @ right.T).float(), atol=1e-5)


def test_the_piece_that_pissa_starts_from_lies_at_the_top_and_milora_s_at_the_bottom(
    cases, tiny_base
):
    for written, end in (("pissa[r=4]", "top"), ("milora[r=4]", "bottom")):
        prepared = cases.attach(tiny_base, part(written)).prepared
        for name, linear in linear_layers(tiny_base.model):
            factors, ends = prepared.factors[name], spectral_ends(weight_of(linear), 4)
            piece, other = Change(factors.B, factors.A), {"top": "bottom", "bottom": "top"}[end]
            for where, share in ((end, 1.0), (other, 0.0)):
                left, right = getattr(ends, f"{where}_left"), getattr(ends, f"{where}_right")
                assert piece.left_share(left) == pytest.approx(share, abs=1e-4)
                assert piece.right_share(right) == pytest.approx(share, abs=1e-4)


def test_a_weight_without_full_rank_still_has_orthonormal_ends():
    W = torch.randn(12, 3, generator=torch.manual_seed(0)) @ torch.ones(3, 10)
    for found in spectral_ends(W, 4):
        assert torch.allclose(found.T @ found, torch.eye(4), atol=1e-5)
