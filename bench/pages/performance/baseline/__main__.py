"""`python -m bench.pages.performance.baseline JOB.json FOUND.json`: one method, load to answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.pages.performance.baseline.adapters import adapted
from bench.pages.performance.baseline.drift import divergences, own_texts
from bench.pages.performance.baseline.evaluation import answers, item_scores, likelihoods
from bench.pages.performance.baseline.job import Found, Job
from bench.pages.performance.baseline.training import train


def run(job: Job) -> Found:
    """Run a job: ask, adapt, train, ask again."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        tokenizer = AutoTokenizer.from_pretrained(job.model, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model: Any = AutoModelForCausalLM.from_pretrained(job.model, dtype=job.dtype)
        model = model.to(job.device)
    with _timed(seconds, "before"):
        before = _asked(model.eval(), tokenizer, job, job.asked_before)
        written = own_texts(model, tokenizer, job)
    with _timed(seconds, "prepare"):
        model = adapted(model, tokenizer, job)
    path: list[float] = []

    def on_epoch(epoch: int) -> None:
        if job.drift_starts and epoch < job.epochs:
            with _timed(seconds, "path"):
                model.eval()
                path.append(fmean(divergences(model, written, job, job.drift_checkpoint)))
                model.train()

    with _timed(seconds, "train"):
        losses = train(model, tokenizer, job, on_epoch=on_epoch)
    seconds["train"] -= seconds.get("path", 0.0)
    with _timed(seconds, "after"):
        after = _asked(model, tokenizer, job, job.asked)
        drift = divergences(model, written, job)
    return Found(
        losses=losses,
        answers_before=before[0],
        answers=after[0],
        nll_before=before[1],
        nll=after[1],
        items_before=before[2],
        items=after[2],
        path=path,
        drift=drift,
        seconds=seconds,
    )


def _asked(
    model: Any, tokenizer: Any, job: Job, prompts: list[str]
) -> tuple[list[str], list[float], list[float]]:
    return (
        answers(model, tokenizer, prompts, job.budget, job.stops),
        likelihoods(model, tokenizer, job.likely),
        item_scores(model, tokenizer, job),
    )


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the block's wall seconds to a phase, all work of a GPU done."""
    started = _settled()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + _settled() - started


def _settled() -> float:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run(Job.read(Path(sys.argv[1]))).write(Path(sys.argv[2]))
