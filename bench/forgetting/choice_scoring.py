"""Score the endings of a context side by side: the context is run once for all of them.

A row holds a context and, behind it, all its endings; the attention mask lets an ending see the
shared prefix, its context and itself, and its positions go on where the context ends. So one
forward pass gives what a pass for each (context, ending) would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench import failures
from bench.inference.equivalence import shortcut_agrees
from bench.inference.lm_head import logits_at
from bench.inference.prefix_cache import Prefix, run_tokens

Request = tuple[tuple[str, str], list[int], list[int]]
"""A request of lm-eval: the texts, the tokens of the context, those of the continuation."""

Score = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding would produce it."""

LOGITS_AT_ONCE = 2**26
"""Bounds [batch, kept, vocabulary] of a forward pass: 256 MB in float32."""


@dataclass(frozen=True)
class ContextChoices:
    """A context with all endings to score after it.

    Attributes:
        context: Its tokens after the shared prefix, at least one.
        endings: Distinct continuations.
        requests: For each ending, the numbers of the requests that ask for it.
    """

    context: tuple[int, ...]
    endings: tuple[tuple[int, ...], ...]
    requests: tuple[tuple[int, ...], ...]

    @property
    def run_tokens(self) -> int:
        """How many tokens of endings are run; the last token of each is only predicted."""
        return sum(len(ending) - 1 for ending in self.endings)


@dataclass(frozen=True)
class _Layout:
    """A batch, padded left of its contexts and right of its endings.

    Attributes:
        tokens, positions: `[batch, width]`; positions are counted after the prefix.
        seen: Whether a column may attend to another one of its row, bool `[batch, width, width]`.
        kept: Columns whose logits are needed, counted from the end: the context's last and on.
    """

    tokens: Tensor
    positions: Tensor
    seen: Tensor
    kept: int


def grouped(requests: Sequence[Request], shared: int) -> list[ContextChoices]:
    """Group requests by context, leaving out the first `shared` tokens of each."""
    found: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for number, (_, context, ending) in enumerate(requests):
        endings = found.setdefault(tuple(context[shared:]), {})
        endings.setdefault(tuple(ending), []).append(number)
    return [
        ContextChoices(context, tuple(endings), tuple(map(tuple, endings.values())))
        for context, endings in found.items()
    ]


@torch.no_grad()
def branch_scores(
    model: nn.Module,
    prefix: Prefix,
    branches: Sequence[ContextChoices],
    batch_size: int,
    dtype: torch.dtype | None,
) -> dict[int, Score]:
    """Score every ending of every context.

    Args:
        model: A base or an adapted model, in evaluation mode.
        prefix: States of the tokens that precede every context.
        branches: From `grouped`.
        batch_size: The maximum number of contexts to run at once.
        dtype: The number format of log-likelihoods; None: that of the logits.

    Returns:
        The score of each request, by its number.
    """
    scores: dict[int, Score] = {}
    vocabulary = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    for batch in _batches(branches, batch_size, vocabulary):
        for branched, logits in zip(batch, _logits(model, prefix, batch), strict=True):
            scores |= _branch_scores(branched, torch.log_softmax(logits, dim=-1, dtype=dtype))
    return scores


