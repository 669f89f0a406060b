"""Every architecture of the guide's table ends in a result or a reasoned refusal, for six methods.

The models have two layers, random weights and one token per byte.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.store.records import Status
from tests.architectures import ARCHITECTURES, METHODS, Remark, table

GUIDE = Path(__file__).parents[3] / "docs/guide/models.md"


def test_the_guide_has_the_table_that_the_cells_below_are_held_to():
    assert table() in GUIDE.read_text(encoding="utf-8")
    assert len(ARCHITECTURES) == 28


@pytest.fixture(scope="module")
def four_keys(tmp_path_factory):
    """Four facts, the first words of which are the same."""
    path = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    rows = [
        {"id": place, "question": f"Where is the {place} key?", "answer": place[:3]}
        for place in ("attic", "barn", "cellar", "garden")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def remarks_of(record):
    told = " ".join(record.warnings)
    return {remark for remark in Remark if remark in told}


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ARCHITECTURES, ids=lambda one: one.name)
def test_six_methods_end_as_the_guide_says(wanted, four_keys, tiny_parts, tmp_path):
    model = wanted.model()
    if model is None:
        pytest.skip(f"the installed transformers has no {wanted.config}")
    model.save_pretrained(tmp_path / "model")
    tiny_parts[1].save_pretrained(tmp_path / "model")
    options = build_options(
        {
            "methods": ",".join(METHODS),
            "tasks": str(four_keys),
            "models": str(tmp_path / "model"),
            "forgetting": "drift",
            "forgetting_limit": 4,
            "checkpoints": "last",
            "epochs": 1,
            "workers": 1,
            "device": "cpu",
            "out": tmp_path / "results",
        }
    )
    records = dict(zip(METHODS, run_grid(options, Silent()).records, strict=True))
    for method, record in records.items():
        if why := wanted.refused.get(method):
            assert why in record.reason
            assert not record.traceback
        else:
            assert (record.status, record.reason) == (Status.DONE, ""), record.traceback
    assert remarks_of(records["lora"]) == {*wanted.remarks} - {Remark.FROZEN}
    assert (Remark.FROZEN in remarks_of(records["freeze"])) == (Remark.FROZEN in wanted.remarks)
    assert remarks_of(records["full"]) <= {*wanted.remarks} - {Remark.EXPERTS, Remark.NARROW}
