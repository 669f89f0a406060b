"""Answers by `generate`, likelihoods by a forward pass, forgetting by lm-eval: all in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from bench.pages.performance.baseline.job import Job
from bench.pages.performance.baseline.training import encoded, target_losses

BATCH_SIZE = {"cpu": 16, "cuda": 128}
"""By kind of device; larger batches are no faster on a CPU."""


@torch.no_grad()
def answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], budget: int, stops: Sequence[int]
) -> list[str]:
    """Answer greedily, at least one token and up to a stop."""
    found = [""] * len(prompts)
    for indices in _batches([len(prompt) for prompt in prompts], model):
        batch = tokenizer([prompts[i] for i in indices], padding=True, return_tensors="pt")
        batch = batch.to(model.device)
        output = model.generate(
            **batch,
            do_sample=False,
            min_new_tokens=1,
            max_new_tokens=budget,
            eos_token_id=list(stops),
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(
            output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for index, text in zip(indices, texts, strict=True):
            found[index] = text.split("\n")[0].strip()
    return found


@torch.no_grad()
def likelihoods(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Return the mean negative log-likelihood of each target after its prompt."""
    examples = [encoded(tokenizer, prompt, target) for prompt, target in pairs]
    found = [0.0] * len(examples)
    for indices in _batches([len(example.tokens) for example in examples], model):
        losses = target_losses(model, [examples[i] for i in indices], tokenizer.pad_token_id)
        for index, loss in zip(indices, losses.tolist(), strict=True):
            found[index] = loss
    return found


def item_scores(model: Any, tokenizer: Any, job: Job) -> list[float]:
    """Score the job's lm-eval task, document by document."""
    from datasets import Dataset

    data = {"test": Dataset.from_list(job.rows)}
    task = ConfigurableTask(config={**job.task, "custom_dataset": lambda **_: data})
    found = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=_batch_size(model)),
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    metric = next(iter(task.aggregation()))
    [samples] = found["samples"].values()
    return [float(sample[metric]) for sample in samples]


def _batches(lengths: Sequence[int], model: Any) -> Iterator[list[int]]:
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    size = _batch_size(model)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _batch_size(model: Any) -> int:
    return BATCH_SIZE[model.device.type]
