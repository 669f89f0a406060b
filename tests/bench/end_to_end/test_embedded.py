"""The README's first command on the embedded model; its score by lm-eval itself."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.cli import main
from bench.models.gguf import dequantised_folder
from bench.models.loading import load_base
from bench.models.registry import EMBEDDED
from bench.store.records import CellRecord, Forgetting, Status
from bench.store.store import ResultsStore
from tests.bench.readme_commands import RUNS

pytestmark = pytest.mark.integration

ITEMS = 10
METHODS = ("lora", "corda")
SMALL = shlex.split(
    f"--limit 8 --epochs 8 --forgetting-limit {ITEMS} --device cpu --save-adapters --workers 1"
)
"""One worker: cells run in this process, where their base can be looked at."""


@dataclass(frozen=True)
class Ran:
    """What the first command of the README left behind.

    Attributes:
        records: By method.
        out: The results folder.
        changed: Parameters of the resident base that are not what they were.
    """

    records: dict[str, CellRecord]
    out: Path
    changed: list[str]

    def forgetting(self, method: str, task: str) -> Forgetting:
        """Return what was measured on a task."""
        return next(found for found in self.records[method].forgetting if found.task == task)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The README's first command on eight countries, its adapters kept."""
    out, loaded = tmp_path_factory.mktemp("readme") / "results", []

    def load(*names, **options):
        base = load_base(*names, **options)
        state = base.model.state_dict()
        loaded.append((state, {name: tensor.clone() for name, tensor in state.items()}))
        return base

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.cell.context.load_base", load)
        patch.setattr("bench.libraries.quiet_libraries", lambda: None)
        assert main(["run", *RUNS[0], *SMALL, "--out", str(out)]) == 0
    for number, handler in handlers.items():
        signal.signal(number, handler)
    [(after, before)] = loaded
    changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    records = ResultsStore(out).records().records
    return Ran({record.spec.method: record for record in records}, out, changed)


def test_the_first_command_of_the_readme_runs_and_leaves_the_base_as_it_was(ran):
    assert RUNS[0] == ["--methods", "lora,corda"], "what everyone types first"
    assert set(ran.records) == set(METHODS)
    for record in ran.records.values():
        assert record.status is Status.DONE, record.traceback or record.reason
    assert not ran.changed
    board = pd.read_csv(ran.out / "leaderboard.csv")
    assert set(board["method"]) == set(METHODS)
    assert list(board["seeds"]) == [1, 1]
    plots = {path.suffix: path.stat().st_size for path in (ran.out / "plots").iterdir()}
    assert set(plots) == {".png", ".svg"}
    assert min(plots.values()) > 5000


def test_lora_learns_eight_facts(ran):
    record = ran.records["lora"]
    assert record.metrics.reliability >= 0.7
    assert record.metrics.reliability > record.metrics.reliability_before
    assert record.init_difference == 0.0
    assert len(ran.forgetting("lora", "elements").tuned_items) == ITEMS
    assert 0 < ran.forgetting("lora", "elements").tuned < 1
    assert 0 < ran.forgetting("lora", "drift").forgetting < 1


def test_lm_eval_gives_the_saved_adapter_the_score_of_its_cell(ran, tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    name = "smollm2-135m"
    assert main(["export-task", "elements", str(tmp_path / "tasks")]) == 0
    base = HFLM(
        pretrained=str(dequantised_folder(name, EMBEDDED[name], print)),
        peft=str(ran.out / ran.records["lora"].adapter_path),
        dtype="float32",
        device="cpu",
        batch_size=ITEMS,
    )
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    results = simple_evaluate(base, tasks=["elements"], limit=ITEMS, task_manager=manager)
    found = results["results"]["elements"]
    assert found["acc,none"] == pytest.approx(ran.forgetting("lora", "elements").tuned)


def test_its_adapters_have_cards_and_leave_for_other_programs(ran, tmp_path, capsys):
    from huggingface_hub import ModelCard

    from bench.publishing.gguf_lora import read_gguf
    from methods.two_steps.saved import scaled_factors

    record = ran.records["corda"]
    folder = ran.out / record.adapter_path
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (card.data.license, card.data.language) == ("apache-2.0", "en")
    assert 'load_base("smollm2-135m")' in card.text
    for form in ("vllm", "gguf"):
        words = ["export-adapter", record.cell_id, str(tmp_path / form), "--format", form]
        assert main([*words, "--out", str(ran.out)]) == 0
    assert "--max-lora-rank 32" in capsys.readouterr().out, "its rank is 2r"
    saved = scaled_factors(folder)
    written = read_gguf(tmp_path / "gguf/adapter.gguf")
    assert len(written) == len(saved) == 7 * 30
    for name, gguf_name in (("down_proj", "ffn_down"), ("gate_proj", "ffn_gate")):
        A, B = saved[f"model.layers.29.mlp.{name}"]
        down, up = written[f"blk.29.{gguf_name}.weight"]
        assert torch.allclose(up @ down, B @ A, atol=1e-6)
    assert main(["merge", record.cell_id, str(tmp_path / "merged"), "--out", str(ran.out)]) == 0
