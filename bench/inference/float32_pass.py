"""Run a model in float32 whose weights are half as precise, without a second copy of it.

A decoder layer's weights are float32 while the layer runs, and those outside the layers while their
module runs. Numbers of half precision are float32 numbers too, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.device_map import is_divided
from bench.models.unwrap import unwrap
from methods.targets import decoder_layers
from tasks.errors import UsageError

HALF = (torch.bfloat16, torch.float16)
"""Number formats in which a state has 8 or 11 bits."""


def working_precision(model: nn.Module) -> torch.dtype:
    """Return the dtype of a model's least precise weights, to which its states are rounded."""
    half = (p.dtype for p in unwrap(model).parameters() if p.dtype in HALF)
    return next(half, torch.float32)


def runs_in_float32(model: nn.Module) -> bool:
    """Return whether `in_float32` applies: weights are plain numbers on one device."""
    plain = all(p.dtype in (*HALF, torch.float32) for p in unwrap(model).parameters())
    return plain and not is_divided(model)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Let forward passes run in float32 within a block, which must not train.

    Args:
        model: A base or any adapted model for which `runs_in_float32` holds.
    """
    with ExitStack() as hooks:
        for unit in _units(unwrap(model)):
            swap = _Swap()
            before = unit.register_forward_pre_hook(swap.begin, with_kwargs=True, prepend=True)
            after = unit.register_forward_hook(swap.end, always_call=True)
            hooks.enter_context(before)
            hooks.enter_context(after)
            hooks.callback(swap.restore)
        yield


def _units(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the decoder layers, and the modules outside them that have weights of their own."""
    try:
        name, layers = decoder_layers(model)
    except UsageError:
        name, layers = "", nn.ModuleList()
    yield from layers
    for own, module in model.named_modules():
        outside = not name or not f"{own}.".startswith(f"{name}.")
        if outside and any(True for _ in _tensors(module, recurse=False)):
            yield module


class _Swap:
    """The half-precision tensors of one module, put aside while it runs."""

    def __init__(self) -> None:
        self._aside: list[tuple[Tensor, Tensor]] = []

    def begin(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        for tensor in _tensors(module, recurse=True):
            self._aside.append((tensor, tensor.data))
            tensor.data = tensor.data.float()
        # A mask is made before the first layer, in the dtype of the weights.
        return tuple(map(_widened, args)), {name: _widened(x) for name, x in kwargs.items()}

    def end(self, module: nn.Module, args: Any, output: Any) -> None:
        self.restore()

    def restore(self) -> None:
        while self._aside:
            tensor, data = self._aside.pop()
            tensor.data = data


def _tensors(module: nn.Module, *, recurse: bool) -> Iterator[Tensor]:
    for tensor in (*module.parameters(recurse), *module.buffers(recurse)):
        if tensor.dtype in HALF:
            yield tensor


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
