"""Greedy answers to prompts, in batches sorted by length, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.encoding import batches_by_length
from bench.prefix import Prefix, usable_prefix
from tasks.prompt import STOP, target_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
    share: bool = True,
) -> list[str]:
    """Answer each prompt greedily; at least one token, then up to a newline or the end.

    Args:
        model: A base or any adapted model, in evaluation mode.
        tokenizer: The base's.
        prompts: Whole prompts; answers are returned in their order.
        budget: Tokens an answer may have.
        batch_size: Prompts in one batch.
        share: Whether to run what all prompts begin with once; the answers are the same.
    """
    if not prompts:
        return []
    contexts = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    prefix = usable_prefix(model, contexts) if share else None
    stops = torch.tensor(_stop_tokens(tokenizer), device=next(model.parameters()).device)
    pad = tokenizer.pad_token_id
    answers = [""] * len(prompts)
    for indices in batches_by_length([len(c) for c in contexts], batch_size, None):
        batch = [contexts[index] for index in indices]
        if prefix is None:
            new = _generate(model, batch, stops, pad, budget)
        else:
            new = _continue(model, batch, prefix, stops, pad, budget)
        for index, text in zip(indices, tokenizer.batch_decode(new), strict=True):
            answers[index] = _first_line(text, tokenizer)
    return answers


def _continue(
    model: nn.Module,
    batch: Sequence[Sequence[int]],
    prefix: Prefix,
    stops: Tensor,
    pad: int,
    budget: int,
) -> Tensor:
    """Decode greedily from cached states; returns new tokens `[batch, at most budget]`."""
    tokens, mask = _left_padded([c[prefix.tokens :] for c in batch], pad, stops.device)
    mask = torch.cat([mask.new_ones(len(batch), prefix.tokens), mask], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, prefix.tokens :]
    cache = prefix.expanded(len(batch))
    running = torch.ones(len(batch), dtype=torch.bool, device=stops.device)
    new: list[Tensor] = []
    while len(new) < budget and bool(running.any()):
        logits = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        if not new:
            logits[:, stops] = -torch.inf  # at least one token
        chosen = torch.where(running, logits.argmax(-1), pad)
        running = running & ~torch.isin(chosen, stops)
        new.append(chosen)
        tokens, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)
    return torch.stack(new, dim=1)


def _generate(
    model: nn.Module, batch: Sequence[Sequence[int]], stops: Tensor, pad: int, budget: int
) -> Tensor:
    """Decode greedily with the model's own `generate`; returns new tokens `[batch, new]`."""
    from transformers import GenerationConfig

    tokens, mask = _left_padded(batch, pad, stops.device)
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=budget,
        min_new_tokens=1,
        eos_token_id=stops.tolist(),
        pad_token_id=pad,
    )
    output: Tensor = model.generate(  # type: ignore[operator]
        input_ids=tokens, attention_mask=mask, generation_config=config
    )
    # Some adapters return the new tokens alone, others repeat the prompt.
    width = tokens.shape[1]
    repeats = output.shape[1] > width and torch.equal(output[:, :width], tokens)
    return output[:, width:] if repeats else output


def _left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask, `[batch, seq]`."""
    width = max(len(row) for row in rows)
    tokens = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return tokens.to(device), mask.to(device)


def _first_line(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    for special in tokenizer.all_special_tokens:
        text = text.split(special, 1)[0]
    return text.split(STOP, 1)[0].strip()


@lru_cache(maxsize=8)
def _stop_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the end-of-sequence token and every token that holds a newline."""
    names = tokenizer.get_vocab()
    newlines = {i for name, i in names.items() if any(mark in name for mark in NEWLINE_MARKS)}
    ends = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    return tuple(sorted(newlines | ends))
