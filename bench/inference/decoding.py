"""Decodes batches of prompts with a model: from shared states, or with its own `generate`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from bench.inference.encoding import batches_by_length
from bench.inference.lm_head import last_logits
from bench.inference.prefix_cache import Prefix, usable_prefix
from tasks.prompt import STOP

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEWLINE_MARKS = ("\n", "Ċ", "<0x0A>")
"""How vocabularies spell a newline: plain, byte-level, byte fallback."""


class Choose(Protocol):
    """How the next token of each row is chosen: greedily or by sampling."""

    def __call__(self, logits: Tensor, step: int, running: Tensor) -> Tensor:
        """Return the next token of each row that is still running, `[chosen]`.

        Args:
            logits: Logits of only these rows, `[chosen, vocabulary]`.
            step: Number of tokens generated before, from 0.
            running: Which rows of the batch are still running, bool `[rows]`.
        """


def greedy(logits: Tensor, step: int, running: Tensor) -> Tensor:
    """Return the likeliest token of each row; for the arguments see `Choose`."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class Sampling:
    """Samples tokens by inverting the cumulative distribution at given random numbers.

    Attributes:
        temperature: The logits are divided by it.
        draws: A random number in [0, 1) for each token of each row, `[rows, steps]`.
    """

    temperature: float
    draws: Tensor

    def __call__(self, logits: Tensor, step: int, running: Tensor) -> Tensor:
        """Return the sampled tokens, `[chosen]`; for the arguments see `Choose`."""
        # In float64, so that the sum over a vocabulary does not lose unlikely tokens.
        mass = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        wanted = self.draws[running.cpu(), step : step + 1].to(mass) * mass[:, -1:]
        return torch.searchsorted(mass, wanted, right=True).squeeze(1)


class Decoder:
    """Decodes batches of prompts: at least one token, then up to a newline or the end token.

    Args:
        model: A base or any adapted model, in evaluation mode.
        tokenizer: The base's tokenizer.
        prompts: Whole prompts.
        budget: Most tokens of an answer.
        share: Whether to run the beginning that all prompts share only once; the answers are the
            same.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        *,
        budget: int,
        share: bool,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._pad = tokenizer.pad_token_id
        self._budget = budget
        self._contexts = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        self._prefix = usable_prefix(model, self._contexts) if share and prompts else None
        device = next(model.parameters()).device
        self._stops = torch.tensor(stop_tokens(tokenizer), device=device)

    def batches(self, batch_size: int) -> list[list[int]]:
        """Return the indices of the prompts, in batches of similar length."""
        return batches_by_length([len(c) for c in self._contexts], batch_size, None)

    @torch.no_grad()
    def answers(self, indices: Sequence[int], choose: Choose, samples: int = 1) -> list[str]:
        """Return answers to some of the prompts, `samples` consecutive ones for each.

        Args:
            indices: The prompts of one batch.
            choose: How tokens are chosen, for `len(indices) * samples` rows.
            samples: Answers per prompt; the prompt itself is run once if states are shared.
        """
        batch = [self._contexts[index] for index in indices]
        if self._prefix is None:
            new = self._generate([row for row in batch for _ in range(samples)], choose)
        else:
            new = self._continue(batch, self._prefix, choose, samples)
        return answer_texts(self._tokenizer, new)

    def _continue(
        self, batch: Sequence[Sequence[int]], prefix: Prefix, choose: Choose, samples: int
    ) -> Tensor:
        """Continue from cached states; return new tokens `[batch * samples, budget]`.

        The model sees each text once: samples that are the same so far share a branch, and samples
        that have ended have none.
        """
        tokens, mask = self._left_padded([row[prefix.tokens :] for row in batch])
        mask = torch.cat([mask.new_ones(len(batch), prefix.tokens), mask], dim=1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, prefix.tokens :]
        cache = prefix.expanded(len(batch))
        branch = torch.arange(len(batch), device=mask.device).repeat_interleave(samples)
        running = torch.ones_like(branch, dtype=torch.bool)
        new = torch.full((len(branch), self._budget), self._pad, device=mask.device)
        for step in range(self._budget):
            logits = last_logits(
                self._model,
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            if not step:
                logits[:, self._stops] = -torch.inf  # at least one token
            new[running, step] = choose(logits[branch[running]], step, running)
            running &= ~torch.isin(new[:, step], self._stops)
            if not running.any():
                break
            pairs = torch.stack([branch, new[:, step]], dim=1)[running]
            branches, found = pairs.unique(dim=0, return_inverse=True)
            branch = torch.zeros_like(branch).masked_scatter(running, found)
            parents, tokens = branches[:, 0], branches[:, 1:]
            if parents.tolist() != list(range(len(mask))):  # copying states is expensive
                # Not batch_select_indices(), which loses the states of linear attention.
                cache.reorder_cache(parents)
            positions = positions[parents, -1:] + 1
            mask = torch.cat([mask[parents], mask.new_ones(len(parents), 1)], dim=1)
        return new

    def _generate(self, batch: Sequence[Sequence[int]], choose: Choose) -> Tensor:
        """Decode with the model's own `generate`; return new tokens `[batch, new]`."""
        from transformers import GenerationConfig, LogitsProcessorList

        tokens, mask = self._left_padded(batch)
        config = GenerationConfig(
            do_sample=False,  # `choose` does that
            max_new_tokens=self._budget,
            min_new_tokens=1,
            eos_token_id=self._stops.tolist(),
            pad_token_id=self._pad,
        )
        output: Tensor = self._model.generate(  # type: ignore[operator]
            input_ids=tokens,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_only(choose)]),
        )
        # Some adapters return only the new tokens, others repeat the prompt.
        width = tokens.shape[1]
        repeats = output.shape[1] > width and torch.equal(output[:, :width], tokens)
        return output[:, width:] if repeats else output

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and attention mask, `[batch, seq]`."""
        width = max(len(row) for row in rows)
        tokens = torch.tensor([[self._pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return tokens.to(self._stops.device), mask.to(self._stops.device)


def _only(choose: Choose) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a logits processor that leaves each row only the chosen token."""
    steps = itertools.count()

    def process(_: Tensor, logits: Tensor) -> Tensor:
        everything = torch.ones(len(logits), dtype=torch.bool)
        chosen = choose(logits, next(steps), everything)[:, None]
        return torch.full_like(logits, -torch.inf).scatter(1, chosen, 0.0)

    return process


def answer_texts(
    tokenizer: PreTrainedTokenizerBase, tokens: Tensor | Sequence[Sequence[int]]
) -> list[str]:
    """Return the answers that generated tokens stand for: what precedes the stop, stripped."""
    ends = "|".join(map(re.escape, (STOP, *tokenizer.all_special_tokens)))
    texts = tokenizer.batch_decode(tokens)
    return [re.split(ends, text, maxsplit=1)[0].strip() for text in texts]


@lru_cache(maxsize=8)
def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the end-of-sequence token and every token that contains a newline."""
    names = tokenizer.get_vocab()
    newlines = {i for name, i in names.items() if any(mark in name for mark in NEWLINE_MARKS)}
    ends = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    return tuple(sorted(newlines | ends))
