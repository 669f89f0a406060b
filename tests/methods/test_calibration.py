"""Calibration batches: what training sees, one text a row or packed, ready for the model."""

import pytest
import torch

from methods.adapters.lora import Lora
from methods.calibration import calibration_facts
from tasks.errors import UsageError
from tasks.prompt import fact_text


@pytest.fixture
def setting(cases, tiny_base):
    return cases.attach(tiny_base, Lora(), calibration=cases.facts[20:]).setting


def texts_of(setting, batches):
    """Decode the rows without their padding."""
    return [
        setting.tokenizer.decode(tokens[mask.bool()])
        for batch in batches
        for tokens, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]


@pytest.mark.parametrize(("source", "first"), [("task", 0), ("knowledge", 20)])
def test_each_fact_is_a_row_as_training_sees_it(setting, cases, source, first):
    rows = texts_of(setting, setting.calibration_batches(source))
    assert sorted(rows) == sorted(fact_text(fact) for fact in cases.facts[first:])


def test_padding_changes_nothing_a_model_says(setting, cases):
    rows = 0
    for batch in setting.calibration_batches():
        together = setting.model(**batch).logits
        for tokens, mask, logits in zip(*batch.values(), together, strict=True):
            alone = setting.model(tokens[mask.bool()][None]).logits[0]
            assert torch.allclose(logits[: len(alone)], alone, atol=1e-4)
            rows += 1
    assert rows == len(cases.facts)


@pytest.mark.parametrize("pack", [7, 64, 5000])
def test_windows_are_consecutive_and_leave_nothing_out(setting, cases, pack):
    batches = list(setting.calibration_batches(pack=pack))
    lengths = [n for batch in batches for n in batch["attention_mask"].sum(1).tolist()]
    assert set(lengths[:-1]) <= {min(pack, 1024)}, "1024: the model's context"
    assert 0 < lengths[-1] <= pack
    whole = "\n".join(fact_text(fact) for fact in calibration_facts(cases.facts))
    assert "".join(texts_of(setting, batches)) == whole


def test_fewer_samples_are_a_part_of_more(setting):
    few = texts_of(setting, setting.calibration_batches(samples=3))
    more = texts_of(setting, setting.calibration_batches(samples=9))
    assert (len(few), len(more)) == (3, 9)
    assert set(few) < set(more)


def test_no_fact_is_one_line(cases, tiny_base):
    setting = cases.attach(tiny_base, Lora(), calibration=()).setting
    with pytest.raises(UsageError, match="no facts to calibrate on"):
        setting.calibration_batches("knowledge")


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ({"source": "countries"}, "'task' or 'knowledge'.*calibration_tasks"),
        ({"source": "knowledge"}, "no facts to calibrate on.*calibration_tasks"),
        ({"pack": -8}, "pack=-8.*at least 1"),
        ({"samples": -1}, "samples=-1.*at least 1"),
    ],
)
def test_what_cannot_be_calibrated_on_is_one_line_that_says_what_is_right(
    cases, tiny_base, asked, right
):
    setting = cases.attach(tiny_base, Lora(), calibration=()).setting
    with pytest.raises(UsageError, match=right):
        setting.calibration_batches(**asked)
