"""Logits and losses on target tokens, through whatever adapter wraps the model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.encoding import IGNORED, Batch, Example, batches_by_length, collate
from bench.prefix import Prefix, usable_prefix


def target_logits(model: nn.Module, batch: Batch, prefix: Prefix | None = None) -> Tensor:
    """Return the logits that predict the batch's labels, `[batch, kept, vocabulary]`.

    The head runs inside the model and on the kept positions only, so that prompt adapters and
    logit caps or scales apply, which calling the head by hand would skip.

    Args:
        model: A base or any adapted model.
        batch: What to run.
        prefix: States of tokens that precede every row of the batch.
    """
    device = next(model.parameters()).device
    inputs = {"input_ids": batch.tokens.to(device), "attention_mask": batch.mask.to(device)}
    if prefix is not None:
        ones = inputs["attention_mask"].new_ones(len(batch.tokens), prefix.tokens)
        inputs["attention_mask"] = torch.cat([ones, inputs["attention_mask"]], dim=1)
        inputs["past_key_values"] = prefix.expanded(len(batch.tokens))
    kept = batch.kept.to(device)
    if keeps_logits(model):
        return model(**inputs, logits_to_keep=kept).logits
    return model(**inputs).logits[:, kept]


def fact_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return per example the mean cross-entropy and token accuracy over its target tokens.

    Args:
        logits: `[batch, kept, vocabulary]`.
        labels: `[batch, kept]`, IGNORED where nothing is predicted.

    Returns:
        Two float32 tensors `[batch]`; the loss in nats per token.
    """
    labels = labels.to(logits.device)
    losses = functional.cross_entropy(
        logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    counted = labels != IGNORED
    tokens = counted.sum(1)
    hits = ((logits.argmax(-1) == labels) & counted).sum(1)
    return losses.sum(1) / tokens, hits / tokens


@torch.no_grad()
def negative_log_likelihoods(
    model: nn.Module, examples: Sequence[Example], pad: int, batch_size: int
) -> list[float]:
    """Return the mean negative log-likelihood of each example's target, in nats per token."""
    results = [0.0] * len(examples)
    prefix = usable_prefix(model, [example.tokens[: example.start] for example in examples])
    if prefix is not None:
        examples = [_without(example, prefix.tokens) for example in examples]
    lengths = [len(example.tokens) for example in examples]
    for indices in batches_by_length(lengths, batch_size, None):
        batch = collate(examples, indices, pad)
        losses, _ = fact_losses(target_logits(model, batch, prefix), batch.labels)
        for index, loss in zip(indices, losses.tolist(), strict=True):
            results[index] = loss
    return results


def _without(example: Example, tokens: int) -> Example:
    return Example(example.tokens[tokens:], example.start - tokens)


def keeps_logits(model: nn.Module) -> bool:
    """Return whether the model runs its head on chosen positions only, when asked to."""
    inner = getattr(model, "get_base_model", lambda: model)()
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
