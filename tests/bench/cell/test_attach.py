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
from bench.store.records import Status
from bench.store.store import ResultsStore


@pytest.fixture
def run(tiny_folder, facts_file, tmp_path):
    """Run a PEFT configuration as a cell for each seed, and return the records."""

    def cells(seeds="0", **values):
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
            "save_adapters": True,
            "out": tmp_path / "results",
        }
        return run_grid(build_options(given), Silent()).records

    return cells


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
