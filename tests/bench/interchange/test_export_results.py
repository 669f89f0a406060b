import importlib.util
import json
import os
from pathlib import Path

import pytest

from bench.cli import main
from bench.interchange.export_results import export_to_peft_suite
from bench.interchange.peft_suite import INTEGERS, leaves, suite_result
from bench.store.asks import Asks
from bench.store.records import Evaluated, Status
from bench.store.store import ResultsStore
from tests.bench.report_cells import failed_cell, fill, make_cell

EXAMPLE = Path(__file__).parents[3] / "results/example"
FOLDERS = [EXAMPLE, *(EXAMPLE / name for name in ("corda_table1", "starts"))]
PROCESSING = Path(os.environ.get("PEFT_METHOD_COMPARISON", "peft/method_comparison"))
"""A checkout's folder; where there is none, PEFT's own code is not run."""

CONFIGURATION = "run_info.peft_config."
"""Its fields depend on the method, and are PEFT's own; full fine-tuning has none."""

TYPED_BY_METHOD = {"run_info.peft_config", f"{CONFIGURATION}peft_type"}
NULLABLE = {"run_info.train_config.lr_scheduler"}
"""Null means a constant rate here, which no real file happens to have."""


def recorded_fields():
    lines = (Path(__file__).parent / "peft_fields.txt").read_text().splitlines()
    pairs = (line.split(": ") for line in lines if not line.startswith("#"))
    return {name: set(types.split()) for name, types in pairs}


def fields_of(content, task):
    for path, value in leaves({k: v for k, v in content.items() if k != "semantic_peft_bench"}):
        yield path.replace(f"dataset_info.{task}.", "dataset_info.NAME."), value


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_exported_cells_have_the_fields_of_real_results_and_their_types(folder):
    wanted = recorded_fields()
    for record in ResultsStore(folder).records().records:
        result = suite_result(record, folder)
        task = f".{record.spec.task}."
        unknown = {path.replace(task, ".NAME.") for path in result.unknown} | NULLABLE
        found = dict(fields_of(result.content, record.spec.task))
        own = {path for path in found if path.startswith(CONFIGURATION)}
        assert own == set() or f"{CONFIGURATION}peft_type" in own
        names = {path for path in found if path not in own}
        assert names | TYPED_BY_METHOD == {*wanted}
        for path in names | ({f"{CONFIGURATION}peft_type"} & own):
            value = found[path]
            is_told = type(value).__name__ in wanted[path]
            assert is_told or (value is None and path in unknown), (path, value)


def test_nothing_is_invented(tmp_path):
    """Each number in a file is one of the record, or follows from it plainly."""
    [record] = [r for r in ResultsStore(EXAMPLE).records().records if r.spec.method == "lora"]
    content = suite_result(record, EXAMPLE).content
    run, train = content["run_info"], content["train_info"]
    assert run["total_time"] == sum(phase.seconds for phase in record.phases.values())
    assert run["train_config"]["max_steps"] == record.spec.epochs * 64 // 8
    assert run["train_config"]["grad_norm_clip"] == 1.0
    assert run["train_config"]["optimizer_kwargs"] == {"lr": 1e-3, "weight_decay": 0.0}
    assert run["peft_config"]["r"] == 16
    assert train["num_trainable_params"] == record.parameters
    assert train["num_total_params"] == record.parameters + record.parameters_total
    assert train["accelerator_memory_max"] is None, "it ran on a CPU"
    last = train["metrics"][-1]
    assert (last["step"], last["train samples"]) == (80, 640)
    assert last["test accuracy"] == record.metrics.reliability
    assert last["train loss"] == record.curve[-1].loss
    assert last["forgetting"] is None, "PEFT's is another quantity"
    own = content["semantic_peft_bench"]
    assert {one["task"] for one in own["forgetting"]} == {"elements", "drift"}
    assert own["spec"] == record.spec.model_dump(mode="json")
    assert "train_info.metrics[last].test accuracy" in own["differs"]


def test_metamath_is_told_by_gsm8k_as_there():
    measured = Evaluated(
        task="gsm8k",
        metric="exact_match",
        base=0.1,
        tuned=0.25,
        base_items=[0.0] * 8,
        tuned_items=[1.0, 1.0, *[0.0] * 6],
        limit=8,
        digest="d",
    )
    record, _ = make_cell(spec={"task": "metamath", "lessons": 100}, evaluated=[measured])
    content = suite_result(record, Path("nowhere")).content
    assert content["train_info"]["metrics"][-1]["test accuracy"] == 0.25
    told = content["semantic_peft_bench"]["differs"]["train_info.metrics[last].test accuracy"]
    assert "8 problems of GSM8K" in told


