"""The examples of the guide on adding parts work as they stand there."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from bench.models.copy_on_write import borrow
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES, Setting
from methods.recipe import parse_recipe
from tasks.base import TASKS, DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.resolve import resolve_task


@pytest.fixture
def add_example(guide_examples, tmp_path, monkeypatch):
    """Save an example as a file and import it; the registries forget it afterwards."""
    for registry in (ADAPTERS, PLACEMENTS, STRATEGIES, TASKS):
        registry.names()
        monkeypatch.setattr(registry, "_members", dict(registry._members))

    def add(name):
        path = tmp_path / f"{name}.py"
        path.write_text(guide_examples[name], encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"example_{name}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)

    return add


@pytest.mark.parametrize("name", ["norms", "every", "unknown", "moons", "learned"])
def test_an_example_has_at_most_40_lines(guide_examples, name):
    assert len(guide_examples[name].splitlines()) <= 40


@pytest.mark.parametrize(
    ("written", "layers", "trained"),
    [("norms", None, 5), ("norms[final=false]", None, 4), ("norms", (1,), 2)],
)
def test_the_adapter_trains_its_norms_and_nothing_else(
    add_example, tiny_base, tmp_path, written, layers, trained
):
    add_example("norms")
    recipe = parse_recipe(written)
    assert (recipe.name, recipe.adapter.paper) == (written, "2312.11420")
    fact = Fact("f", "Who?", ("me",))
    model, tokenizer = borrow(tiny_base).model, tiny_base.tokenizer
    setting = Setting(model, (fact,), (), layers, 1, 0, None, "org/tiny", tokenizer)
    model = recipe.adapter.attach(setting, recipe.adapter.prepare(setting))
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(names) == trained
    assert all("norm" in name for name in names)
    recipe.adapter.save(model, None, setting, tmp_path / "saved")
    assert (tmp_path / "saved" / "adapter_model.safetensors").exists()


def test_the_placement_trains_every_nth_layer(add_example):
    add_example("every")
    recipe = parse_recipe("lora+every[n=3]")
    assert recipe.placement.layers(None, 8, 0) == (2, 5)
    with pytest.raises(UsageError, match="n=0"):
        parse_recipe("every[n=0]")


def test_the_strategy_keeps_what_the_base_does_not_know(add_example):
    add_example("unknown")
    signals = SimpleNamespace(known=torch.tensor([True, False, True]))
    assert parse_recipe("unknown").filter.keep(signals, 0).tolist() == [False, True, False]


def test_the_task_gives_facts_with_paraphrases(add_example):
    add_example("moons")
    task = resolve_task("moons", trained=True, forgotten=False)
    facts = task.load(DataAccess())
    assert [fact.id for fact in facts] == ["Europa", "Titan", "Triton", "Phobos"]
    assert all(len(fact.paraphrases) >= 2 for fact in facts)
    assert facts[0].target == "Jupiter"
