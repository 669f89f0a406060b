"""Which cells are trained together, and how many, before anything is loaded."""

from __future__ import annotations

import json

import pytest

from bench.config.options import build_options
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.stacking import fitting, may_stack, most_at_once, stacking_notes
from bench.store.store import ResultsStore
from tasks.errors import UsageError


@pytest.fixture
def planned(tmp_path):
    def plan(methods, **changes):
        options = build_options({"methods": methods, "out": tmp_path, "device": "cpu", **changes})
        return options, plan_grid(options, ResultsStore(options.out))

    return plan


@pytest.mark.parametrize(
    ("method", "stacks"),
    [
        ("lora", True),
        ("rslora[r=4]+freeze", True),
        ("dora+filter", True),
        ("pissa+reweight[refresh=2]", True),
        ("corda[mode=ipm]", True),
        ("lora_null[variant=v2]", True),
        ("mica", True),
        ("oplora", False),
        ("lora[dropout=0.1]", False),
        ("full", False),
    ],
)
def test_adapters_of_low_rank_without_a_step_of_their_own_may_be_stacked(planned, method, stacks):
    _, [cell] = planned(method)
    assert may_stack(cell) is stacks


@pytest.mark.parametrize(
    ("written", "stacks"),
    [
        ({"peft_type": "LORA", "r": 4}, True),
        ({"peft_type": "LORA", "r": 4, "lora_dropout": 0.1}, False),
        ({"peft_type": "VERA"}, False),
        ({"peft_type": "IA3"}, False),
    ],
)
def test_of_peft_only_lora_may(planned, tmp_path, written, stacks):
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(written))
    _, [cell] = planned(f"peft[path={file}]")
    assert may_stack(cell) is stacks


def test_cells_of_the_same_facts_go_together_first(planned):
    _, cells = planned("lora,full,dora", tasks="countries,elements", forgetting="none")
    lora, *others = cells
    together = fitting(lora, others)
    assert [(c.spec.method, c.spec.task) for c in together] == [
        ("lora", "countries"),
        ("dora", "countries"),
        ("lora", "elements"),
        ("dora", "elements"),
    ]
    full = next(cell for cell in cells if cell.spec.method == "full")
    assert fitting(full, cells) == [full]


def test_how_many_go_together_is_asked_for_or_a_matter_of_memory(planned, monkeypatch):
    options, cells = planned("lora", seeds="0-9", stack="4")
    cpu, card = Compute("cpu", "float32"), Compute("cuda:0", "bfloat16")
    assert most_at_once(options, cpu, cells) == 4
    assert stacking_notes(options, cpu, cells) == [
        "up to 4 cells of one model are trained and asked at once"
    ]
    auto, cells = planned("lora", seeds="0-9")
    assert most_at_once(auto, cpu, cells) == 1
    assert not stacking_notes(auto, cpu, cells)
    fit = []
    for gib in (2, 4, 80):
        monkeypatch.setattr("bench.planning.stacking.card_memory", lambda _, g=gib: g * 2**30)
        fit.append(most_at_once(auto, card, cells))
    assert fit == sorted(fit)
    assert 1 <= fit[0] < fit[2] == 10


def test_a_number_of_cells_that_cannot_be_is_refused(planned):
    with pytest.raises(UsageError, match=r"--stack '0': write a number of at least 1, or auto"):
        planned("lora", stack="0")


def test_with_the_base_loaded_what_is_free_decides(planned, monkeypatch):
    auto, cells = planned("lora", seeds="0-9")
    card = Compute("cuda:0", "bfloat16")
    monkeypatch.setattr("bench.planning.stacking.card_memory", lambda _: 80 * 2**30)
    monkeypatch.setattr("bench.planning.stacking.free_now", lambda _: 2**28)
    assert most_at_once(auto, card, cells) == 10
    assert most_at_once(auto, card, cells, resident=True) < 10, "others use the card, too"
