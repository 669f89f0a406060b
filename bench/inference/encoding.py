"""Facts as token batches: the loss and the likelihoods look at target tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from tasks.prompt import target_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
TEXTS_AT_ONCE = 1024
"""Texts in one call of a tokenizer: its threads' worth, and next to no memory."""

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
        indices: Which examples, `[batch]`.
        tokens, mask: Token ids and attention mask, `[batch, seq]`.
        labels: The token to predict *from* each position that is kept, else IGNORED,
            `[batch, kept]`.
        kept: Positions whose logits are needed, counted from the end (negative), so that tokens
            which prompt adapters put in front do not shift them, `[kept]`.
    """

    indices: Tensor
    tokens: Tensor
    mask: Tensor
    labels: Tensor
    kept: Tensor

    @property
    def padded_tokens(self) -> int:
        """Tokens the model computes on, padding included."""
        return self.tokens.numel()


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Example:
    """Encode a prompt and the target of its answer; the seam is the same as in generation."""
    before = tokenizer(prompt)["input_ids"]
    target = tokenizer(target_text(answer), add_special_tokens=False)["input_ids"]
    return Example((*before, *target), len(before))


def encode_all(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]
) -> list[Example]:
    """Encode prompts with their answers as `encode` does, many in one call of the tokenizer."""
    found: list[Example] = []
    for start in range(0, len(pairs), TEXTS_AT_ONCE):
        prompts, answers = zip(*pairs[start : start + TEXTS_AT_ONCE], strict=True)
        before = tokenizer(list(prompts))["input_ids"]
        targets = tokenizer([target_text(a) for a in answers], add_special_tokens=False)
        found += [
            Example((*left, *right), len(left))
            for left, right in zip(before, targets["input_ids"], strict=True)
        ]
    return found


def collate(examples: Sequence[Example], indices: Sequence[int], pad: int) -> Batch:
    """Pad the chosen examples on the right, on the CPU."""
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


def batches_by_length(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator | None
) -> list[list[int]]:
    """Group indices of like length; with a generator, shuffle within lengths and the batches.

    The order depends on the generator and the lengths alone.
    """
    order = range(len(lengths))
    shuffled = _shuffle(list(order), generator)
    shuffled.sort(key=lambda index: lengths[index])
    batches = [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]
    return _shuffle(batches, generator)


def _shuffle(items: list[T], generator: torch.Generator | None) -> list[T]:
    if generator is None:
        return items
    return [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
