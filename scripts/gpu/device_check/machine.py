"""What a check runs on: the device, shapes of models, cells to run, and tables of what it finds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from bench.cell.attach import Attached, attach
from bench.config.options import RunOptions, build_options
from bench.config.types import DType
from bench.evaluation.signals import BaseSignals
from bench.models.loading import Base, load_base
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.cost_cache import CostCache
from bench.store.store import ResultsStore

TableRow = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama.

    Attributes:
        hidden, layers, inner, heads, shared_heads: As in its configuration.
        vocabulary: Number of tokens; 0 for those of the tokenizer.
        tied: Whether the head is the embedding.
    """

    hidden: int
    layers: int
    inner: int
    heads: int
    shared_heads: int
    vocabulary: int = 128256
    tied: bool = True


SHAPES = {
    "tiny": Shape(64, 4, 128, 4, 2, vocabulary=0),
    "1b": Shape(2048, 16, 8192, 32, 8),
    "8b": Shape(4096, 32, 14336, 32, 8, tied=False),
}


@dataclass
class Check:
    """One run of the check.

    Attributes:
        out: Folder of the report and of results.
        tokenizer: Folder of a tokenizer.
        models: Folder for random weights, several GB.
        device: Such as `cuda:0` or `cpu`.
        shape: The shape of most stages: `1b`, or `tiny` on a CPU.
        tables: The titles of tables written so far, with their rows.
        flops: Operations per second of a large product in the dtype of the base; 0 if unknown.
    """

    out: Path
    tokenizer: Path
    models: Path
    device: str
    shape: str
    tables: dict[str, list[TableRow]] = field(default_factory=dict)
    flops: float = 0.0

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU is checked."""
        return self.device.startswith("cuda")

    @property
    def dtype(self) -> str:
        """The number format of bases: bfloat16 on a GPU."""
        return "bfloat16" if self.on_gpu else "float32"

    @property
    def large(self) -> str:
        """The shape of stages that fill the device."""
        return "8b" if self.on_gpu else "tiny"

    def tell(self, title: str, rows: Sequence[TableRow]) -> None:
        """Add a table to the report, and print it."""
        self.tables[title] = list(rows)
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [names, ["---"] * len(names)]
        lines += [[_written(row.get(name, "")) for name in names] for row in rows]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        print(text := f"\n## {title}\n\n{text}", flush=True)
        with (self.out / "gpu.md").open("a", encoding="utf-8") as report:
            report.write(text)

    def fail(self, title: str, why: str, trace: str) -> None:
        """Report what failed, and keep its traceback."""
        self.tell(f"{title} failed", [{"why": why[:300]}])
        self.keep(trace)

    def keep(self, trace: str) -> None:
        """Add a traceback, which may be empty, to `failures.txt`."""
        with (self.out / "failures.txt").open("a", encoding="utf-8") as failures:
            failures.write(trace)

    def settled(self) -> float:
        """Return the time in seconds, all work of the GPU done."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def peak(self) -> float:
        """Return the most GiB of the GPU that were allocated since the last reset; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.on_gpu else 0.0

    def allocated(self) -> float:
        """Return the GiB of the GPU that are allocated now; 0 on a CPU."""
        return torch.cuda.memory_allocated(self.device) / 2**30 if self.on_gpu else 0.0

    def reset_peak(self) -> None:
        """Start a new peak of memory."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def folder(self, shape: str) -> Path:
        """Return the folder of a shape's random weights, made on first use."""
        folder = self.models / shape
        if not (folder / "model.safetensors").exists():
            self._made(shape).save_pretrained(folder)
            AutoTokenizer.from_pretrained(self.tokenizer).save_pretrained(folder)
        return folder

    def base(self, shape: str) -> Base:
        """Return a base of random weights on the device, read from a file."""
        return load_base(str(self.folder(shape)), dtype=DType(self.dtype), device=self.device)

    def unsaved_base(self, shape: str) -> Base:
        """Return a base of random weights that were made on the device: 16 GB need no disk.

        Its folder holds the configuration and the tokenizer, from which cells can be planned.
        """
        folder = self.models / f"{shape}-unsaved"
        tokenizer, model = AutoTokenizer.from_pretrained(self.tokenizer), self._made(shape)
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
        return Base(str(folder), "random", model.eval().requires_grad_(False), tokenizer)

    def _made(self, shape: str) -> Any:
        sizes = SHAPES[shape]
        vocabulary = sizes.vocabulary or len(AutoTokenizer.from_pretrained(self.tokenizer))
        config = LlamaConfig(
            hidden_size=sizes.hidden,
            num_hidden_layers=sizes.layers,
            intermediate_size=sizes.inner,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.shared_heads,
            vocab_size=vocabulary,
            tie_word_embeddings=sizes.tied,
            max_position_embeddings=4096,
        )
        torch.manual_seed(0)
        with torch.device(self.device):
            return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, self.dtype))


def _written(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def planned(
    check: Check,
    model: str,
    methods: Sequence[str],
    *,
    device: str = "",
    dtype: str = "",
    **more: object,
) -> tuple[RunOptions, list[PlannedCell]]:
    """Return options and planned cells.

    Args:
        check: The check.
        model: Folder of the model.
        methods: The methods.
        device: Where to compute; without it the device that is checked.
        dtype: The number format of the base; without it that of the device.
        **more: Further options.
    """
    told: dict[str, object] = {
        "methods": list(methods),
        "models": model,
        "device": device or check.device,
        "dtype": dtype or check.dtype,
        "out": check.out / "none",
        "forgetting": "elements,drift",
        "forgetting_limit": 8,
        **more,
    }
    options = build_options(told)
    return options, plan_grid(options, ResultsStore(options.out))


def attached(base: Base, cell: PlannedCell) -> Attached:
    """Attach a cell's adapter to a base of which nothing is known."""
    known = BaseSignals(base, cell.data.facts, cell.data.prompt, CostCache())
    return attach(base, known, cell.recipe, cell.spec, cell.calibration)
