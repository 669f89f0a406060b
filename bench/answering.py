"""Greedy answers to prompts, in batches sorted by length, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.encoding import batches_by_length
from tasks.prompt import STOP, target_text

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase

LONGEST_ANSWER = 64
SPARE_TOKENS = 4
NEWLINE_MARKS = ("\n", "Ċ", "<0x0A>")
"""How a newline is spelled in vocabularies: plain, byte-level, byte fallback."""


def answer_budget(tokenizer: PreTrainedTokenizerBase, targets: Sequence[str]) -> int:
    """Return how many tokens an answer may have: the longest target and a few, at most 64."""
    lengths = [
        len(tokenizer(target_text(target), add_special_tokens=False)["input_ids"])
        for target in targets
    ]
    return min(LONGEST_ANSWER, max(lengths, default=0) + SPARE_TOKENS)


@torch.no_grad()
def greedy_answers(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    budget: int,
    batch_size: int = 32,
) -> list[str]:
    """Answer each prompt greedily; at least one token, then up to a newline or the end.

    Args:
        model: A base or any adapted model, in evaluation mode.
        tokenizer: Pads on the left.
        prompts: Whole prompts, answers are returned in their order.
        budget: Tokens an answer may have.
        batch_size: Prompts in one batch.
    """
    answers = [""] * len(prompts)
    lengths = [len(prompt) for prompt in prompts]
    config = _generation_config(tokenizer, budget)
    device = next(model.parameters()).device
    for indices in batches_by_length(lengths, batch_size, None):
        texts = [prompts[index] for index in indices]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        tokens, mask = inputs["input_ids"].to(device), inputs["attention_mask"].to(device)
        output = model.generate(  # type: ignore[operator]
            input_ids=tokens, attention_mask=mask, generation_config=config
        )
        # Prompt adapters return the new tokens alone, all others repeat the prompt.
        new = output[:, tokens.shape[1] :] if _repeats(output, tokens) else output
        for index, text in zip(indices, tokenizer.batch_decode(new), strict=True):
            answers[index] = _first_line(text, tokenizer)
    return answers


def _repeats(output: torch.Tensor, tokens: torch.Tensor) -> bool:
    width = tokens.shape[1]
    return output.shape[1] > width and torch.equal(output[:, :width], tokens)


def _first_line(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    for special in tokenizer.all_special_tokens:
        text = text.split(special, 1)[0]
    return text.split(STOP, 1)[0].strip()


def _generation_config(tokenizer: PreTrainedTokenizerBase, budget: int) -> GenerationConfig:
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        max_new_tokens=budget,
        min_new_tokens=1,
        eos_token_id=list(_stop_tokens(tokenizer)),
        pad_token_id=tokenizer.pad_token_id,
    )


@lru_cache(maxsize=8)
def _stop_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the end-of-sequence token and every token that holds a newline."""
    names = tokenizer.get_vocab()
    newlines = {i for name, i in names.items() if any(mark in name for mark in NEWLINE_MARKS)}
    ends = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    return tuple(sorted(newlines | ends))
