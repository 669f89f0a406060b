"""Adapters from PEFT's files in whole cells: what is heard, refused, and saved."""

from __future__ import annotations

import json

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.progress.base import Silent
from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.read_cells import load_cells
from bench.report.tables import remarks
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore
from methods.adapters.astra import Astra
from methods.adapters.corda import Corda
from methods.adapters.eva import Eva
from methods.adapters.lora import Lora
from methods.adapters.lora_ga import LoraGa
from methods.adapters.mica import Mica
from methods.adapters.pissa import Pissa
from methods.parts import ADAPTERS


@pytest.fixture
def run(tiny_folder, facts_file, tmp_path):
    """Run a PEFT configuration as a cell for each seed, and return the records."""

    def cells(seeds="0", dtype="float32", **values):
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps({"peft_type": "LORA", "r": 4, **values}))
        given = {
            "methods": f"peft[path={file}]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "seeds": seeds,
            "dtype": dtype,
            "save_adapters": True,
            "out": tmp_path / "results",
        }
        return run_grid(build_options(given), Silent()).records

    return cells


STARTS = "lora[r=4],dora[r=4],pissa[r=4],milora[r=4],olora[r=4],corda[r=4],eva[r=4]"
STARTS += ",astra[r=4],sc_lora[r=4],lora_null[r=4],mica[r=4],oplora[r=4,k=4],corda_pp[r=4]"
STARTS += ",lora_ga[r=4]"
STARTS += ",keep_lora[r=4]"
OTHER_STARTS = "lora_one[r=4],keep_lora[r=4,form=arena],kasa[r=4]"


@pytest.fixture
def grid(tiny_folder, facts_file, tmp_path):
    """Run methods as cells, and return the records."""

    def cells(**values):
        given = {
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 1,
            "batch_size": 4,
            "device": "cpu",
            "out": tmp_path / "results",
            **values,
        }
        return run_grid(build_options(given), Silent()).records

    return cells


def test_every_start_is_an_identity_in_bfloat16(grid):
    for record in grid(methods=STARTS, dtype="bfloat16"):
        assert record.status is Status.DONE, record.reason
        assert record.identity, record.spec.method
        assert record.init_difference == 0.0, record.spec.method


def test_a_start_that_is_not_the_base_is_told_and_compared_with_the_untouched_base(grid):
    """Drift is forgetting: already the untrained adapter has some."""
    for record in grid(methods=OTHER_STARTS, forgetting="drift", epochs=1):
        assert record.status is Status.DONE, record.traceback or record.reason
        assert record.identity is False, record.spec.method
        assert record.init_difference > 1e-3
        assert record.forgetting[0].forgetting > 0


def test_an_adapter_that_moves_the_base_is_no_identity_in_bfloat16(run):
    [record] = run(dtype="bfloat16", init_lora_weights=False)
    assert not record.identity


def counted(monkeypatch, kind):
    """Let a `prepare` count its calls."""
    calls, prepare = [], kind.prepare
    monkeypatch.setattr(kind, "prepare", lambda *given: calls.append(1) or prepare(*given))
    return calls


@pytest.mark.parametrize("kind", [Pissa, Corda, Eva, Astra, Mica, LoraGa])
def test_seeds_share_a_start_and_each_is_charged_for_it(kind, grid, monkeypatch):
    calls = counted(monkeypatch, kind)
    name = ADAPTERS.name_of(kind)
    records = grid(methods=f"{name}[r=4]", seeds="0,1,2")
    assert [record.status for record in records] == [Status.DONE] * 3
    assert len(calls) == 1
    cold = [record.phases[PhaseName.PREPARE].seconds_cold for record in records]
    warm = [record.phases[PhaseName.PREPARE].seconds for record in records]
    assert all(c > w for c, w in zip(cold[1:], warm[1:], strict=True))


def test_rates_of_a_tuned_method_share_a_start(grid, monkeypatch):
    calls = counted(monkeypatch, Pissa)
    records = grid(methods="pissa[r=4]", lr="1e-4,1e-3", tune_seeds=1, limit=4)
    assert len({record.spec.learning_rate for record in records}) == 2
    assert len(calls) == 1


@pytest.mark.parametrize("other", ["pissa[r=5]", "pissa[r=4,alpha=9]", "pissa[r=4]+last[n=1]"])
def test_another_rank_scale_or_choice_of_layers_is_another_start(other, grid, monkeypatch):
    calls = counted(monkeypatch, Pissa)
    grid(methods=f"pissa[r=4],{other}")
    assert len(calls) == 2


def test_what_depends_on_the_seed_is_prepared_for_each_cell(grid, monkeypatch):
    calls = counted(monkeypatch, Lora)
    grid(methods="lora[r=4]", seeds="0,1")
    assert len(calls) == 2


def test_warnings_of_peft_reach_the_record_of_every_cell_and_the_leaderboard(run, tmp_path):
    records = run("0,1", target_modules=["lm_head", "q_proj"])
    for record in records:
        assert record.status is Status.DONE
        [line] = [line for line in record.warnings if "tie_word_embeddings=True" in line]
        assert line.startswith("PEFT warns: Model has")
        assert "\n" not in line
    cells = load_cells(ResultsStore(tmp_path / "results"), records)
    [section] = build_leaderboard(cells).sections
    assert [line for line in remarks.warnings(section) if "tie_word_embeddings=True" in line]


def test_unknown_keys_reach_the_record(run):
    [record] = run(of_a_later_release=1)
    assert record.status is Status.DONE
    assert any("has no 'of_a_later_release'" in line for line in record.warnings)


def test_a_plain_adapter_has_no_warnings_of_libraries(run):
    [record] = run()
    assert not any(" warns: " in line for line in record.warnings)


def test_a_start_of_a_tied_head_leaves_the_embedding_alone(run):
    [record] = run(init_lora_weights="pissa", target_modules=["lm_head", "q_proj"])
    assert record.status is Status.DONE, record.reason
    assert record.init_difference == 0.0


@pytest.mark.parametrize(
    "beside",
    [{"modules_to_save": ["embed_tokens"]}, {"trainable_token_indices": [100, 101, 102]}],
)
def test_a_cut_start_with_more_that_is_trained_is_saved(run, beside, tiny_folder, tmp_path):
    [record] = run(init_lora_weights="pissa", **beside)
    assert record.status is Status.DONE
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    loaded = PeftModel.from_pretrained(base, tmp_path / "results" / record.adapter_path)
    assert loaded.peft_config["default"].r == 8
