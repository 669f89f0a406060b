"""What two steps save answers on the untouched base as it did in its cell."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from methods.adapters.dora import Dora
from methods.adapters.full import Full
from methods.adapters.lora import Lora
from methods.adapters.olora import OLora
from methods.adapters.peft import Peft
from methods.adapters.pissa import Pissa
from methods.adapters.rslora import RsLora
from methods.two_steps.merged import merge_saved
from methods.two_steps.pair import join
from methods.two_steps.saved import save_steps
from tasks.errors import UsageError
from tests.methods.test_transposed_weights import gpt2

CASES = [
    (Lora(r=3), Lora(r=4), 7),
    (RsLora(r=3, alpha=5.0), RsLora(r=4), 7),
    (Pissa(r=3), Lora(r=4, alpha=9.0), 10),
    (Lora(r=40), Lora(r=4), 36),
    (Dora(r=3), Lora(r=4), None),
    (Lora(r=3), Dora(r=4), None),
]
ONLY_MERGED = [
    (Lora(r=3), Pissa(r=4), 11),
    (Lora(r=3), OLora(r=4), 11),
    (Full(), Lora(r=4), None),
    (Lora(r=3), Full(), None),
    (Full(), Full(), None),
]


def trained(cases, base, adapter, folder):
    cell = cases.attach(base, adapter)
    cell.train(steps=3)
    return cell.save(folder)


def loaded(cases, base, folder, rank):
    """Load as a person would, and check what was saved."""
    if rank is None:
        assert not (folder / "adapter_config.json").exists()
        return cases.logits_of(AutoModelForCausalLM.from_pretrained(folder))
    model = PeftModel.from_pretrained(borrow(base).model, folder)
    assert model.peft_config["default"].r == rank
    return cases.logits_of(model)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize(("one", "two", "rank"), CASES, ids=str)
def test_a_pair_is_saved_as_one_adapter_or_as_all_weights(
    cases, tiny_base, tmp_path, one, two, rank, trainable
):
    first = trained(cases, tiny_base, one, tmp_path / "first")
    cell = cases.attach(tiny_base, two)
    probe = lambda: cases.logits_of(cell.model)  # noqa: E731
    pair = join(cell.model, first, trainable=trainable, probe=probe)
    cell.train(steps=3)
    expected = cell.logits()
    save_steps(cell.model, cell.save, first, pair, tmp_path / "both")
    found = loaded(cases, tiny_base, tmp_path / "both", rank)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert not (tmp_path / "both.parts").exists()


@pytest.mark.parametrize(("one", "two", "rank"), [*CASES, *ONLY_MERGED], ids=str)
def test_a_step_on_merged_weights_is_saved_for_the_untouched_base(
    cases, tiny_base, tmp_path, one, two, rank
):
    pristine = {n: p.clone() for n, p in tiny_base.model.named_parameters()}
    first = trained(cases, tiny_base, one, tmp_path / "first")
    model, _ = merge_saved(borrow(tiny_base).model, first, cases.logits_of)
    started = Base("tiny", "after", model, tiny_base.tokenizer)
    cell = cases.attach(started, two)
    cell.train(steps=3)
    expected = cell.logits()
    save_steps(cell.model, cell.save, first, None, tmp_path / "both")
    found = loaded(cases, tiny_base, tmp_path / "both", rank)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert all(torch.equal(p, pristine[n]) for n, p in tiny_base.model.named_parameters())


@pytest.mark.parametrize("two", [Lora(r=4), Dora(r=4)], ids=repr)
def test_a_pair_on_transposed_weights_is_saved(cases, tiny_base, tmp_path, two):
    base = Base("gpt2", "random-0", gpt2(), tiny_base.tokenizer)
    first = trained(cases, base, Dora(r=3), tmp_path / "first")
    cell = cases.attach(base, two)
    pair = join(cell.model, first, trainable=True, probe=lambda: cases.logits_of(cell.model))
    torch.testing.assert_close(cell.logits(), pair.alone, atol=0, rtol=0)
    cell.train(steps=3)
    expected = cell.logits()
    save_steps(cell.model, cell.save, first, pair, tmp_path / "both")
    found = loaded(cases, base, tmp_path / "both", None)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_virtual_tokens_on_merged_weights_have_no_form_for_the_untouched_base(
    cases, tiny_base, tmp_path
):
    first = trained(cases, tiny_base, Lora(r=3), tmp_path / "first")
    model, _ = merge_saved(borrow(tiny_base).model, first, cases.logits_of)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}))
    started = Base("tiny", "after", model, tiny_base.tokenizer)
    cell = cases.attach(started, Peft(str(file)))
    with pytest.raises(UsageError, match="no form for the untouched base"):
        save_steps(cell.model, cell.save, first, None, tmp_path / "both")
