"""The base's head, laid out once for oneDNN, which halves the time of few rows on a CPU.

A product with `[vocabulary, hidden]` weights rearranges them at every call. A layout needs as much
memory as the head, and there are two, because backward multiplies by the transpose. With
SmolLM2-135M on two cores, 32 rows took 17 ms instead of 37 forward and 18 instead of 30 backward;
1024 rows took 439 instead of 570 forward, but 406 instead of 325 backward.

A whole decoding step of 8, 16 and 32 rows on one core was 1.11, 1.14 and 1.16 times faster in the
shape of SmolLM2-135M, and 1.23, 1.22 and 1.18 times in that of Llama-3.2-1B, whose two layouts
would take 2 GB (`python scripts/packed_head.py 135m`, `1b`; torch 2.13.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench import failures
from bench.inference.equivalence import logits_agree
from bench.optimizations import Optimization, enabled

LARGEST = 2**28
"""Most bytes of a head for which two more copies are worth their memory."""

ROWS = 32
"""Number of rows for which oneDNN chooses the layout: the answers of a batch, or the targets of a
training step."""

MOST_BACKWARD = 64
"""Most rows for which the packed transpose is faster."""


class _Packed:
    """A matrix in both layouts; shared by all copies of a model.

    Args:
        weight: `[d_out, d_in]`; never written while it is packed.
    """

    def __init__(self, weight: Tensor) -> None:
        # Private, tried with torch 2.13.0; the public data_ptr() would copy a borrowed weight.
        self._storage = weight.untyped_storage()._cdata
        self._weight = weight
        # Private, tried with torch 2.13.0; `pack_head` does without them if they are missing.
        self._forward = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self._backward = torch.ops.mkldnn._reorder_linear_weight(weight.T.contiguous(), ROWS)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Packed:
        return self

    def is_of(self, weight: Tensor) -> bool:
        """Return whether this is the weight that was packed, unchanged."""
        return weight.untyped_storage()._cdata == self._storage and not weight.requires_grad

    def times(self, rows: Tensor) -> Tensor:
        """Return x W^T `[rows, d_out]` for x `[rows, d_in]`."""
        return _multiplied(rows, self._forward)

    def transposed_times(self, rows: Tensor) -> Tensor:
        """Return y W `[rows, d_in]` for y `[rows, d_out]`."""
        few = len(rows) <= MOST_BACKWARD
        return _multiplied(rows, self._backward) if few else rows @ self._weight


class PackedHead(nn.Linear):
    """A frozen linear layer that uses packed weights as long as its weight is the packed one."""

    packed: _Packed

    def forward(self, input: Tensor) -> Tensor:
        """Return x W^T + b."""
        usable = enabled(Optimization.PACKED_HEAD) and input.dtype == torch.float32
        if not usable or not self.packed.is_of(self.weight):
            return super().forward(input)
        output: Tensor = _Product.apply(input, self.packed)
        return output if self.bias is None else output + self.bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: _Packed) -> Tensor:
        ctx.packed = packed
        return packed.times(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows = gradient.reshape(-1, gradient.shape[-1])
        return ctx.packed.transposed_times(rows).view(*gradient.shape[:-1], -1), None


def pack_head(model: Any) -> bool:
    """Pack the head of a resident base and return whether it could be packed.

    This needs a CPU, float32 and oneDNN. Before the packed head is used, its products are compared
    with plain ones.
    """
    head = model.get_output_embeddings()
    if (
        not enabled(Optimization.PACKED_HEAD)
        or type(head) is not nn.Linear
        or not head.weight.is_cpu
        or head.weight.dtype != torch.float32
        or head.weight.nbytes > LARGEST
    ):
        return False
    weight = head.weight.detach()
    rows = weight[:ROWS]
    expected = rows @ weight.T
    try:
        packed = _Packed(weight)
        same = logits_agree(packed.times(rows), expected) and logits_agree(
            packed.transposed_times(expected), expected @ weight
        )
    except (AttributeError, RuntimeError) as error:
        failures.raise_device_errors(error)
        return False
    if same:
        head.__class__, head.packed = PackedHead, packed  # type: ignore[assignment]
    return same


def _multiplied(rows: Tensor, packed: Tensor) -> Tensor:
    # Private, tried with torch 2.13.0; `pack_head` compares its products before they are used.
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
    return product
