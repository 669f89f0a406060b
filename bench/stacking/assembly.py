"""Puts passes of all members together: their rows or trees of tokens, padded to one shape.

Members may train different facts, more or fewer of them. A member's facts fill its own rows, and
what is missing is padding whose loss counts nothing. Everything that a pass needs is put together
in numpy, and goes to the device in one transfer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.inference.encoding import Example
from bench.stacking.batch import StackedBatch
from bench.training.token_tree import MOST_NODES, PAYS

Numbers = np.ndarray[Any, np.dtype[Any]]

ALIGNED = 8
"""Bytes at whose multiples each array of a transfer begins, so that it can be read as it is."""


@dataclass(frozen=True)
class Part:
    """What one member runs in a pass.

    Attributes:
        rows: Which examples; may be empty.
        shares: What the loss of each of them counts.
    """

    rows: Sequence[int] = ()
    shares: Sequence[float] = ()


@dataclass(frozen=True)
class Assembly:
    """Puts passes together.

    Attributes:
        examples: The examples of all members.
        starts: Where the stored states of each example begin, `[examples]`.
        pad: Token id of padding.
        device: The device of the model.
    """

    examples: Sequence[Example]
    starts: Sequence[int]
    pad: int
    device: torch.device

    def rows(self, parts: Sequence[Part]) -> StackedBatch:
        """Return a pass in which each example is a row, equally many for each member.

        Args:
            parts: What each member runs; at least one has rows.
        """
        labels = self._labels(parts)
        facts, chosen = labels.facts, [self.examples[row] for part in parts for row in part.rows]
        longest = max(len(example.tokens) for example in chosen)
        first = min(example.start for example in chosen) - 1
        count = longest - 1 - first
        size = (len(parts) * facts, longest)
        tokens, sources = np.full(size, self.pad), np.zeros(size, np.int64)
        mask = np.zeros(size, bool)
        mask[:, 0] = True  # of a row without an example too, lest it see nothing at all
        for member, part in enumerate(parts):
            for number, row in enumerate(part.rows):
                example, at = self.examples[row], member * facts + number
                length = len(example.tokens)
                tokens[at, :length] = example.tokens
                mask[at, :length] = True
                sources[at, :length] = np.arange(length) + self.starts[row]
                where = np.arange(example.start - 1, length - 1) - first + at * count
                labels.places[member, number, : len(where)] = where
        kept = np.arange(first, longest - 1) - longest
        return self._moved([tokens, mask, sources, kept], labels)

    def trees(self, parts: Sequence[Part], pays: float = PAYS) -> StackedBatch | None:
        """Return a pass in which each member's examples are a tree, None if rows are cheaper.

        Nodes whose logits are needed come last, so that the same positions are kept of all trees.

        Args:
            parts: What each member runs; at least one has rows.
            pays: Most nodes per token of padded rows.
        """
        # Members that train in the same order have the same trees.
        known = {tuple(part.rows): [self.examples[row] for row in part.rows] for part in parts}
        distinct = {rows: _tree(examples) for rows, examples in known.items()}
        trees = [distinct[tuple(part.rows)] for part in parts]
        size = max(len(tree.tokens) for tree in trees)
        longest = max(len(self.examples[row].tokens) for part in parts for row in part.rows)
        if size > min(MOST_NODES, pays * max(len(part.rows) for part in parts) * longest):
            return None
        labels = self._labels(parts)
        count = max(tree.needed for tree in trees)
        shape = (len(parts), size)
        tokens, sources = np.full(shape, self.pad), np.zeros(shape, np.int64)
        positions, seen = np.zeros(shape, np.int64), np.zeros((*shape, size), bool)
        seen[:, np.arange(size), np.arange(size)] = True
        for member, (part, tree) in enumerate(zip(parts, trees, strict=True)):
            offset = size - len(tree.tokens)
            tokens[member, offset:], positions[member, offset:] = tree.tokens, tree.positions
            for number, (row, way) in enumerate(zip(part.rows, tree.ways, strict=True)):
                path = way + offset
                seen[member, path[:, None], path] |= np.tri(len(path), dtype=bool)
                sources[member, path] = np.arange(len(path)) + self.starts[row]
                where = path[self.examples[row].start - 1 : -1] - (size - count) + member * count
                labels.places[member, number, : len(where)] = where
        return self._moved([tokens, seen, sources, np.arange(-count, 0)], labels, positions)

    def _labels(self, parts: Sequence[Part]) -> _Labels:
        """Return the labels and shares of all facts, with room for where they are predicted."""
        facts = max(len(part.rows) for part in parts)
        targets = [
            [e.tokens[e.start :] for e in map(self.examples.__getitem__, p.rows)] for p in parts
        ]
        most = max(len(target) for some in targets for target in some)
        labels = _Labels.zeros(len(parts), facts, most)
        for member, (part, some) in enumerate(zip(parts, targets, strict=True)):
            labels.shares[member, : len(part.shares)] = part.shares
            for number, target in enumerate(some):
                labels.labels[member, number, : len(target)] = target
                labels.counted[member, number, : len(target)] = True
        return labels

    def _moved(
        self, arrays: Sequence[Numbers], labels: _Labels, positions: Numbers | None = None
    ) -> StackedBatch:
        """Return a pass on the device.

        Args:
            arrays: Tokens, mask, sources and kept positions.
            labels: The labels.
            positions: The positions of the nodes of trees.
        """
        whole = [*arrays, labels.places, labels.labels, labels.counted, labels.shares]
        moved = to_device([*whole, *([] if positions is None else [positions])], self.device)
        tokens, mask, sources, kept, places, targets, counted, shares, *more = moved
        where = more[0] if more else None
        return StackedBatch(tokens, where, mask, sources, kept, places, targets, counted, shares)


@dataclass(frozen=True)
class _Labels:
    """What is predicted, `[members, facts, labels]`, and what it counts, `[members, facts]`."""

    places: Numbers
    labels: Numbers
    counted: Numbers
    shares: Numbers

    @classmethod
    def zeros(cls, members: int, facts: int, most: int) -> _Labels:
        """Return no labels at all."""
        whole = (members, facts, most)
        places, labels = np.zeros(whole, np.int64), np.zeros(whole, np.int64)
        return cls(places, labels, np.zeros(whole, bool), np.zeros(whole[:2], np.float32))

    @property
    def facts(self) -> int:
        """Facts of each member, padding included."""
        return self.labels.shape[1]


@dataclass(frozen=True)
class _Tree:
    """The distinct beginnings of a member's examples, those that predict something last.

    Attributes:
        tokens: Token id of each node.
        positions: Position of each node in its prompt.
        ways: The nodes of each example, `[tokens]` each.
        needed: How many of the last nodes predict a label.
    """

    tokens: list[int]
    positions: list[int]
    ways: list[Numbers]
    needed: int


def _tree(examples: Sequence[Example]) -> _Tree:
    known: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    positions: list[int] = []
    ways: list[list[int]] = []
    predicting: set[int] = set()
    for example in examples:
        node, way = -1, []
        for position, token in enumerate(example.tokens):
            node = known.setdefault((node, token), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                positions.append(position)
            way.append(node)
        predicting.update(way[example.start - 1 : -1])
        ways.append(way)
    order = sorted(range(len(tokens)), key=lambda node: (node in predicting, node))
    rank = np.empty(len(tokens), np.int64)
    rank[order] = np.arange(len(tokens))
    return _Tree(
        [tokens[node] for node in order],
        [positions[node] for node in order],
        [rank[way] for way in ways],
        len(predicting),
    )


def to_device(arrays: Sequence[Numbers], device: torch.device) -> list[Tensor]:
    """Return arrays as tensors on a device, moved there in one transfer.

    Args:
        arrays: Arrays of any shapes and dtypes that torch has too.
        device: The device.
    """
    packed, starts = bytearray(), list[int]()
    for array in arrays:
        starts.append(len(packed))
        packed += array.tobytes()
        packed += bytes(-len(packed) % ALIGNED)
    moved = torch.frombuffer(packed, dtype=torch.uint8).to(device)
    return [
        moved[start : start + array.nbytes].view(_dtype(array)).view(array.shape)
        for array, start in zip(arrays, starts, strict=True)
    ]


def _dtype(array: Numbers) -> torch.dtype:
    """Return the dtype that torch has for an array."""
    return torch.from_numpy(array[:0]).dtype
