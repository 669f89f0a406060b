"""Training above frozen layers, whose output for each example is computed once and kept.

Layers below everything that is trained never change, so their output for an example is the same in
every epoch. Training continues from it: neither forward nor backward passes touch them again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench import failures
from bench.inference.encoding import (
    IGNORED,
    PADDING,
    Batch,
    Example,
    batches_by_length,
    collate,
    wider,
)
from bench.inference.equivalence import shortcut_agrees
from bench.inference.likelihood import target_logits
from bench.models.capabilities import drops_out, has_virtual_tokens
from bench.models.unwrap import unwrap
from bench.optimizations import Optimization, enabled
from methods.targets import decoder_layers
from tasks.errors import UsageError

MEMORY_BUDGET = 2 * 2**30
"""Most bytes of states that are kept in memory; more are kept in a memory-mapped file."""

STATES_BATCH = 32
CHECKED = 2
"""Number of examples on which kept states are compared with a plain forward pass."""


class FrozenPrefix:
    """The frozen lowest layers of a model, and their output for each training example.

    Args:
        model: A base or an adapted model, in evaluation mode.
        layers: Its decoder layers.
        depth: How many of them are frozen, at least 1.
        examples: What will be trained.
        pad: Token id of padding.

    Attributes:
        flops: Floating point operations spent on computing the states.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: nn.ModuleList,
        depth: int,
        examples: Sequence[Example],
        pad: int,
    ) -> None:
        self._frozen = list(layers)[:depth]
        self._next = layers[depth]
        self._starts = [0, *accumulate(len(example.tokens) for example in examples)]
        with FlopCounterMode(display=False) as counter:
            self._states = self._compute(model, examples, pad)
        self.flops = float(counter.get_total_flops())

    def again(self, model: nn.Module, examples: Sequence[Example], pad: int) -> FrozenPrefix:
        """Return the same layers with their output for other examples."""
        layers = nn.ModuleList([*self._frozen, self._next])
        return FrozenPrefix(model, layers, len(self._frozen), examples, pad)

    def states(self, batch: Batch) -> Tensor:
        """Return the kept states of a batch, `[batch, seq, dim]`, with zeros for padding."""
        rows, width = batch.tokens.shape
        padded = self._states.new_zeros(rows, width, self._states.shape[1])
        for row, index in enumerate(batch.indices.tolist()):
            start, end = self._starts[index : index + 2]
            padded[row, : end - start] = self._states[start:end]
        return padded.to(next(self._next.parameters()).device)

    def at(self, sources: Tensor) -> Tensor:
        """Return kept states `[..., dim]`, given which ones as numbers `[...]`.

        Those of an example follow each other, token by token, and examples follow in their order.
        """
        states = self._states[sources.to(self._states.device)]
        return states.to(next(self._next.parameters()).device)

    @contextmanager
    def replayed(self, states: Tensor) -> Iterator[None]:
        """Let forward passes start from stored states: frozen layers just pass on their input.

        Args:
            states: `[batch, seq, dim]`, in the order of the method `states`.
        """

        def begin(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        handle = self._next.register_forward_pre_hook(begin, with_kwargs=True)
        # accelerate sets `forward` on the layers of a divided model, which must come back.
        own = [layer.__dict__.get("forward") for layer in self._frozen]
        for layer in self._frozen:
            layer.forward = _pass_on
        try:
            yield
        finally:
            handle.remove()
            for layer, forward in zip(self._frozen, own, strict=True):
                del layer.forward
                if forward is not None:
                    layer.forward = forward

    @torch.no_grad()
    def _compute(self, model: nn.Module, examples: Sequence[Example], pad: int) -> Tensor:
        """Return the states of all examples, concatenated, `[tokens, dim]`."""
        kept = torch.empty(0)
        for indices in batches_by_length([len(e.tokens) for e in examples], STATES_BATCH, None):
            states = self._first_states(model, collate(examples, indices, pad))
            if not len(kept):
                kept = _storage(self._starts[-1], states)
            for row, index in enumerate(indices):
                start, end = self._starts[index : index + 2]
                kept[start:end] = states[row, : end - start].to(kept.device)
        return kept

    def _first_states(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return what enters the first trained layer, `[batch, seq, dim]`."""

        def stop(_: nn.Module, args: Any, kwargs: Any) -> None:
            raise _ReachedError(args[0] if args else kwargs["hidden_states"])

        with self._next.register_forward_pre_hook(stop, with_kwargs=True):
            try:
                target_logits(model, batch)
            except _ReachedError as reached:
                return reached.states
        raise UsageError("the model does not run its decoder layers in order")


def frozen_prefix(model: Any, examples: Sequence[Example], pad: int) -> FrozenPrefix | None:
    """Return the layers below everything that is trained, with their output for the examples.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        examples: What will be trained.
        pad: Token id of padding.

    Returns:
        None if there are no such layers, if dropout or virtual tokens change their output from pass
        to pass, if continuing from it does not give the model's logits, or if the optimization is
        off.
    """
    if not enabled(Optimization.FROZEN_PREFIX) or has_virtual_tokens(model) or drops_out(model):
        return None
    inner = unwrap(model)
    name, layers = decoder_layers(inner)
    trained = [name for name, p in inner.named_parameters() if p.requires_grad]
    depth = frozen_depth(trained, name, len(layers))
    if not depth:
        return None
    try:
        prefix = FrozenPrefix(model, layers, depth, examples, pad)
        return prefix if _agrees(model, prefix, examples[:CHECKED], pad) else None
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError, UsageError) as error:
        failures.raise_device_errors(error)
        return None


def frozen_depth(trained: Iterable[str], layers: str, count: int) -> int:
    """Return how many of the lowest layers lie below everything that is trained.

    Args:
        trained: The names of trained parameters or modules.
        layers: The name of the list of decoder layers.
        count: How many there are.
    """
    lowest = count
    for name in trained:
        if not name.startswith(f"{layers}."):
            return 0
        lowest = min(lowest, int(name.removeprefix(f"{layers}.").split(".")[0]))
    return lowest if lowest < count else 0


def _agrees(model: nn.Module, prefix: FrozenPrefix, examples: Sequence[Example], pad: int) -> bool:
    """Return whether kept states give the logits of a plain forward pass on a few examples."""
    batch = collate(examples, range(len(examples)), pad)
    states = prefix.states(batch)

    def plain(padding: int = 0) -> Tensor:
        logits = target_logits(model, wider(batch, padding))
        return logits[(batch.labels != IGNORED).to(logits.device)]

    def replayed() -> Tensor:
        with prefix.replayed(states):
            return plain()

    def renew() -> None:
        nonlocal states
        states = prefix.again(model, examples, pad).states(batch)

    again = partial(plain, PADDING)
    return shortcut_agrees(model, replayed, plain, again=again, renew=renew)


class _ReachedError(Exception):
    """Ends a forward pass at the first trained layer."""

    def __init__(self, states: Tensor) -> None:
        super().__init__("reached the first trained layer")
        self.states = states


def _pass_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def _storage(tokens: int, like: Tensor) -> Tensor:
    """Return room for states `[tokens, dim]`: in memory, or in a file if beyond the budget."""
    size = tokens * like.shape[-1]
    if size * like.element_size() <= MEMORY_BUDGET:
        return torch.empty(tokens, like.shape[-1], dtype=like.dtype, device=like.device)
    with tempfile.NamedTemporaryFile() as file:  # unlinked while mapped: freed with the tensor
        mapped = torch.from_file(str(Path(file.name)), shared=True, size=size, dtype=like.dtype)
    return mapped.view(tokens, like.shape[-1])
