"""Cells of a small model of random weights, on any device: what must agree between devices."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from bench.cell.attach import attach
from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.cost_cache import CostCache
from bench.store.store import ResultsStore
from bench.training.loop import train
from tests.conftest import byte_tokenizer

TOKENIZER = "SEMANTIC_PEFT_BENCH_TOKENIZER"
"""The variable that names a folder with a tokenizer; without it every byte is a token."""

RECIPES = (
    "lora",
    "dora",
    "rslora",
    "pissa",
    "milora",
    "olora",
    "corda[mode=kpm]",
    "corda[mode=ipm]",
    "eva",
    "astra",
    "sc_lora",
    "lora_null[variant=v2]",
    "mica",
    "oplora",
    "corda_pp",
    "lora_ga",
    "lora_one",
    "keep_lora",
    "kasa",
    "osf",
    "full",
    "lora+freeze",
    "lora+filter[centred=true]",
    "lora+reweight[refresh=2]",
)
"""Every adapter and strategy, and the space whose centre is taken over the whole vocabulary."""

CHEAP = ("full", "lora+filter[centred=true]")
"""Those that a CPU tries against itself, so that no mistake in these files waits for a GPU."""

NEEDS_GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))
GPU = "cuda:0"
EVERYWHERE = ("cpu", pytest.param(GPU, marks=NEEDS_GPU))
"""The devices of a test that a CPU can try as well."""

PAIRS = (
    *(("cpu", recipe) for recipe in CHEAP),
    *(pytest.param(GPU, recipe, marks=NEEDS_GPU) for recipe in RECIPES),
)
"""Devices with the recipes to try there."""


def make_model(folder, dtype="float32", **sizes):
    """Write a Llama of random weights and its tokenizer; return the folder."""
    chosen = os.environ.get(TOKENIZER)
    tokenizer = AutoTokenizer.from_pretrained(chosen) if chosen else byte_tokenizer()
    config = LlamaConfig(
        **{
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "vocab_size": len(tokenizer),
            "tie_word_embeddings": True,
            "initializer_range": 0.1,  # answers depend on questions more than with 0.02
            **sizes,
        }
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass
class Device:
    """A device with a dtype, and the cells that have run there.

    Attributes:
        model: The folder of the model.
        name, dtype: Where, and in which dtype of the base.
        out: The results folder.
    """

    model: Path
    name: str
    dtype: str
    out: Path
    _records: dict = field(default_factory=dict)

    def planned(self, recipe, **changes):
        """Return the options and the planned cell of a recipe."""
        given = {
            "methods": recipe,
            "tasks": "countries",
            "models": str(self.model),
            "forgetting": "elements,drift",
            "forgetting_limit": 4,
            "limit": 12,
            "epochs": 4,
            "lr": 2e-3,
            "device": self.name,
            "dtype": self.dtype,
            "out": self.out,
        }
        options = build_options({**given, **changes})
        [cell] = plan_grid(options, ResultsStore(options.out))
        return options, cell

    @cached_property
    def context(self):
        """What all cells of the device share."""
        options, _ = self.planned("lora")
        return CellContext(options, Compute(self.name, self.dtype), lambda line: None)

    def record(self, recipe):
        """Run a recipe's cell, once; return its record."""
        if recipe not in self._records:
            self._records[recipe] = self.run(recipe)
        return self._records[recipe]

    def run(self, recipe, **changes):
        """Run a recipe's cell; return its record."""
        _, cell = self.planned(recipe, **changes)
        return run_cell(cell, self.context, Silent()).record

    def attached(self, recipe, **changes):
        """Attach a recipe's adapter to the borrowed base; return it with its cell."""
        _, cell = self.planned(recipe, **changes)
        base = self.context.start_cell(cell)
        known = BaseSignals(base, cell.data.facts, cell.data.prompt, CostCache())
        return attach(base, known, cell.recipe, cell.spec, cell.calibration), cell

    def losses(self, recipe, micro_batches=1):
        """Train a recipe's cell; return the loss of every step."""
        made, cell = self.attached(recipe)
        plan = replace(made.plan, micro_batches=micro_batches)
        torch.manual_seed(cell.spec.seed)
        return train(made.model, cell.recipe.adapter, plan, lambda *_: None).losses


def measured(record):
    """Return what a cell measured that must agree, by name."""
    found = {f"loss of epoch {point.epoch}": point.loss for point in record.curve}
    found |= {"likelihood": record.metrics.nll_after, "before": record.metrics.nll_before}
    return found | {f"{task.task}": task.forgetting for task in record.forgetting}
