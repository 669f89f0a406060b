"""Adapters as PEFT's documentation makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from torch import nn

from bench.pages.performance.baseline.job import Job


def adapted(model: Any, tokenizer: Any, job: Job) -> nn.Module:
    """Return the model with the job's adapter, its calibration and decomposition included."""
    torch.manual_seed(job.seed)
    if job.method == "full":
        return model.requires_grad_(True)
    config = lora_config(model, job.method, job.rank, job.layers)
    if job.method.startswith("corda"):
        preprocess_corda(model, config, partial(calibrate, model, tokenizer, job.calibration))
    torch.manual_seed(job.seed)
    return get_peft_model(model, config)


def lora_config(
    model: Any, method: str, rank: int, layers: Sequence[int] | None = None
) -> LoraConfig:
    """Return PEFT's configuration: every linear layer but the head, of all or some layers."""
    options: dict[str, Any] = {}
    if method.startswith("corda"):
        mode = method.removeprefix("corda_")
        options = {"init_lora_weights": "corda", "corda_config": CordaConfig(corda_method=mode)}
    elif method == "pissa":
        options = {"init_lora_weights": "pissa"}
    elif method == "dora":
        options = {"use_dora": True}
    targets = linear_names(model, layers)
    return LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=rank, target_modules=targets, **options
    )


def linear_names(model: Any, layers: Sequence[int] | None) -> list[str]:
    """Return the names of the linear layers, of all or some decoder layers, without the head."""
    wanted = None if layers is None else {f"model.layers.{layer}." for layer in layers}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not model.get_output_embeddings()
        and (wanted is None or any(name.startswith(start) for start in wanted))
    ]


@torch.no_grad()
def calibrate(model: Any, tokenizer: Any, texts: Sequence[str]) -> None:
    """Run each text alone: PEFT's hooks raise on larger batches, and padding would be counted."""
    for text in texts:
        model(**tokenizer(text, return_tensors="pt").to(model.device))
