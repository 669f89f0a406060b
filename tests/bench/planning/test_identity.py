"""What a cell's id holds, and which edits of the program make which cells run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.config.options import RunOptions, build_options
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import cell_id
from bench.report.leaderboard.build import by_section
from bench.store import base_cache
from bench.store.base_cache import measured_with
from bench.store.store import ResultsStore
from bench.training import schedule
from tasks.prompt import Prompt
from tests.bench.report_cells import make_spec

ROOT = Path(__file__).parents[3]
METHODS = ("lora", "dora", "pissa", "corda", "lora+filter", "lora+freeze")


@pytest.fixture
def ids(tiny_folder, facts_file, tmp_path, monkeypatch):
    """Plan a grid of one cell unless told otherwise; returns its ids."""
    monkeypatch.setattr("bench.models.device._may_have_cuda", lambda: True)
    monkeypatch.setattr("bench.models.device._has_cuda", lambda: True)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "LORA"}))

    def plan(**changes):
        given = {
            "methods": f"peft[path={config}]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "device": "cpu",
            "dtype": "float32",
            "out": tmp_path / "results",
        }
        options = build_options({**given, **changes})
        return {cell.cell_id for cell in plan_grid(options, ResultsStore(options.out))}

    plan.config = config
    return plan


COUNT = {
    "methods": "lora",
    "tasks": "elements",
    "after": "elements:merged",
    "models": None,
    "seeds": "1",
    "lr": "1e-5",
    "tune": "lr=1e-4,1e-5",
    "epochs": 3,
    "batch_size": 4,
    "limit": 5,
    "dtype": "bfloat16",
    "quantize": "4bit",
    "schedule": "constant",
    "warmup": 0.2,
    "accumulation": 2,
    "train_prompt": "few_shot",
}
"""Options that decide what is trained, each with another value."""

DO_NOT_COUNT = {
    "forgetting": "elements,drift",
    "forgetting_limit": 7,
    "evaluate": "gsm8k,lm_eval:piqa",
    "evaluate_limit": 7,
    "device": "cuda:1",
    "device_map": "auto",
    "attention": "eager",
    "gradient_checkpointing": True,
    "data_dir": Path("elsewhere"),
    "out": Path("elsewhere"),
    "reference": "lora",
    "tune_seeds": 3,
    "tune_limit": 7,
    "save_every": 0,
    "checkpoints": "all",
    "rerun": "all",
    "executor": "ray",
    "ray_address": "auto",
    "workers": 3,
    "stack": 4,
    "shard": "1/1",
    "timeout": 5,
    "trust_remote_code": True,
    "save_adapters": True,
    "log_to": "none",
    "explain": True,
}
"""Options that decide where, and what else is measured or kept."""


def test_every_option_is_known_to_count_or_not():
    # `questions` needs a text and has a test of its own, below.
    assert {*COUNT, *DO_NOT_COUNT, "questions"} == {*RunOptions.model_fields}


@pytest.mark.parametrize("option", COUNT)
def test_what_is_trained_counts(ids, option, make_tiny, tiny_parts, tmp_path):
    value = COUNT[option]
    if option == "models":
        value = tmp_path / "another"
        make_tiny(seed=1).save_pretrained(value)
        tiny_parts[1].save_pretrained(value)
    assert not ids() & ids(**{option: str(value)})


@pytest.mark.parametrize("option", DO_NOT_COUNT)
def test_where_and_what_else_does_not_count(ids, option):
    changes = {option: DO_NOT_COUNT[option]}
    if option == "ray_address":
        changes["executor"] = "ray"
    assert ids() == ids(**changes)


def test_threads_do_not_count(ids, monkeypatch):
    before = ids()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert ids() == before


def test_the_content_of_a_file_that_a_recipe_names_counts(ids):
    before = ids()
    ids.config.write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    assert not ids() & before


def test_the_content_of_a_facts_file_counts(ids, facts_file, tmp_path):
    copy = tmp_path / "keys.jsonl"
    copy.write_bytes(facts_file.read_bytes())
    before = ids(tasks=str(copy))
    copy.write_bytes(copy.read_bytes().replace(b"key?", b"lock?"))
    assert not ids(tasks=str(copy)) & before


def test_a_text_and_the_questions_about_it_count(ids, facts_file, tmp_path):
    text, questions = tmp_path / "text.txt", tmp_path / "keys.jsonl"
    text.write_text("The keys hang in the hall.")
    questions.write_bytes(facts_file.read_bytes())
    alone, asked = ids(tasks=str(text)), ids(tasks=str(text), questions=str(questions))
    questions.write_bytes(questions.read_bytes().replace(b"key?", b"lock?"))
    others = ids(tasks=str(text), questions=str(questions))
    text.write_text("The keys hang in the barn.")
    edited = ids(tasks=str(text), questions=str(questions))
    assert len(alone | asked | others | edited) == 4


@pytest.mark.parametrize("value", ["VERSION", "CLIP_NORM", "WEIGHT_DECAY"])
def test_the_values_that_training_uses_count(ids, monkeypatch, value):
    before = ids()
    monkeypatch.setattr(schedule, value, getattr(schedule, value) + 1)
    assert not ids() & before


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("bench.planning.resolver.EVALUATION", 99),
        ("tasks.form.Form.target", lambda _, answer: f" {answer}.\n"),
        ("tasks.form.Form.question", lambda _, question: f"{question}?"),
        ("tasks.prompt.LONGEST_ANSWER", 32),
        ("tasks.form.Form.token_budget", lambda _, longest: min(64, longest + 2)),
    ],
)
def test_what_is_asked_and_how_it_is_measured_count(ids, monkeypatch, place, value):
    before = ids()
    monkeypatch.setattr(place, value)
    assert not ids() & before


def test_how_demonstrations_are_joined_counts(ids, monkeypatch):
    before = ids()
    monkeypatch.setattr(Prompt, "prefix", property(lambda self: str(self.demonstrations)))
    assert not ids() & before


def test_what_measured_a_cell_counts():
    one, other = make_spec(evaluation=2), make_spec(evaluation=3)
    assert cell_id(one) != cell_id(other)
    assert len(by_section([one, other], lambda spec: spec)) == 2, "they measured different things"


def test_what_a_base_said_is_kept_by_the_kind_of_device(monkeypatch):
    found = measured_with(Compute("cpu", "float32"))
    monkeypatch.setattr(base_cache, "provenance", lambda _: {**found, "device_name": "H200"})
    one, other = (measured_with(Compute(device, "bfloat16")) for device in ("cuda:1", "cuda:3"))
    assert one == other
    assert (one["device"], one["device_name"]) == ("cuda", "H200")
    assert "threads" not in one
    assert found["threads"], "on a CPU sums depend on them"


PLAN = """
import json, sys
from bench.config.options import build_options
from bench.planning.grid import plan_grid
from bench.store.base_cache import _program_digest
from bench.store.store import ResultsStore
options = build_options(json.load(sys.stdin))
cells = {cell.spec.method: cell.cell_id for cell in plan_grid(options, ResultsStore(options.out))}
print(json.dumps([cells, _program_digest()]))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory, tiny_folder, facts_file):
    """A copy of the program; edits a file, and returns whose cells and whether a base is anew."""
    folder = tmp_path_factory.mktemp("program")
    for package in ("bench", "methods", "tasks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    options = {
        "methods": ",".join(METHODS),
        "tasks": str(facts_file),
        "models": str(tiny_folder),
        "device": "cpu",
    }

    def plan():
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PLAN],
            cwd=folder,
            env=environment,
            input=json.dumps(options),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    cells, base = plan()
    assert len({*cells.values()}) == len(METHODS)

    def edited(*edits):
        originals = {file: (folder / file).read_text() for file, _, _ in edits}
        try:
            for file, old, new in edits:
                text = (folder / file).read_text()
                assert old in text, f"{file} has no '{old}'"
                (folder / file).write_text(text.replace(old, new, 1))
            now, base_now = plan()
        finally:
            for file, text in originals.items():
                (folder / file).write_text(text)
        return {method for method in METHODS if now[method] != cells[method]}, base_now != base

    return edited


