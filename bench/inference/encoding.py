"""Facts as token batches, in which loss and likelihoods look only at target tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
TEXTS_AT_ONCE = 1024
"""Texts per tokenizer call: enough to keep its threads busy with little memory."""

PADDING = 5
"""Columns of padding with which a batch is run again to see what they change."""

T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One prompt with its target.

    Attributes:
        tokens: Token ids of the prompt and the target.
        start: Index of the first target token.
    """

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right.

    Attributes:
        indices: Which examples these are, `[batch]`.
        tokens: Token ids, `[batch, seq]`.
        mask: Attention mask, `[batch, seq]`.
        labels: The token to predict *from* each kept position, or IGNORED, `[batch, kept]`.
        kept: Positions whose logits are needed, `[kept]`. They are negative, counted from the end,
            so that tokens which prompt adapters put in front do not shift them.
    """

    indices: Tensor
    tokens: Tensor
    mask: Tensor
    labels: Tensor
    kept: Tensor

    @property
    def padded_tokens(self) -> int:
        """Number of tokens the model computes on, padding included."""
        return self.tokens.numel()


def token_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, special: bool = True
) -> list[list[int]]:
    """Return the token ids of each text, many texts in one tokenizer call.

    Args:
        tokenizer: The base's tokenizer.
        texts: Any number of texts.
        special: Whether to add the special tokens with which a prompt begins.
    """
    found: list[list[int]] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some = list(texts[start : start + TEXTS_AT_ONCE])
        found += tokenizer(some, add_special_tokens=special)["input_ids"]
    return found


def encode_all(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]], *, ended: bool = False
) -> list[Example]:
    """Encode prompts with what follows them, such as `tasks.form.Form.target` of an answer.

    Prompt and target are encoded separately, because an answer that is generated also begins with
    a new token.

    Args:
        tokenizer: The base's tokenizer.
        pairs: Prompts and targets.
        ended: Whether the end-of-sequence token follows each target, if the tokenizer has one.
    """
    prompts = token_ids(tokenizer, [prompt for prompt, _ in pairs])
    targets = token_ids(tokenizer, [target for _, target in pairs], special=False)
    end = [tokenizer.eos_token_id] if ended and tokenizer.eos_token_id is not None else []
    return [
        Example((*prompt, *target, *end), len(prompt))
        for prompt, target in zip(prompts, targets, strict=True)
    ]


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], window: int
) -> list[Example]:
    """Pack texts into windows in which every token but the first is predicted.

    Args:
        tokenizer: The base's tokenizer.
        texts: The texts, which are joined by newlines.
        window: Tokens per window, the last of which may be shorter; 0: one for all.
    """
    # Not verbose: what is joined is longer than any model's context, and is cut afterwards.
    tokens = list(tokenizer("\n".join(texts), verbose=False)["input_ids"])
    size = window or max(1, len(tokens))
    rows = [tuple(tokens[start : start + size]) for start in range(0, len(tokens), size)]
    return [Example(row, 1) for row in rows if len(row) > 1]


def shortened(example: Example, most: int) -> Example:
    """Return an example of at most `most` tokens, its end cut off.

    If the prompt alone is as long, its own end is cut further, so that the first token of the
    target is still predicted: a mean over no tokens is not a number.
    """
    if len(example.tokens) <= most:
        return example
    start = min(example.start, most - 1)
    target = example.tokens[example.start :]
    return Example((*example.tokens[:start], *target)[:most], start)


def collate(examples: Sequence[Example], indices: Sequence[int], pad: int) -> Batch:
    """Return a batch of some examples, padded on the right, on the CPU.

    Args:
        examples: All examples.
        indices: Which of them to include, in this order.
        pad: Token id of padding.
    """
    chosen = [examples[index] for index in indices]
    longest = max(len(example.tokens) for example in chosen)
    first = min(example.start for example in chosen) - 1
    tokens = torch.full((len(chosen), longest), pad)
    mask = torch.zeros_like(tokens)
    labels = torch.full((len(chosen), longest), IGNORED)
    for row, example in enumerate(chosen):
        size = len(example.tokens)
        tokens[row, :size] = torch.tensor(example.tokens)
        mask[row, :size] = 1
        labels[row, example.start - 1 : size - 1] = tokens[row, example.start : size]
    kept = torch.arange(first, longest - 1) - longest
    return Batch(torch.tensor(indices), tokens, mask, labels[:, first : longest - 1], kept)


def wider(batch: Batch, padding: int) -> Batch:
    """Return a batch with more columns of padding on the right, which change nothing but rounding.

    Args:
        batch: The batch.
        padding: Number of columns to add; the first token of the batch fills them.
    """
    added = batch.tokens[:1, :1].expand(len(batch.tokens), padding)
    tokens = torch.cat([batch.tokens, added], dim=1)
    mask = torch.cat([batch.mask, torch.zeros_like(added)], dim=1)
    return replace(batch, tokens=tokens, mask=mask, kept=batch.kept - padding)


def repeated(batch: Batch, members: int) -> Batch:
    """Return a batch with the same rows for each member, those of the first member first."""
    if members == 1:
        return batch
    rows = {name: getattr(batch, name).repeat(members, 1) for name in ("tokens", "mask", "labels")}
    return replace(batch, indices=batch.indices.repeat(members), **rows)


def batches_by_length(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator | None
) -> list[list[int]]:
    """Return batches of indices, with similar lengths in each batch.

    Args:
        lengths: Length of each example or prompt, in tokens.
        batch_size: Indices per batch, fewer in the last.
        generator: Shuffles indices of equal length, and the batches; None keeps their order. The
            order depends on nothing but lengths and generator.
    """
    shuffled = _shuffle(list(range(len(lengths))), generator)
    shuffled.sort(key=lambda index: lengths[index])
    batches = [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]
    return _shuffle(batches, generator)


def _shuffle(items: list[T], generator: torch.Generator | None) -> list[T]:
    if generator is None:
        return items
    return [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
