"""Decoding batches of prompts with one model: from shared states, or with its own `generate`."""

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
"""How a newline is spelled in vocabularies: plain, byte-level, byte fallback."""


class Choose(Protocol):
    """How each row's next token is chosen: greedily, or sampled."""

    def __call__(self, logits: Tensor, step: int, running: Tensor) -> Tensor:
        """Return the next token of each row that is still running, `[chosen]`.

        Args:
            logits: Of those rows alone, `[chosen, vocabulary]`.
            step: Counted from 0.
            running: Which rows of the batch they are, bool `[rows]`.
        """


def greedy(logits: Tensor, step: int, running: Tensor) -> Tensor:
    """Choose the likeliest token of each row; the arguments are those of `Choose`."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class Sampling:
    """Chooses by inverting the distribution function at given numbers.

    Attributes:
        temperature: Divides the logits.
        draws: A number in [0, 1) for each token of each row, `[rows, steps]`.
    """

    temperature: float
    draws: Tensor

    def __call__(self, logits: Tensor, step: int, running: Tensor) -> Tensor:
        """Return tokens `[chosen]`."""
        # In float64: the sum over a vocabulary must not lose its unlikely tokens.
        mass = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        wanted = self.draws[running.cpu(), step : step + 1].to(mass) * mass[:, -1:]
        return torch.searchsorted(mass, wanted, right=True).squeeze(1)


class Decoder:
    """Decodes batches of prompts: at least one token, then up to a newline or the end.

    Args:
        model: A base or any adapted model, in evaluation mode.
        tokenizer: The base's.
        prompts: Whole prompts.
        budget: Tokens an answer may have.
        share: Whether the tokens that all prompts begin with are run only once; the answers are
            the same.
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
        """Return the prompts' indices in batches of like length."""
        return batches_by_length([len(c) for c in self._contexts], batch_size, None)

    @torch.no_grad()
    def answers(self, indices: Sequence[int], choose: Choose, samples: int = 1) -> list[str]:
        """Answer some of the prompts, each `samples` times in a row.

        Args:
            indices: Which prompts, one batch of them.
            choose: Sees `len(indices) * samples` rows.
            samples: Answers per prompt; the prompt itself is run once where states are shared.
        """
        batch = [self._contexts[index] for index in indices]
        if self._prefix is None:
            new = self._generate([row for row in batch for _ in range(samples)], choose)
        else:
            new = self._continue(batch, self._prefix, choose, samples)
        texts = self._tokenizer.batch_decode(new)
        ends = "|".join(map(re.escape, (STOP, *self._tokenizer.all_special_tokens)))
        return [re.split(ends, text, maxsplit=1)[0].strip() for text in texts]

    def _continue(
        self, batch: Sequence[Sequence[int]], prefix: Prefix, choose: Choose, samples: int
    ) -> Tensor:
        """Go on from cached states; returns new tokens `[batch * samples, budget]`.

        The model sees each text once: samples that agree so far are one branch, and those that
        have ended are none.
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
            if parents.tolist() != list(range(len(mask))):  # copying states costs: only if needed
                # Not batch_select_indices(), which forgets the states of linear attention.
                cache.reorder_cache(parents)
            positions = positions[parents, -1:] + 1
            mask = torch.cat([mask[parents], mask.new_ones(len(parents), 1)], dim=1)
        return new

    def _generate(self, batch: Sequence[Sequence[int]], choose: Choose) -> Tensor:
        """Decode with the model's own `generate`; returns new tokens `[batch, new]`."""
        from transformers import GenerationConfig, LogitsProcessorList

        tokens, mask = self._left_padded(batch)
        config = GenerationConfig(
            do_sample=False,  # `choose` does it
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
        # Some adapters return the new tokens alone, others repeat the prompt.
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
    """Return a logits processor that leaves each row the chosen token alone."""
    steps = itertools.count()

    def process(_: Tensor, logits: Tensor) -> Tensor:
        everything = torch.ones(len(logits), dtype=torch.bool)
        chosen = choose(logits, next(steps), everything)[:, None]
        return torch.full_like(logits, -torch.inf).scatter(1, chosen, 0.0)

    return process


@lru_cache(maxsize=8)
def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the end-of-sequence token and every token that holds a newline."""
    names = tokenizer.get_vocab()
    newlines = {i for name, i in names.items() if any(mark in name for mark in NEWLINE_MARKS)}
    ends = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    return tuple(sorted(newlines | ends))
