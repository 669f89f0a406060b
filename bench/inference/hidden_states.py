"""Hidden states at the answer positions, from which a model predicts the tokens of a target.

A model of L layers has L + 1 latent spaces: the input of the first layer and the output of each
layer. transformers applies the final norm only to the last of them; here all are taken before the
norm, which can then be applied to all of them alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
    """The hidden states of one batch of examples at their answer positions.

    Attributes:
        raw: States before the final norm, `[L + 1, positions, dim]`.
        tokens: The token that each position should predict, `[positions]`.
        rows: The row of the batch to which each position belongs, `[positions]`.
        final_norm: The model's final norm; the identity if it has none.
        projection: What makes states as wide as the head, where layers have another width than
            embeddings (OPT-350m); else the identity.
    """

    raw: Tensor
    tokens: Tensor
    rows: Tensor
    final_norm: nn.Module
    projection: nn.Module = field(default_factory=nn.Identity)

    def normed(self, norm: Norm) -> Tensor:
        """Return the states with the final norm applied once (`final`) or not at all (`raw`).

        They are as wide as the head, `[L + 1, positions, head]`: without the projection they would
        not lie in the space of its rows.
        """
        normed: Tensor = self.final_norm(self.raw) if norm == "final" else self.raw
        projected: Tensor = self.projection(normed)
        return projected.to(self.raw.device)


@torch.no_grad()
def latent_states(model: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    """Return the L + 1 hidden states as transformers returns them, each `[batch, seq, dim]`."""
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
    """Return the states of a base or an adapted model at the answer positions of a batch."""
    with _watched_leaves(model) as seen:
        states = latent_states(model, batch)
    device, last = states[-1].device, states[-1]  # other parts of a divided model are elsewhere
    end = _Leaf(nn.Identity(), last, last)
    if last.shape != states[0].shape:
        end = next((leaf for leaf in seen if _gives(leaf, last) and not leaf.keeps_shape), end)
    norms = (leaf for leaf in seen if leaf.keeps_shape and _gives(leaf, end.given))
    norm = next(norms, _Leaf(nn.Identity(), end.given, end.given))
    labels = batch.labels.to(device)
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    positions = batch.kept.to(labels.device)[columns]
    spaces = (space.to(device) for space in (*states[:-1], norm.given))
    raw = torch.stack([space[rows, positions] for space in spaces])
    return AnswerStates(raw, labels[rows, columns], rows, norm.module, end.module)


@torch.no_grad()
def fact_deviations(
    model: nn.Module, head: Tensor, examples: Sequence[Example], pad: int, norm: Norm
) -> Tensor:
    """Return each example's mean deviation in every latent space, float64 `[examples, L + 1]`.

    The answer positions are those of the loss, which predict the tokens of the target.

    Args:
        model: A base or an adapted model, in evaluation mode.
        head: The weight of the base's output head, `[vocabulary, dim]`.
        examples: Prompts with their targets.
        pad: Token id of padding.
        norm: Whether the final norm is applied.

    Raises:
        UsageError: States and head have different dimensions.
    """
    targets = [token for example in examples for token in example.tokens[example.start :]]
    tokens = torch.tensor(sorted(set(targets)), device=head.device)
    bases = semantic_bases(head, tokens)
    found: dict[int, Tensor] = {}
    for indices in batches_by_length([len(e.tokens) for e in examples], STATES_BATCH, None):
        states = answer_states(model, collate(examples, indices, pad))
        normed = states.normed(norm)
        if normed.shape[-1] != bases.shape[-1]:
            raise UsageError(
                "layer deviation needs hidden states as wide as the output head: this model has "
                f"{normed.shape[-1]} and {bases.shape[-1]} dimensions"
            )
        wanted = bases[torch.searchsorted(tokens, states.tokens.to(tokens.device))]
        deviations = deviation(normed, wanted.to(states.raw.device))
        for row, index in enumerate(indices):
            found[index] = deviations[:, states.rows == row].mean(1).cpu()
    return torch.stack([found[index] for index in range(len(examples))])


@dataclass(frozen=True)
class _Leaf:
    """The input and output of a module without children in the last forward pass."""

    module: nn.Module
    given: Tensor
    output: Tensor

    @property
    def keeps_shape(self) -> bool:
        """Whether its output is as wide as its input."""
        return self.given.shape == self.output.shape


def _gives(leaf: _Leaf, states: Tensor) -> bool:
    """Return whether a module's output is these states."""
    return leaf.output.shape == states.shape and torch.equal(leaf.output.to(states.device), states)


@contextmanager
def _watched_leaves(model: nn.Module) -> Iterator[list[_Leaf]]:
    """Record the modules outside the decoder layers that turn one tensor of states into another.

    The final norm is the one whose output is the last hidden state. It is found by measuring,
    because each architecture has its own name for it.
    """
    inner = unwrap(model)
    layers = decoder_layers(inner)[0]
    seen: list[_Leaf] = []

    def watch(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        pair = (*given[:1], output)
        if all(isinstance(x, Tensor) for x in pair) and pair[0].shape[:-1] == pair[-1].shape[:-1]:
            seen.append(_Leaf(module, pair[0], pair[-1]))

    with ExitStack() as hooks:
        for name, module in inner.named_modules():
            whole = not any(module.children()) or hasattr(module, "base_layer")  # PEFT's wrapper
            if whole and not name.startswith(f"{layers}."):
                hooks.enter_context(module.register_forward_hook(watch))
        yield seen
