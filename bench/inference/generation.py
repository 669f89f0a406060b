"""Greedy or sampled answers to prompts, in batches of similar length, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.inference.batch_size import rows_at_once
from bench.inference.decoding import Decoder, Sampling, greedy
from bench.inference.encoding import token_ids
from bench.models.capabilities import members_of
from tasks.fact import hash_fraction
from tasks.form import QUESTIONS, Form

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def answer_budget(
    tokenizer: PreTrainedTokenizerBase, targets: Sequence[str], form: Form = QUESTIONS
) -> int:
    """Return how many tokens an answer may have, given all targets and how they are written."""
    texts = [form.target(target) for target in dict.fromkeys(targets)]
    lengths = map(len, token_ids(tokenizer, texts, special=False))
    return form.token_budget(max(lengths, default=0))


def greedy_answers(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    budget: int,
    batch_size: int | None = None,
    share: bool = True,
    form: Form = QUESTIONS,
) -> list[str]:
    """Return a greedy answer to each prompt: at least one token, then up to the stop or the end.

    For the arguments see `greedy_answers_of_members`, whose case of one member this is.
    """
    [answers] = greedy_answers_of_members(
        model, tokenizer, prompts, budget=budget, batch_size=batch_size, share=share, form=form
    )
    return answers


def greedy_answers_of_members(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    budget: int,
    batch_size: int | None = None,
    share: bool = True,
    form: Form = QUESTIONS,
) -> list[list[str]]:
    """Return each member's greedy answers to the same prompts, `[members][prompts]`.

    Args:
        model: A base, any adapted model or several stacked ones, in evaluation mode.
        tokenizer: The base's tokenizer.
        prompts: Whole prompts; answers are returned in their order.
        budget: Most tokens of an answer.
        batch_size: Prompts per batch and member; None: see `rows_at_once`.
        share: Whether to run the beginning that all prompts share only once; the answers are the
            same.
        form: Says where an answer ends.
    """
    decoder = Decoder(model, tokenizer, prompts, budget=budget, share=share, stop=form.stop)
    answers = [[""] * len(prompts) for _ in range(members_of(model))]
    for indices in decoder.batches(batch_size or rows_at_once(model)):
        for own, said in zip(answers, decoder.answers(indices, greedy), strict=True):
            for index, answer in zip(indices, said, strict=True):
                own[index] = answer
    return answers


def sampled_answers(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    samples: int,
    temperature: float,
    budget: int,
    batch_size: int | None = None,
    share: bool = True,
    form: Form = QUESTIONS,
) -> list[tuple[str, ...]]:
    """Return several answers to each prompt, sampled from the full distribution.

    The random numbers depend on the prompt alone, so neither a seed nor other prompts change a
    sample.

    Args:
        model: A base or any adapted model, in evaluation mode.
        tokenizer: The base's tokenizer.
        prompts: Whole prompts; answers are returned in their order.
        samples: Answers per prompt.
        temperature: The logits are divided by it.
        budget: Most tokens of an answer.
        batch_size: Samples per batch, rounded down to whole prompts; None: see `rows_at_once`.
        share: Whether to run the beginning that all prompts share only once; the answers are the
            same.
        form: Says where an answer ends.
    """
    decoder = Decoder(model, tokenizer, prompts, budget=budget, share=share, stop=form.stop)
    answers: list[tuple[str, ...]] = [()] * len(prompts)
    batch_size = batch_size or rows_at_once(model)
    for indices in decoder.batches(max(1, batch_size // samples)):
        draws = torch.cat([_draws(prompts[index], samples, budget) for index in indices])
        [said] = decoder.answers(indices, Sampling(temperature, draws), samples)
        for row, index in enumerate(indices):
            answers[index] = tuple(said[row * samples : (row + 1) * samples])
    return answers


def _draws(prompt: str, samples: int, steps: int) -> Tensor:
    """Return numbers in [0, 1), `[samples, steps]`, from hashes: the same on every machine."""
    draws = [
        [hash_fraction("sample", prompt, str(row), str(step)) for step in range(steps)]
        for row in range(samples)
    ]
    return torch.tensor(draws, dtype=torch.float64)
