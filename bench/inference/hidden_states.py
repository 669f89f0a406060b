"""Hidden states at the answer positions: where a model predicts the tokens of a target.

A model of L layers has L + 1 latent spaces: what enters the first layer, and what each layer
puts out. transformers norms the last of them and none of the others; here all are taken before
the final norm, which can then be applied to every one alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.inference.encoding import IGNORED, Batch, Example, batches_by_length, collate
from bench.models.capabilities import takes
from bench.models.unwrap import unwrap
from methods.layer_deviation import Norm, deviation, semantic_bases
from methods.targets import decoder_layers
from tasks.errors import UsageError

STATES_BATCH = 32


@dataclass(frozen=True)
class AnswerStates:
    """The states of one batch of examples at their answer positions.

    Attributes:
        raw: Before the final norm, `[L + 1, positions, dim]`.
        tokens: The token that each position should predict, `[positions]`.
        rows: The row of the batch that each position belongs to, `[positions]`.
        final_norm: The model's own; the identity where it has none.
    """

    raw: Tensor
    tokens: Tensor
    rows: Tensor
    final_norm: nn.Module

    def normed(self, norm: Norm) -> Tensor:
        """Return the states with the final norm applied once, or not at all."""
        normed: Tensor = self.final_norm(self.raw) if norm == "final" else self.raw
        return normed.to(self.raw.device)


@torch.no_grad()
def latent_states(model: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    """Return the L + 1 hidden states as transformers gives them, each `[batch, seq, dim]`."""
    device = next(model.parameters()).device
    last = torch.tensor([-1], device=device)
    options = {"logits_to_keep": last} if takes(model, "logits_to_keep") else {}
    output = model(
        input_ids=batch.tokens.to(device),
        attention_mask=batch.mask.to(device),
        output_hidden_states=True,
        use_cache=False,
        **options,
    )
    states: tuple[Tensor, ...] = output.hidden_states
    return states


@torch.no_grad()
def answer_states(model: nn.Module, batch: Batch) -> AnswerStates:
    """Run a base or an adapted model on a batch and return its states at the answer positions."""
    with _watched_leaves(model) as seen:
        states = latent_states(model, batch)
    device = states[-1].device  # parts of a divided model are elsewhere
    norms = (leaf for leaf in seen if torch.equal(leaf.output.to(device), states[-1]))
    norm = next(norms, _Leaf(nn.Identity(), states[-1], states[-1]))
    labels = batch.labels.to(device)
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    positions = batch.kept.to(labels.device)[columns]
    spaces = (space.to(device) for space in (*states[:-1], norm.given))
    raw = torch.stack([space[rows, positions] for space in spaces])
    return AnswerStates(raw, labels[rows, columns], rows, norm.module)


@torch.no_grad()
def fact_deviations(
    model: nn.Module, head: Tensor, examples: Sequence[Example], pad: int, norm: Norm
) -> Tensor:
    """Return each example's mean deviation in every latent space, float64 `[examples, L + 1]`.

    The answer positions are those of the loss: they predict the tokens of the target.

    Args:
        model: A base or an adapted model, in evaluation mode.
        head: The weights of the base's output head, `[vocabulary, dim]`.
        examples: Prompts with their targets.
        pad: Token id that pads.
        norm: Whether the final norm is applied.

    Raises:
        UsageError: The states and the head have different dimensions.
    """
    targets = [token for example in examples for token in example.tokens[example.start :]]
    tokens = torch.tensor(sorted(set(targets)), device=head.device)
    bases = semantic_bases(head, tokens)
    found: dict[int, Tensor] = {}
    for indices in batches_by_length([len(e.tokens) for e in examples], STATES_BATCH, None):
        states = answer_states(model, collate(examples, indices, pad))
        if states.raw.shape[-1] != bases.shape[-1]:
            raise UsageError(
                f"layer deviation needs hidden states and a head of the same size: this model has "
                f"{states.raw.shape[-1]} and {bases.shape[-1]} dimensions"
            )
        wanted = bases[torch.searchsorted(tokens, states.tokens.to(tokens.device))]
        deviations = deviation(states.normed(norm), wanted.to(states.raw.device))
        for row, index in enumerate(indices):
            found[index] = deviations[:, states.rows == row].mean(1).cpu()
    return torch.stack([found[index] for index in range(len(examples))])


@dataclass(frozen=True)
class _Leaf:
    """What a module without children was given and put out in the last forward pass."""

    module: nn.Module
    given: Tensor
    output: Tensor


@contextmanager
def _watched_leaves(model: nn.Module) -> Iterator[list[_Leaf]]:
    """Watch the modules outside the decoder layers that keep a tensor's shape.

    The final norm is the one whose output is the last hidden state: found by measuring, since
    each architecture has its own name for it.
    """
    inner = unwrap(model)
    layers = decoder_layers(inner)[0]
    seen: list[_Leaf] = []

    def watch(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        pair = (*given[:1], output)
        if all(isinstance(x, Tensor) for x in pair) and pair[0].shape == pair[-1].shape:
            seen.append(_Leaf(module, pair[0], pair[-1]))

    handles = [
        module.register_forward_hook(watch)
        for name, module in inner.named_modules()
        if not name.startswith(f"{layers}.") and not any(module.children())
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
