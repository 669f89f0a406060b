"""`--explain`: what training did to the weights, in the record of every kind of cell."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from bench.config.options import build_options
from bench.evaluation.explain import DIRECTIONS, Explainer
from bench.evaluation.why import MEASURES
from bench.execution.run import run_grid
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import CellState
from bench.progress.base import Silent
from bench.store.cost_cache import CostCache
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore
from methods.targets import linear_names
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt
from tests.conftest import tiny_llama

LINEAR = 14
"""Linear layers of the two-layer model."""


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    def make(methods, **changes):
        given = {
            "methods": methods,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 2,
            "epochs": 2,
            "limit": 4,
            "batch_size": 4,
            "device": "cpu",
            "out": tmp_path / "results",
            "explain": True,
        }
        return build_options({**given, **changes})

    return make


def records(chosen):
    found = run_grid(chosen, Silent()).records
    assert all(record.status is Status.DONE for record in found), [r.reason for r in found]
    return {record.spec.method: record for record in found}


def written(tmp_path, kind, **values):
    file = tmp_path / kind / "adapter_config.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"peft_type": kind, **values}))
    return f"peft[path={file}]"


def test_each_kind_of_adapter_has_its_own(options, tmp_path):
    prompts = written(tmp_path, "PROMPT_TUNING", num_virtual_tokens=4)
    oft = written(tmp_path, "OFT", oft_block_size=4)
    methods = f"lora[r=2],dora[r=2],pissa[r=2],full,lora[r=2]+last[n=1],{oft},{prompts}"
    found = records(options(methods))
    changed = {name: len(record.change.layers) for name, record in found.items()}
    assert changed.pop(prompts) == 0
    assert changed.pop("lora[r=2]+last[n=1]") == LINEAR / 2
    assert set(changed.values()) == {LINEAR}
    for name, record in found.items():
        assert PhaseName.EXPLAIN in record.phases
        values = {measure.name: measure.of(record.change) for measure in MEASURES}
        if name == prompts:
            assert set(values.values()) == {None}
            continue
        assert record.change.linear_layers == LINEAR
        assert record.change.directions == (DIRECTIONS if name in ("full", oft) else 2)
        assert all(value > 0 for value in values.values()), name
        assert all(values[m.name] <= 1 for m in MEASURES if m.is_share)
        assert record.change.knowledge.tokens > record.change.task.tokens > 0
    assert found["lora[r=2]"].change.knowledge_digest == found["full"].change.knowledge_digest


def test_cells_trained_together_have_the_same_numbers(options, tmp_path):
    methods = "lora[r=2],dora[r=2],pissa[r=2]"
    alone = records(options(methods, stack=1))
    stacked = records(options(methods, stack=3, out=tmp_path / "stacked"))
    for name, record in stacked.items():
        assert record.stacked == 3
        for measure in MEASURES:
            found, expected = measure.of(record.change), measure.of(alone[name].change)
            assert found == pytest.approx(expected, rel=1e-3), (name, measure.name)


@pytest.mark.parametrize("mode", ["frozen", "trainable", "merged"])
def test_after_a_first_step_the_change_is_from_the_untouched_base(options, lamps_file, mode):
    after = f"{lamps_file}:{mode}:lora[r=4]"
    found = run_grid(options("lora[r=2]", after=after, save_adapters=True), Silent()).records
    first, second = sorted(found, key=lambda record: record.spec.after is not None)
    sizes = {m.name: (m.of(first.change), m.of(second.change)) for m in MEASURES}
    own, both = sizes["change_norm"]
    assert both > 0.5 * own > 0, "what the first step changed counts in the second"
    assert first.change.directions == 4
    assert not any("not saved" in line for line in second.warnings)


def test_it_is_asked_for_and_a_cell_that_lacks_it_runs_again(options):
    plain = records(options("lora[r=2]", explain=False))["lora[r=2]"]
    assert plain.change is None
    assert PhaseName.EXPLAIN not in plain.phases

    def planned(**changes):
        chosen = options("lora[r=2]", **changes)
        [cell] = plan_grid(chosen, ResultsStore(chosen.out))
        return cell

    assert planned(explain=False).state is CellState.DONE
    assert planned().state is CellState.LACKS
    assert planned().why == "--explain"
    assert planned().cell_id == plain.cell_id
    explained = records(options("lora[r=2]"))["lora[r=2]"]
    assert planned().state is CellState.DONE
    assert planned(forgetting="countries,drift").state is CellState.LACKS
    again = records(options("lora[r=2]", explain=False, checkpoints="all", evaluate="none"))
    assert again["lora[r=2]"].change == explained.change
    more = records(options("lora[r=2]", explain=False, forgetting="elements,drift"))
    assert more["lora[r=2]"].change == explained.change, "measuring more keeps what there is"


def test_what_cannot_be_told_is_a_warning_and_not_tried_again(options, monkeypatch):
    def refuse(*_, **__):
        raise UsageError("no change of its weight")

    monkeypatch.setattr("bench.evaluation.explain.weight_changes", refuse)
    record = records(options("lora[r=2]"))["lora[r=2]"]
    assert record.change.layers == []
    assert any("no change of its weight" in line for line in record.warnings)
    chosen = options("lora[r=2]")
    assert plan_grid(chosen, ResultsStore(chosen.out))[0].state is CellState.DONE


@pytest.mark.parametrize("other", [{"quantize": "4bit"}, {"device_map": "auto"}])
def test_packed_weights_and_divided_models_are_refused_at_once(options, other):
    with pytest.raises(UsageError, match="--explain"):
        options("lora", **other)


# --- the measurement itself ---


@pytest.fixture
def explainer(tiny_base):
    facts = [Fact(f"k{i}", f"What is the colour of stone {i}?", (f"red {i}",)) for i in range(6)]
    others = [Fact(f"t{i}", f"Where is key {i}?", (f"hall {i}",)) for i in range(3)]
    return Explainer(tiny_base, facts, "d", others, Prompt(BUILT_IN), CostCache())


def moved_model(seed=0, scale=0.05):
    model = tiny_llama()
    draws = torch.Generator().manual_seed(seed)
    for name in linear_names(model):
        weight = model.get_submodule(name).weight
        weight.data += scale * torch.randn(weight.shape, generator=draws)
    return model


def test_scales_and_turns_of_the_change_show_in_the_right_measures(explainer):
    small, large = (explainer.explain(moved_model(scale=scale)) for scale in (0.05, 0.1))
    ratios = {m.name: m.of(large) / m.of(small) for m in MEASURES}
    expected = {"csd": 4, "csd_relative": 4, "csd_normalised": 1, "change_norm": 2}
    for name, ratio in ratios.items():
        assert ratio == pytest.approx(expected.get(name.split(".")[0], 1), rel=1e-3), name


def test_a_change_along_the_weight_itself_moves_all_outputs_alike(explainer):
    """dW = c W moves outputs by c^2 in proportion, on any text."""
    model = tiny_llama()
    for name in linear_names(model):
        model.get_submodule(name).weight.data *= 1.1
    change = explainer.explain(model)
    values = {m.name: m.of(change) for m in MEASURES}
    assert values["csd_relative.knowledge"] == pytest.approx(0.01, rel=1e-3)
    assert values["csd_relative.task"] == pytest.approx(0.01, rel=1e-3)
    whole = sum(model.get_submodule(n).weight.norm() ** 2 for n in linear_names(model)) ** 0.5
    assert values["change_norm"] == pytest.approx(float(whole) / 11, rel=1e-3)


def test_what_the_base_s_inputs_never_reach_is_not_moved(explainer, tiny_base):
    """A change orthogonal to all inputs of knowledge costs nothing there."""
    inputs = explainer._inputs(explainer.knowledge, explainer.prompt.text, 0)
    model, name = tiny_llama(), "model.layers.0.mlp.down_proj"
    weight = model.get_submodule(name).weight
    _, directions = torch.linalg.eigh(inputs.moments[name])
    weight.data += torch.outer(torch.ones(len(weight)), directions[:, 0])
    change = explainer.explain(model)
    assert change.layers == [name]
    assert change.squared_norm[0] == pytest.approx(len(weight), rel=1e-3)
    assert change.knowledge.changed[0] < 1e-3 * change.knowledge.inputs[0]
    along = directions[:, -1]
    weight.data += torch.outer(torch.ones(len(weight)), along - directions[:, 0])
    most = explainer.explain(model).knowledge.changed[0]
    assert most > 100 * change.knowledge.changed[0]


def test_the_base_is_measured_once_for_all_cells(explainer, monkeypatch):
    explainer.explain(moved_model())
    refuse = partial(pytest.fail, "measured again")
    monkeypatch.setattr("bench.evaluation.explain.input_covariances", lambda *_, **__: refuse())
    monkeypatch.setattr("bench.evaluation.explain.side_by_side", lambda *_: refuse())
    explainer.explain(moved_model(seed=1))
