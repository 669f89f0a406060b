"""A batch of facts as a tree of tokens: a beginning that several prompts share runs only once.

In a causal model the states of a token depend only on the tokens before it. So each distinct
beginning becomes one node. A node attends to the nodes on its path from the root, its position is
their number, and the logits of a fact are those along its path. Questions about one relation share
about half of their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench import failures
from bench.inference.encoding import IGNORED, PADDING, Batch, Example, collate, wider
from bench.inference.equivalence import shortcut_agrees
from bench.inference.likelihood import target_logits
from bench.inference.lm_head import logits_at
from bench.models.capabilities import drops_out, has_virtual_tokens, takes
from bench.optimizations import Optimization, enabled

PAYS = 0.9
"""Most nodes per token of the padded batch for which a tree is worth its attention mask."""

MOST_NODES = 1024
"""Most nodes: the attention mask of a tree grows with their square."""

CHECKED = 4
"""Number of examples on which a tree is compared with a plain forward pass."""


@dataclass(frozen=True)
class TokenTree:
    """A batch as a tree of its distinct beginnings.

    Attributes:
        batch: The batch.
        tokens: Token id of each node, `[nodes]`.
        positions: Position of each node in its prompt, `[nodes]`.
        first: Index in the flattened batch of the first token of each node, `[nodes]`.
        nodes: The node of each token, 0 for padding, `[batch, seq]`.
    """

    batch: Batch
    tokens: Tensor
    positions: Tensor
    first: Tensor
    nodes: Tensor

    @property
    def size(self) -> int:
        """Number of tokens the model computes on."""
        return len(self.tokens)

    @property
    def pays(self) -> bool:
        """Whether running the tree is less work than running the rows."""
        return self.size <= min(MOST_NODES, PAYS * self.batch.padded_tokens)

    def of_nodes(self, states: Tensor) -> Tensor:
        """Return states of nodes, `[1, nodes, dim]`, from those of rows, `[batch, seq, dim]`."""
        return states.flatten(0, 1)[self.first.to(states.device)][None]

    def logits(self, model: nn.Module) -> Tensor:
        """Return the logits that predict the batch's labels, `[batch, kept, vocabulary]`.

        Where nothing is predicted, they are those of some other position.
        """
        parameter = next(model.parameters())
        # The node that each label is predicted from, any one where nothing is, `[batch, kept]`.
        nodes = self.nodes[:, self.batch.kept]
        predicts = self.batch.labels != IGNORED
        needed, place = nodes.where(predicts, nodes[predicts][0]).unique(return_inverse=True)
        inputs: dict[str, Any] = {"use_cache": False} if takes(model, "use_cache") else {}
        logits = logits_at(
            model,
            needed.to(parameter.device),
            input_ids=self.tokens[None].to(parameter.device),
            attention_mask=self._mask(parameter.dtype).to(parameter.device),
            position_ids=self.positions[None].to(parameter.device),
            **inputs,
        )[0]
        # Not logits[place]: going back, that would add up its rows one number at a time.
        chosen = logits.index_select(0, place.flatten().to(logits.device))
        return chosen.view(*place.shape, -1)

    def _mask(self, dtype: torch.dtype) -> Tensor:
        """Return what is added to attention scores, `[1, 1, nodes, nodes]`: 0 on a node's path."""
        seen = torch.zeros(self.size, self.size, dtype=torch.bool)
        for way, size in zip(self.nodes, self.batch.mask.sum(1).tolist(), strict=True):
            way = way[:size]
            seen[way[:, None], way] |= torch.ones(size, size, dtype=torch.bool).tril()
        mask = torch.zeros(seen.shape, dtype=dtype)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


def token_tree(batch: Batch) -> TokenTree:
    """Return the tree of distinct beginnings of a batch that is padded on the right."""
    width = batch.tokens.shape[1]
    known: dict[tuple[int, int], int] = {}
    first: list[int] = []
    nodes = torch.zeros_like(batch.tokens)
    for row, size in enumerate(batch.mask.sum(1).tolist()):
        node, way = -1, []
        for column, token in enumerate(batch.tokens[row, :size].tolist()):
            node = known.setdefault((node, token), len(known))
            if node == len(first):
                first.append(row * width + column)
            way.append(node)
        nodes[row, :size] = torch.tensor(way)
    places = torch.tensor(first)
    return TokenTree(batch, batch.tokens.flatten()[places], places % width, places, nodes)


def takes_trees(model: nn.Module, examples: Sequence[Example], pad: int) -> bool:
    """Return whether training may run batches of these examples as trees.

    It may not if they share too little, if dropout or virtual tokens make rows with the same
    beginning differ, if a tree does not give the logits of the rows, or if the optimization is off.
    Attention kernels and position schemes that cannot use such a mask are detected by measuring,
    not by name.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        examples: What will be trained.
        pad: Token id of padding.
    """
    if not enabled(Optimization.TOKEN_TREE) or has_virtual_tokens(model) or drops_out(model):
        return False
    tree = token_tree(collate(examples, most_alike(examples), pad))
    try:
        return tree.size < tree.batch.padded_tokens and _agrees(model, tree)
    except (
        IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError
    ) as error:  # fmt: skip
        failures.raise_device_errors(error)
        return False


def most_alike(examples: Sequence[Example]) -> list[int]:
    """Return the longest example and others that begin like it, if there are any."""
    order = sorted(range(len(examples)), key=lambda index: examples[index].tokens)
    longest = max(range(len(order)), key=lambda place: len(examples[order[place]].tokens))
    start = max(0, min(longest - CHECKED // 2, len(order) - CHECKED))
    return order[start : start + CHECKED]


def _agrees(model: nn.Module, tree: TokenTree) -> bool:
    """Return whether a tree gives the logits of a plain forward pass."""
    batch, used = tree.batch, tree.batch.labels != IGNORED

    def plain(padding: int = 0) -> Tensor:
        logits = target_logits(model, wider(batch, padding))
        return logits[used.to(logits.device)]

    def as_tree() -> Tensor:
        logits = tree.logits(model)
        return logits[used.to(logits.device)]

    return shortcut_agrees(model, as_tree, plain, again=partial(plain, PADDING))
