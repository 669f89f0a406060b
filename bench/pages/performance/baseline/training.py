"""A plain loop: batches by length, padded, logits of all tokens, AdamW with a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.pages.performance.baseline.job import Job

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """Token ids of a prompt with its target, and the labels: the target's tokens alone."""

    tokens: list[int]
    labels: list[int]


def encoded(tokenizer: Any, prompt: str, target: str) -> Encoded:
    """Encode a prompt and its target."""
    before = tokenizer(prompt)["input_ids"]
    after = tokenizer(target, add_special_tokens=False)["input_ids"]
    return Encoded(before + after, [IGNORED] * len(before) + after)


def train(
    model: nn.Module,
    tokenizer: Any,
    job: Job,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[float]:
    """Train what requires gradients; return the loss of each step.

    Args:
        model: The model with its adapter.
        tokenizer: Pads batches.
        job: The facts and the schedule.
        on_step: Called after each step.
        on_epoch: Called after each epoch with the number of epochs done.
    """
    pairs = zip(job.prompts, job.targets, strict=True)
    examples = [encoded(tokenizer, prompt, target) for prompt, target in pairs]
    weights = torch.tensor(job.weights, device=_device(model))
    steps = math.ceil(len(examples) / job.batch_size) * job.epochs
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=job.learning_rate, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps))
    generator = torch.Generator().manual_seed(job.order_seed)
    losses = []
    model.train()
    for epoch in range(job.epochs):
        for indices in shuffled_batches(examples, job.batch_size, generator):
            loss = batch_loss(model, [examples[i] for i in indices], weights[indices], tokenizer)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            on_step()
        on_epoch(epoch + 1)
    model.eval()
    return losses


def factor(step: int, steps: int) -> float:
    """Return the share of the learning rate: a tenth of the steps up, then a cosine down."""
    warmup = max(1, round(0.1 * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def shuffled_batches(
    examples: Sequence[Encoded], size: int, generator: torch.Generator
) -> list[list[int]]:
    """Return batches of like length in random order."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    order.sort(key=lambda index: len(examples[index].tokens))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def batch_loss(
    model: nn.Module, batch: Sequence[Encoded], weights: Tensor, tokenizer: Any
) -> Tensor:
    """Return the weighted mean over facts of the mean cross-entropy over target tokens."""
    losses = target_losses(model, batch, tokenizer.pad_token_id)
    return (weights * losses).sum() / len(batch)


def target_losses(model: nn.Module, batch: Sequence[Encoded], pad: int) -> Tensor:
    """Return the mean cross-entropy of each example's target tokens, `[batch]`."""
    width, device = max(len(example.tokens) for example in batch), _device(model)
    tokens, labels, mask = (
        torch.tensor(rows, device=device)
        for rows in (
            [e.tokens + [pad] * (width - len(e.tokens)) for e in batch],
            [e.labels + [IGNORED] * (width - len(e.tokens)) for e in batch],
            [[1] * len(e.tokens) + [0] * (width - len(e.tokens)) for e in batch],
        )
    )
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1].float()
    losses = functional.cross_entropy(
        logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
    )
    return losses.sum(1) / (labels[:, 1:] != IGNORED).sum(1)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