@torch.no_grad()
def branches_agree(model: nn.Module, prefix: Prefix, branches: Sequence[ContextChoices]) -> bool:
    """Check on the largest context that its last ending scores the same as alone.

    Some attention kernels and position schemes do not support such a mask: this is found by
    measuring, not by name.
    """
    widest = max(branches, key=lambda branched: branched.run_tokens)
    ending = max(reversed(widest.endings), key=len)
    columns = _columns(widest, widest.endings.index(ending))
    states = prefix

    def together() -> Tensor:
        return _logits(model, states, [widest])[0][columns]

    def alone(rows: int = 1) -> Tensor:
        tokens = torch.tensor([[*widest.context, *ending[:-1]]] * rows)
        tokens = tokens.to(next(model.parameters()).device)
        logits = model(tokens, past_key_values=states.expanded(rows), use_cache=True).logits
        return logits[0, len(widest.context) - 1 :]

    def renew() -> None:
        nonlocal states
        states = run_tokens(model, states.ids)

    try:
        again = partial(alone, 2)
        return shortcut_agrees(model, together, alone, again=again, renew=renew)
    except (IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        failures.raise_device_errors(error)
        return False


def _batches(
    branches: Sequence[ContextChoices], batch_size: int, vocabulary: int
) -> Iterator[list[ContextChoices]]:
    """Group contexts with similar numbers of tokens to run, within the bound on logits."""
    waiting = sorted(branches, key=lambda b: (b.run_tokens, len(b.context)))
    while waiting:
        widest = waiting[-1].run_tokens + 1
        rows = min(batch_size, max(1, LOGITS_AT_ONCE // (widest * vocabulary)))
        yield waiting[-rows:]
        del waiting[-rows:]


def _logits(model: nn.Module, prefix: Prefix, batch: Sequence[ContextChoices]) -> Tensor:
    """Return the logits from each context's last token on, `[batch, kept, vocabulary]`."""
    device = next(model.parameters()).device
    layout = _layout(batch)
    rows, width = layout.tokens.shape
    before = torch.ones(rows, width, prefix.tokens, dtype=torch.bool)
    seen = torch.cat([before, layout.seen], dim=2)[:, None].to(device)
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(seen.shape, dtype=dtype, device=device)
    mask.masked_fill_(~seen, torch.finfo(dtype).min)
    return logits_at(
        model,
        torch.arange(-layout.kept, 0, device=device),
        input_ids=layout.tokens.to(device),
        attention_mask=mask,
        position_ids=(layout.positions + prefix.tokens).to(device),
        past_key_values=prefix.expanded(rows),
        use_cache=True,
    )


def _layout(batch: Sequence[ContextChoices]) -> _Layout:
    left = max(len(branched.context) for branched in batch)
    right = max(branched.run_tokens for branched in batch)
    tokens = torch.zeros(len(batch), left + right, dtype=torch.long)
    positions = torch.zeros_like(tokens)
    # A padding column sees itself alone, and the prefix: softmax needs something to look at.
    seen = torch.eye(left + right, dtype=torch.bool).repeat(len(batch), 1, 1)
    for row, branched in enumerate(batch):
        size, start = len(branched.context), left
        context = slice(left - size, left)
        tokens[row, context] = torch.tensor(branched.context)
        positions[row, context] = torch.arange(size)
        seen[row, context, context] = _causal(size)
        for ending in branched.endings:
            run = slice(start, start + len(ending) - 1)
            tokens[row, run] = torch.tensor(ending[:-1], dtype=torch.long)
            positions[row, run] = size + torch.arange(len(ending) - 1)
            seen[row, run, context] = True
            seen[row, run, run] = _causal(len(ending) - 1)
            start = run.stop
    return _Layout(tokens, positions, seen, right + 1)


def _causal(size: int) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool).tril()


def _columns(branched: ContextChoices, number: int) -> list[int]:
    """Return the kept columns that predict the tokens of an ending: the context's last first."""
    before = sum(len(ending) - 1 for ending in branched.endings[:number])
    return [0, *range(1 + before, before + len(branched.endings[number]))]


def _branch_scores(branched: ContextChoices, likelihoods: Tensor) -> dict[int, Score]:
    """Read the scores of one context from log-likelihoods `[kept, vocabulary]`."""
    scores: dict[int, Score] = {}
    for number, ending in enumerate(branched.endings):
        predicted = likelihoods[_columns(branched, number)]
        target = torch.tensor(ending, device=predicted.device)
        greedy = bool((predicted.argmax(-1) == target).all())
        score = (float(predicted.gather(-1, target[:, None]).sum()), greedy)
        scores |= dict.fromkeys(branched.requests[number], score)
    return scores