def test_memory_and_steps_are_null_where_they_are_of_more_than_the_cell():
    gpu = {"device": "cuda:0", "device_name": "H200"}
    alone, _ = make_cell(provenance=gpu, notes={"kept": 64})
    beside, _ = make_cell(provenance=gpu, stacked=4)
    texts, _ = make_cell(asks=Asks.QUESTIONS, notes={"kept": 64})
    replayed, _ = make_cell(spec={"replay_digest": "r" * 64}, notes={"kept": 64})
    one, several, of_texts, mixed = (
        suite_result(r, Path("nowhere")).content for r in (alone, beside, texts, replayed)
    )
    assert one["train_info"]["accelerator_memory_max"] == 1_500_000_000
    assert one["run_info"]["train_config"]["max_steps"] == 64
    assert one["meta_info"]["system_info"]["accelerator"] == "H200"
    assert several["train_info"]["accelerator_memory_max"] is None
    for content in (of_texts, mixed):
        assert content["run_info"]["train_config"]["max_steps"] is None


def test_a_saved_adapter_tells_its_whole_configuration_and_its_size(tmp_path):
    folder = tmp_path / "adapters/x"
    folder.mkdir(parents=True)
    written = {"peft_type": "LORA", "r": 7, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(written))
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 123)
    record, _ = make_cell(adapter_path="adapters/x")
    content = suite_result(record, tmp_path).content
    assert content["run_info"]["peft_config"] == written
    assert content["train_info"]["file_size"] == 123


def test_cells_without_a_result_are_left_out_unless_named(tmp_path, capsys):
    failed = failed_cell("out of memory", seed=1)
    source = fill(tmp_path / "results", [make_cell(), failed])
    form = ["--format", "peft-method-comparison", "--out", str(source), "--to"]
    assert main(["export", *form, str(tmp_path / "all")]) == 0
    assert "1 cell without a result left out" in capsys.readouterr().out
    assert len(list((tmp_path / "all").iterdir())) == 1

    assert main(["export", failed[0].cell_id[:9], *form, str(tmp_path / "one")]) == 0
    [file] = (tmp_path / "one").iterdir()
    content = json.loads(file.read_text())
    assert (content["train_info"]["status"], content["train_info"]["metrics"]) == ("failed", [])
    assert content["run_info"]["error_msg"] == "out of memory"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "peft"], "peft-method-comparison"),
        (["--format", "peft-method-comparison", "--out", "nowhere"], "nowhere"),
        (["0000", "--format", "peft-method-comparison", "--out", str(EXAMPLE)], "0000"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path, capsys, arguments, said):
    assert main(["export", *arguments, "--to", str(tmp_path / "to")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "to").exists()


def test_placeholders_stand_for_missing_integers_alone(tmp_path):
    [record, *_] = ResultsStore(EXAMPLE).records().records
    bare = suite_result(record, EXAMPLE)
    filled = suite_result(record, EXAMPLE, -1)
    assert filled.unknown == bare.unknown
    changed = {
        p
        for (p, a), (_, b) in zip(
            fields_of(bare.content, "countries"),
            fields_of(filled.content, "countries"),
            strict=True,
        )
        if a != b
    }
    assert changed == INTEGERS & {*bare.unknown}


def processing():
    """PEFT's own `method_comparison/processing.py`, from a checkout."""
    file = PROCESSING / "processing.py"
    if not file.is_file():
        pytest.skip("set PEFT_METHOD_COMPARISON to method_comparison of a checkout of PEFT")
    spec = importlib.util.spec_from_file_location("peft_processing", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_code_of_the_suite_reads_exported_cells(tmp_path):
    code = processing()
    for folder in FOLDERS:
        export_to_peft_suite(folder, tmp_path / "null")
        export_to_peft_suite(folder, tmp_path / "filled", placeholder=-1)
    records = [r for f in FOLDERS for r in ResultsStore(f).records().records]
    assert all(record.status is Status.DONE for record in records)
    rows = code.preprocess(code.load_jsons(tmp_path / "null"), "MetaMathQA")
    assert len(rows) == len(records)

    frame = code.load_df(tmp_path / "filled", "MetaMathQA")
    by_name = frame.set_index(frame["experiment_name"].str[-8:])
    assert len(by_name) == len(records)
    for record in records:
        row = by_name.loc[record.cell_id[:8]]
        assert row["test_accuracy"] == record.metrics.reliability
        assert row["num_trainable_params"] == record.parameters
        assert row["peft_type"] == {"full": "full-finetuning", "osf": "OSF"}.get(
            record.spec.method, "LORA"
        )
    filtered = code.filter_data("MetaMathQA", "smollm2-135m", frame)
    preferred = code.get_metric_preferences("MetaMathQA")
    best = code.compute_pareto_frontier(filtered, "train_time", "test_accuracy", preferred)
    assert 0 < len(best) <= len(records)
