"""Score the endings of a context side by side: the context is run once for all of them.

A row holds a context and, behind it, all its endings; the attention mask lets an ending see the
shared prefix, its context and itself, and its positions go on where the context ends. So one
forward pass gives what a pass for each (context, ending) would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench import failures
from bench.inference.batch_size import rows_at_once
from bench.inference.equivalence import shortcut_agrees
from bench.inference.lm_head import logits_at
from bench.inference.prefix_cache import Prefix, run_tokens
from bench.models.capabilities import members_of, own_models

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
) -> list[dict[int, Score]]:
    """Score every ending of every context.

    Args:
        model: A base, an adapted model or several stacked ones, in evaluation mode.
        prefix: States of the tokens that precede every context.
        branches: From `grouped`.
        batch_size: The maximum number of contexts to run at once on a CPU.

    Returns:
        The score of each request by its number, for each member.
    """
    members = members_of(model)
    scores: list[dict[int, Score]] = [{} for _ in range(members)]
    for batch in _batches(branches, partial(_rows, model, prefix, batch_size)):
        logits = _logits(model, prefix, batch).float()
        found = _batch_scores(batch, logits.unflatten(0, (members, -1)))
        for own, of_member in zip(scores, found, strict=True):
            own |= of_member
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
    # What holds for one member of a stack holds for all.
    judged = own_models(model)[0]
    states = prefix if judged is model else run_tokens(judged, prefix.ids)

    def together() -> Tensor:
        return _logits(judged, states, [widest])[0][columns]

    def alone(rows: int = 1) -> Tensor:
        tokens = torch.tensor([[*widest.context, *ending[:-1]]] * rows)
        tokens = tokens.to(next(judged.parameters()).device)
        logits = judged(tokens, past_key_values=states.expanded(rows), use_cache=True).logits
        return logits[0, len(widest.context) - 1 :]

    def renew() -> None:
        nonlocal states
        states = run_tokens(judged, states.ids)

    try:
        again = partial(alone, 2)
        return shortcut_agrees(judged, together, alone, again=again, renew=renew)
    except (IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        failures.raise_device_errors(error)
        return False


def _batches(
    branches: Sequence[ContextChoices], fitting: Callable[[ContextChoices], int]
) -> Iterator[list[ContextChoices]]:
    """Group contexts with similar numbers of tokens to run, as many at once as are fitting."""
    waiting = sorted(branches, key=lambda b: (b.run_tokens, len(b.context)))
    while waiting:
        rows = fitting(waiting[-1])
        yield waiting[-rows:]
        del waiting[-rows:]


def _rows(model: nn.Module, prefix: Prefix, batch_size: int, widest: ContextChoices) -> int:
    """Return how many contexts to run at once with the widest of them, within the bounds."""
    kept = widest.run_tokens + 1
    vocabulary = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    few = min(batch_size, max(1, LOGITS_AT_ONCE // (kept * vocabulary)))
    width = prefix.tokens + len(widest.context) + widest.run_tokens
    return rows_at_once(model, on_cpu=few, width=width, kept=kept)


def _logits(model: nn.Module, prefix: Prefix, batch: Sequence[ContextChoices]) -> Tensor:
    """Return the logits from each context's last token on, `[batch, kept, vocabulary]`.

    A stack runs the batch for each member, those of the first one first.
    """
    device, members = next(model.parameters()).device, members_of(model)
    layout = _layout(batch)
    rows, width = layout.tokens.shape
    before = torch.ones(rows, width, prefix.tokens, dtype=torch.bool)
    seen = torch.cat([before, layout.seen], dim=2)[:, None].to(device)
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(seen.shape, dtype=dtype, device=device)
    mask.masked_fill_(~seen, torch.finfo(dtype).min)
    tokens, positions = layout.tokens, layout.positions + prefix.tokens
    if members > 1:
        tokens, positions = tokens.repeat(members, 1), positions.repeat(members, 1)
        mask = mask.repeat(members, 1, 1, 1)
    return logits_at(
        model,
        torch.arange(-layout.kept, 0, device=device),
        input_ids=tokens.to(device),
        attention_mask=mask,
        position_ids=positions.to(device),
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


def _batch_scores(batch: Sequence[ContextChoices], logits: Tensor) -> list[dict[int, Score]]:
    """Read the scores of a batch, of each member.

    Args:
        batch: The contexts.
        logits: `[members, batch, kept, vocabulary]`, float32.
    """
    places = [
        (row, column, token)
        for row, branched in enumerate(batch)
        for number, ending in enumerate(branched.endings)
        for column, token in zip(_columns(branched, number), ending, strict=True)
    ]
    rows, columns, tokens = torch.tensor(places).T.to(logits.device)
    chosen = logits[:, rows, columns, tokens] - logits.logsumexp(-1)[:, rows, columns]
    greedy = logits.argmax(-1)[:, rows, columns] == tokens
    # One transfer for all members: [members, 2, places].
    found = torch.stack([chosen, greedy.to(chosen)], dim=1).tolist()
    return [_scores(batch, likelihoods, hits) for likelihoods, hits in found]


def _scores(
    batch: Sequence[ContextChoices], likelihoods: Sequence[float], hits: Sequence[float]
) -> dict[int, Score]:
    """Add up the log-likelihoods of each ending's tokens, which follow each other."""
    scores: dict[int, Score] = {}
    start = 0
    for branched in batch:
        for ending, requests in zip(branched.endings, branched.requests, strict=True):
            tokens = slice(start, start + len(ending))
            score = (sum(likelihoods[tokens]), all(hits[tokens]))
            scores |= dict.fromkeys(requests, score)
            start = tokens.stop
    return scores
