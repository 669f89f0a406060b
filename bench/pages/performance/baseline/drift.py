"""Drift: mean KL(base || tuned) on text that the base itself wrote, as one would write it plainly.

The log-probabilities of the untouched base are kept; the tuned model runs the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.pages.performance.baseline.job import Job

TEXTS_AT_ONCE = 8
"""Logits of eight texts of 64 tokens take 100 MB with a vocabulary of 49,152."""


@dataclass(frozen=True)
class OwnTexts:
    """What the base wrote, and how likely it found each next token.

    Attributes:
        batches: Token ids, `[texts, start + tokens]` each.
        pristine: The base's log-probabilities, float32 `[texts, tokens, vocabulary]` each.
    """

    batches: Sequence[Tensor]
    pristine: list[Tensor]


@torch.no_grad()
def own_texts(model: Any, tokenizer: Any, job: Job) -> OwnTexts:
    """Sample the job's texts from the untouched base; none if it has no starts."""
    if not job.drift_starts:
        return OwnTexts((), [])
    starts = torch.tensor(job.drift_starts, device=model.device)
    torch.manual_seed(job.drift_seed)
    texts: Tensor = model.generate(
        starts,
        attention_mask=torch.ones_like(starts),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        min_new_tokens=job.drift_tokens,
        max_new_tokens=job.drift_tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    batches = texts.split(TEXTS_AT_ONCE)
    return OwnTexts(batches, [_log_probabilities(model, texts, job) for texts in batches])


@torch.no_grad()
def divergences(model: Any, written: OwnTexts, job: Job, count: int | None = None) -> list[float]:
    """Return the mean KL of each text, in nats per token.

    Args:
        model: The tuned model, in evaluation mode.
        written: The base's texts.
        job: Says how many tokens count.
        count: How many of the first texts are measured; None: all.
    """
    found: list[float] = []
    for texts, pristine in zip(written.batches, written.pristine, strict=True):
        if count is not None and len(found) >= count:
            break
        tuned = _log_probabilities(model, texts, job)
        found += (pristine.exp() * (pristine - tuned)).sum(-1).mean(-1).tolist()
    return found[:count]


def _log_probabilities(model: Any, texts: Tensor, job: Job) -> Tensor:
    logits: Tensor = model(input_ids=texts[:, :-1]).logits[:, -job.drift_tokens :]
    return logits.float().log_softmax(-1)