def test_rewording_and_other_pictures_run_nothing_again(program):
    future = "from __future__ import annotations\n"
    code = f"{future}\nEDITED = True\n"
    assert program(
        ("methods/adapters/pissa.py", '"""PiSSA:', '"""Said otherwise:'),
        ("methods/adapters/pissa.py", "        return", "        # why\n\n        return"),
        ("methods/lora_family.py", '"""The LoRA family', '"""Said otherwise'),
        ("bench/training/loop.py", '"""The training loop', '"""Said otherwise'),
        ("bench/inference/decoding.py", future, f"# why\n{future}"),
        ("bench/report/plots/pareto.py", future, code),
        ("bench/report/leaderboard/board.py", future, code),
        ("bench/evaluation/fact_rows.py", future, code),
        ("bench/evaluation/metrics/__init__.py", future, code),
        ("bench/cli/run.py", future, code),
        ("tasks/knowledge/countries.py", future, code),
    ) == (set(), False)


@pytest.mark.parametrize(
    ("file", "old", "new", "users"),
    [
        ("methods/adapters/pissa.py", "self.r, self.scale", "self.r, 2 * self.scale", {"pissa"}),
        ("methods/adapters/dora.py", 'paper = "', 'version = 2\n    paper = "', {"dora"}),
        ("methods/strategies/filter.py", "lam: float = 1.0", "lam: float = 2", {"lora+filter"}),
        ("bench/training/schedule.py", "CLIP_NORM = 1.0", "CLIP_NORM = 2.0", {*METHODS}),
        (
            "methods/versions.py",
            '"low-rank starts": _machinery(1',
            '"low-rank starts": _machinery(2',
            {"pissa", "corda"},
        ),
    ],
)
def test_an_edit_of_what_is_computed_runs_again_what_used_it(program, file, old, new, users):
    assert program((file, old, new)) == (users, False)


def test_an_edit_of_what_asks_a_base_measures_it_anew(program):
    assert program(("bench/inference/decoding.py", "import annotations\n",
                    "import annotations\nEDITED = True\n")) == (set(), True)  # fmt: skip
