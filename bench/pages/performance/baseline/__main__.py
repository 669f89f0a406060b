"""`python -m bench.pages.performance.baseline JOB.json FOUND.json`: one method, load to answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.pages.performance.baseline.adapters import adapted
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
    with _timed(seconds, "before"):
        before = _asked(model.eval(), tokenizer, job)
    with _timed(seconds, "prepare"):
        model = adapted(model, tokenizer, job)
    with _timed(seconds, "train"):
        losses = train(model, tokenizer, job)
    with _timed(seconds, "after"):
        after = _asked(model, tokenizer, job)
    return Found(
        losses=losses,
        answers_before=before[0],
        answers=after[0],
        nll_before=before[1],
        nll=after[1],
        items_before=before[2],
        items=after[2],
        seconds=seconds,
    )


def _asked(model: Any, tokenizer: Any, job: Job) -> tuple[list[str], list[float], list[float]]:
    return (
        answers(model, tokenizer, job.questions, job.budget, job.stops),
        likelihoods(model, tokenizer, job.likely),
        item_scores(model, tokenizer, job),
    )


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - started


if __name__ == "__main__":
    run(Job.read(Path(sys.argv[1]))).write(Path(sys.argv[2]))
