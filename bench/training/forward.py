"""How training runs a batch: from the stored output of frozen layers, as a tree if cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor, nn

from bench.inference.encoding import Batch, Example
from bench.inference.likelihood import target_logits
from bench.training.frozen_layers import FrozenPrefix, frozen_prefix
from bench.training.token_tree import TokenTree, takes_trees, token_tree


@dataclass(frozen=True)
class Pass:
    """One batch and how it is run.

    Attributes:
        batch: The batch.
        tree: Its tokens as a tree; None if its rows are run as they are.
        prefix: The frozen layers that are not run again; None if there are none.
    """

    batch: Batch
    tree: TokenTree | None
    prefix: FrozenPrefix | None

    @property
    def tokens(self) -> int:
        """Number of tokens the model computes on, padding included."""
        return self.tree.size if self.tree else self.batch.padded_tokens

    def logits(self, model: nn.Module) -> Tensor:
        """Return the logits that predict the batch's labels, `[batch, kept, vocabulary]`."""
        with ExitStack() as stack:
            if self.prefix is not None:
                states = self.prefix.states(self.batch)
                states = self.tree.of_nodes(states) if self.tree else states
                stack.enter_context(self.prefix.replayed(states))
            return self.tree.logits(model) if self.tree else target_logits(model, self.batch)


@dataclass(frozen=True)
class ForwardPlan:
    """Which optimizations a model and its examples allow.

    Attributes:
        prefix: The frozen layers below everything that is trained; None if there are none.
        trees: Whether batches may be run as trees.
    """

    prefix: FrozenPrefix | None
    trees: bool

    @property
    def flops(self) -> float:
        """Floating point operations spent before the first pass."""
        return self.prefix.flops if self.prefix else 0.0

    def of(self, batch: Batch) -> Pass:
        """Return how to run a batch."""
        tree = token_tree(batch) if self.trees else None
        return Pass(batch, tree if tree and tree.pays else None, self.prefix)


def passes(model: nn.Module, examples: Sequence[Example], pad: int) -> ForwardPlan:
    """Return how a model may run its training examples.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        examples: What will be trained.
        pad: Token id of padding.
    """
    return ForwardPlan(frozen_prefix(model, examples, pad), takes_trees(model, examples, pad))
