"""Logits and losses on target tokens, of a base or any adapted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.inference.batch_size import rows_at_once
from bench.inference.encoding import IGNORED, Batch, Example, batches_by_length, collate, repeated
from bench.inference.lm_head import logits_at
from bench.inference.prefix_cache import Prefix, usable_prefix
from bench.models.capabilities import has_virtual_tokens, members_of, takes


def target_logits(model: nn.Module, batch: Batch, prefix: Prefix | None = None) -> Tensor:
    """Return the logits that predict the batch's labels, `[batch, kept, vocabulary]`.

    Args:
        model: A base or any adapted model.
        batch: The batch to run.
        prefix: The states of tokens that precede every row of the batch; None if rows are whole.
    """
    device = next(model.parameters()).device
    tokens, mask = batch.tokens.to(device), batch.mask.to(device)
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask}
    if prefix is not None:
        ones = mask.new_ones(len(tokens), prefix.tokens)
        inputs["attention_mask"] = torch.cat([ones, mask], dim=1)
        inputs["past_key_values"] = prefix.expanded(len(tokens) // members_of(model))
    elif takes(model, "use_cache") and not has_virtual_tokens(model):
        inputs["use_cache"] = False
    return logits_at(model, batch.kept.to(device), **inputs)


def fact_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy and the accuracy over the target tokens of each example.

    Args:
        logits: Logits, `[batch, kept, vocabulary]`.
        labels: Tokens to predict, IGNORED where nothing is, `[batch, kept]`.

    Returns:
        The loss in nats per token and the accuracy in [0, 1], both float32 `[batch]`.
    """
    labels = labels.to(logits.device)
    # Rows of logits: along another axis torch adds them up one by one, off by 7e-5 nats of 49,152.
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(labels)
    counted = labels != IGNORED
    tokens = counted.sum(1)
    hits = ((logits.argmax(-1) == labels) & counted).sum(1)
    return losses.sum(1) / tokens, hits / tokens


@torch.no_grad()
def negative_log_likelihoods(
    model: nn.Module, examples: Sequence[Example], pad: int, batch_size: int | None = None
) -> list[float]:
    """Return the mean negative log-likelihood of each example's target, in nats per token.

    For the arguments see `likelihoods_of_members`, whose case of one member this is.
    """
    [found] = likelihoods_of_members(model, examples, pad, batch_size)
    return found


@torch.no_grad()
def likelihoods_of_members(
    model: nn.Module, examples: Sequence[Example], pad: int, batch_size: int | None = None
) -> list[list[float]]:
    """Return `negative_log_likelihoods` of each member, `[members][examples]`.

    Args:
        model: A base, any adapted model or several stacked ones, in evaluation mode.
        examples: Prompts with their targets.
        pad: Token id of padding.
        batch_size: Examples per batch and member; None: see `rows_at_once`.
    """
    members = members_of(model)
    results = [[0.0] * len(examples) for _ in range(members)]
    # One example shares nothing: running its prompt first, with a check, would take three passes.
    prompts = [example.tokens[: example.start] for example in examples]
    prefix = usable_prefix(model, prompts) if len(prompts) > 1 else None
    if prefix is not None:
        known = prefix.tokens
        examples = [Example(e.tokens[known:], e.start - known) for e in examples]
    lengths = [len(example.tokens) for example in examples]
    if batch_size is None:
        width = max(lengths, default=1) + (prefix.tokens if prefix else 0)
        kept = max((len(e.tokens) - e.start for e in examples), default=1)
        batch_size = rows_at_once(model, width=width, kept=kept)
    for indices in batches_by_length(lengths, batch_size, None):
        batch = repeated(collate(examples, indices, pad), members)
        losses, _ = fact_losses(target_logits(model, batch, prefix), batch.labels)
        for own, of_member in zip(results, losses.view(members, -1).tolist(), strict=True):
            for index, loss in zip(indices, of_member, strict=True):
                own[index] = loss
    return results
