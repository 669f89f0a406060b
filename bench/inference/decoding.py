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
from bench.inference.row_tracking import Following, RowTracking
from bench.models.capabilities import members_of, own_models
from tasks.prompt import STOP

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEWLINE_MARKS = ("\n", "Ċ", "<0x0A>")
"""How vocabularies spell a newline: plain, byte-level, byte fallback."""


class Choose(Protocol):
    """How the next token of each row is chosen: greedily or by sampling."""

    def __call__(self, logits: Tensor, step: int, running: Sequence[bool]) -> Tensor:
        """Return the next token of each row that is still running, `[chosen]`.

        Args:
            logits: Logits of only these rows, `[chosen, vocabulary]`.
            step: Number of tokens generated before, from 0.
            running: Which answers of the batch are still running, `[answers]`.
        """


def greedy(logits: Tensor, step: int, running: Sequence[bool]) -> Tensor:
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

    def __call__(self, logits: Tensor, step: int, running: Sequence[bool]) -> Tensor:
        """Return the sampled tokens, `[chosen]`; for the arguments see `Choose`."""
        # In float64, so that the sum over a vocabulary does not lose unlikely tokens.
        mass = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        wanted = self.draws[torch.as_tensor(running), step : step + 1].to(mass) * mass[:, -1:]
        return torch.searchsorted(mass, wanted, right=True).squeeze(1)


