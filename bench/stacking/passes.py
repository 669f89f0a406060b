"""How a stack runs its passes: from stored states of frozen layers, as trees where cheaper.

Both are checked against plain rows of the same stack before they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate

import torch
from torch import Tensor

from bench.failures import raise_device_errors
from bench.inference.encoding import Example
from bench.inference.equivalence import logits_agree
from bench.models.capabilities import takes_masks
from bench.optimizations import Optimization, enabled
from bench.stacking.assembly import Assembly, Part
from bench.stacking.batch import StackedBatch
from bench.stacking.model import StackedModel
from bench.training.frozen_layers import FrozenPrefix, frozen_depth
from bench.training.token_tree import most_alike, takes_trees
from methods.targets import decoder_layers
from tasks.errors import UsageError

NOT_TAKEN = (IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a model raises that cannot be run in a shorter way."""


class Passes:
    """The passes of a stack over its members' examples.

    Args:
        stacked: The stack, in evaluation mode.
        examples: The examples of each member.
        pad: Token id of padding.

    Attributes:
        flops: Floating point operations spent before the first pass.
    """

    def __init__(
        self, stacked: StackedModel, examples: Sequence[Sequence[Example]], pad: int
    ) -> None:
        self._stacked = stacked
        # Members mostly train the same facts: each example is kept once.
        numbers: dict[Example, int] = {}
        self._numbers = [
            [numbers.setdefault(example, len(numbers)) for example in some] for some in examples
        ]
        every = list(numbers)
        starts = [0, *accumulate(len(example.tokens) for example in every)]
        device = next(stacked.parameters()).device
        self._pad = pad
        self._assembly = Assembly(every, starts, pad, device)
        self._prefix: FrozenPrefix | None = None
        self._trees = False
        self._prefix = self._frozen_prefix(every, pad)
        self._trees = enabled(Optimization.TOKEN_TREE) and self._trees_agree()

    @property
    def flops(self) -> float:
        """Floating point operations spent before the first pass."""
        return self._prefix.flops if self._prefix else 0.0

    def of(self, parts: Sequence[Part]) -> StackedBatch:
        """Return how to run a pass.

        Args:
            parts: What each member runs, as numbers of its own examples.
        """
        ours = [
            Part([numbers[row] for row in part.rows], part.shares)
            for part, numbers in zip(parts, self._numbers, strict=True)
        ]
        tree = self._assembly.trees(ours) if self._trees else None
        return tree or self._assembly.rows(ours)

    def logits(self, batch: StackedBatch) -> Tensor:
        """Return the logits at the kept positions of a pass, `[rows * kept, vocabulary]`."""
        with ExitStack() as stack:
            if self._prefix is not None:
                states = self._prefix.at(batch.sources)
                stack.enter_context(self._prefix.replayed(states))
            return batch.logits(self._stacked, self._stacked.stack.dtype)

    def _frozen_prefix(self, every: Sequence[Example], pad: int) -> FrozenPrefix | None:
        """Return the layers below all that any member trains; None if there are none."""
        if not enabled(Optimization.FROZEN_PREFIX):
            return None
        try:
            name, layers = decoder_layers(self._stacked)
            targets = [target.name for target in self._stacked.stack.layout.targets]
            depth = frozen_depth(targets, name, len(layers))
            if not depth:
                return None
            batch = self._assembly.rows(self._checked())
            expected = self._predictions(batch)
            prefix = FrozenPrefix(self._stacked, layers, depth, every, pad)
            self._prefix = prefix
            dtype = self._stacked.stack.dtype
            agrees = logits_agree(self._predictions(batch), expected, dtype)
        except (*NOT_TAKEN, UsageError) as error:
            raise_device_errors(error)
            agrees = False
        return prefix if agrees else None

    def _trees_agree(self) -> bool:
        """Return whether trees give the logits of rows, and share anything at all."""
        parts = self._checked()
        try:
            if not takes_masks(self._stacked):
                return False
            if (tree := self._assembly.trees(parts, pays=1.0)) is None:
                return False
            rows, dtype = self._assembly.rows(parts), self._stacked.stack.dtype
            if not logits_agree(self._predictions(tree), self._predictions(rows), dtype):
                return False
            # Rounding may hide an error in a short dtype: a member can be run in float32 too.
            some = [self._assembly.examples[number] for number in self._numbers[0]]
            short = dtype != torch.float32
            return not short or takes_trees(self._stacked.alone[0], some, self._pad)
        except NOT_TAKEN as error:
            raise_device_errors(error)
            return False

    def _checked(self) -> list[Part]:
        """Return a few examples of each member that begin alike."""
        parts = []
        for numbers in self._numbers:
            mine = [self._assembly.examples[number] for number in numbers]
            some = [numbers[index] for index in most_alike(mine)]
            parts.append(Part(some, [0.0] * len(some)))
        return parts

    @torch.no_grad()
    def _predictions(self, batch: StackedBatch) -> Tensor:
        """Return the logits of every label, `[labels, vocabulary]`."""
        return self.logits(batch)[batch.places[batch.counted]]