class Decoder:
    """Decodes batches of prompts: at least one token, then up to a newline or the end token.

    A stack of several members is given the same prompts for each of them.

    Args:
        model: A base, any adapted model or several stacked ones, in evaluation mode.
        tokenizer: The base's tokenizer.
        prompts: Whole prompts.
        budget: Most tokens of an answer.
        share: Whether to run the beginning that all prompts share only once; the answers are the
            same.
        stop: Ends an answer, see `tasks.form.Form`.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        *,
        budget: int,
        share: bool,
        stop: str = STOP,
    ) -> None:
        self._model = model
        self._members = members_of(model)
        self._tokenizer = tokenizer
        self._pad = tokenizer.pad_token_id
        self._budget = budget
        self._contexts = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        self._prefix = usable_prefix(model, self._contexts) if share and prompts else None
        self._stop = stop
        self._stops = frozenset(stop_tokens(tokenizer, stop))
        self._device = next(model.parameters()).device
        self._masked = torch.tensor(sorted(self._stops), device=self._device)

    def batches(self, batch_size: int) -> list[list[int]]:
        """Return the indices of the prompts, in batches of similar length."""
        return batches_by_length([len(c) for c in self._contexts], batch_size, None)

    @torch.no_grad()
    def answers(self, indices: Sequence[int], choose: Choose, samples: int = 1) -> list[list[str]]:
        """Return each member's answers to some of the prompts, `samples` consecutive ones for each.

        Args:
            indices: The prompts of one batch.
            choose: How tokens are chosen, for `len(indices) * samples` rows. It is asked about
                rows that have ended too if there are several members.
            samples: Answers per prompt; the prompt itself is run once if states are shared. Several
                members give one each.
        """
        batch = [self._contexts[index] for index in indices]
        if self._prefix is not None:
            new = self._continue(batch, self._prefix, choose, samples)
            size = len(new) // self._members
            said = [new[start : start + size] for start in range(0, len(new), size)]
        else:
            rows = [row for row in batch for _ in range(samples)]
            said = [self._generate(own, rows, choose) for own in own_models(self._model)]
        return [answer_texts(self._tokenizer, rows, self._stop) for rows in said]

    def _continue(
        self, batch: Sequence[Sequence[int]], prefix: Prefix, choose: Choose, samples: int
    ) -> list[list[int]]:
        """Continue from cached states; return the new tokens of each answer, padded to the budget.

        The model sees each text once: samples that are the same so far share a row, and answers
        that have ended have none. Which row an answer follows is kept on the host, so that a step
        takes one transfer, that of the tokens chosen.
        """
        rows = RowTracking(len(batch), self._members, samples)
        tokens, mask, positions = self._laid_out([row[prefix.tokens :] for row in batch], prefix)
        cache = prefix.expanded(len(batch))
        start, width = 0, tokens.shape[1]
        new: list[list[int]] = [[] for _ in range(rows.answers)]
        for step in range(self._budget):
            end = width + step
            logits = last_logits(
                self._model,
                input_ids=tokens,
                attention_mask=mask[:, : prefix.tokens + end],
                position_ids=positions[:, start:end],
                past_key_values=cache,
                use_cache=True,
            )
            if not step:
                logits[:, self._masked] = -torch.inf  # at least one token
            if (followed := rows.chosen_from()) is not None:
                logits = logits[torch.tensor(followed, device=self._device)]
            chosen = choose(logits, step, rows.running)
            said = rows.said(chosen.tolist())  # the one transfer of a step
            for answer, token in said.items():
                new[answer].append(token)
            ended = {answer: token in self._stops for answer, token in said.items()}
            if all(ended.values()) or step + 1 == self._budget:
                break

            start, tokens = end, chosen[:, None]
            following = rows.advance(said, ended)
            if following is not None:
                parents, ids = torch.tensor(following, device=self._device).T
                tokens = ids[:, None]
                if not _same_rows(following, len(mask)):  # copying states is expensive
                    # Not batch_select_indices(), which loses the states of linear attention.
                    cache.reorder_cache(parents)
                    mask, positions = mask[parents], positions[parents]
        return [row + [self._pad] * (self._budget - len(row)) for row in new]

    def _laid_out(
        self, rows: Sequence[Sequence[int]], prefix: Prefix
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens, attention mask and positions up to the budget, for every member.

        They are `[rows, seq]`, `[rows, prefix + seq + budget]` and `[rows, seq + budget]`, and go
        to the device in one transfer.
        """
        width, known, budget = max(map(len, rows)), prefix.tokens, self._budget
        lines = []
        for row in rows:
            left = width - len(row)
            mask = [1] * known + [0] * left + [1] * (len(row) + budget)
            # Padding has the position that counting the mask would give it.
            positions = [max(0, known - 1)] * left + list(range(known, known + len(row) + budget))
            lines.append([self._pad] * left + [*row, *mask, *positions])
        together = torch.tensor(lines * self._members).to(self._device)
        tokens, mask, positions = together.split(
            [width, known + width + budget, width + budget], dim=1
        )
        return tokens, mask, positions

    def _generate(
        self, model: nn.Module, batch: Sequence[Sequence[int]], choose: Choose
    ) -> list[list[int]]:
        """Decode with the model's own `generate`; return the new tokens of each row."""
        from transformers import GenerationConfig, LogitsProcessorList

        tokens, mask = self._left_padded(batch)
        config = GenerationConfig(
            do_sample=False,  # `choose` does that
            max_new_tokens=self._budget,
            min_new_tokens=1,
            eos_token_id=sorted(self._stops),
            pad_token_id=self._pad,
        )
        output: Tensor = model.generate(  # type: ignore[operator]
            input_ids=tokens,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_only(choose)]),
        )
        # Some adapters return only the new tokens, others repeat the prompt.
        width = tokens.shape[1]
        repeats = output.shape[1] > width and torch.equal(output[:, :width], tokens)
        new: list[list[int]] = (output[:, width:] if repeats else output).tolist()
        return new

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and attention mask, `[batch, seq]`."""
        width = max(len(row) for row in rows)
        tokens = torch.tensor([[self._pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return tokens.to(self._device), mask.to(self._device)


def _same_rows(following: Sequence[Following], rows: int) -> bool:
    """Return whether rows go on in place, if with other tokens than those chosen for them."""
    return [parent for parent, _ in following] == list(range(rows))


def _only(choose: Choose) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a logits processor that leaves each row only the chosen token."""
    steps = itertools.count()

    def process(_: Tensor, logits: Tensor) -> Tensor:
        chosen = choose(logits, next(steps), [True] * len(logits))[:, None]
        return torch.full_like(logits, -torch.inf).scatter(1, chosen, 0.0)

    return process


def answer_texts(
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tensor | Sequence[Sequence[int]],
    stop: str = STOP,
) -> list[str]:
    """Return the answers that generated tokens stand for: what precedes the stop, stripped."""
    ends = "|".join(map(re.escape, filter(None, (stop, *tokenizer.all_special_tokens))))
    texts = tokenizer.batch_decode(tokens)
    return [re.split(ends, text, maxsplit=1)[0].strip() for text in texts]


@lru_cache(maxsize=8)
def stop_tokens(tokenizer: PreTrainedTokenizerBase, stop: str = STOP) -> tuple[int, ...]:
    """Return the end-of-sequence token and, for a stop, every token that contains a newline.

    Args:
        tokenizer: The base's tokenizer.
        stop: A newline, or nothing.
    """
    names = tokenizer.get_vocab() if stop else {}
    newlines = {i for name, i in names.items() if any(mark in name for mark in NEWLINE_MARKS)}
    ends = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    return tuple(sorted(newlines | ends))
