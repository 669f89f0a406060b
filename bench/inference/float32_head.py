"""Logits in float32 from a head in half precision.

A sum over the hidden states is exact to about 1e-7 before it is rounded to bfloat16, which leaves 8
bits: steps of 0.125 at logits of 16 to 32. With SmolLM2-135M that rounding alone changes the greedy
token at one position in 17. So the product is handed out as it was summed; caps and scales behind
the head, the loss and log-likelihoods then work in float32 too. It costs no second copy of the
weights on a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench import failures
from bench.inference.float32_pass import HALF
from bench.inference.packed_lm_head import pack_head


class Float32Head(nn.Linear):
    """A linear layer whose products of half-precision numbers come out in float32.

    In float32 it is a plain `nn.Linear`. Under autocast its operands are rounded as autocast does
    it, but not the result.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return x W^T + b, float32 `[..., d_out]` for x `[..., d_in]`."""
        kind = input.device.type
        autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else input.dtype
        if dtype not in HALF or not (autocast or self.weight.dtype == dtype):
            return super().forward(input)
        with torch.autocast(kind, enabled=False):
            output: Tensor = _Product.apply(input.to(dtype), self.weight.to(dtype))
            return output if self.bias is None else output + self.bias.float()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        rows = x.reshape(-1, x.shape[-1])
        if _mixes(rows.device, rows.dtype):
            product = torch.mm(rows, weight.T, out_dtype=torch.float32)
        else:
            product = rows.float() @ weight.float().T
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        # In half precision, as a plain head gets it.
        rows = gradient.reshape(-1, gradient.shape[-1]).to(weight.dtype)
        needs_x, needs_weight = ctx.needs_input_grad
        of_x = (rows @ weight).view(x.shape) if needs_x else None
        of_weight = rows.T @ x.reshape(-1, x.shape[-1]) if needs_weight else None
        return of_x, of_weight


def install_head(model: Any) -> None:
    """Give a resident base the head that is most exact and fastest; do it once, after loading.

    A head that is no plain `nn.Linear` stays as it is.
    """
    head = model.get_output_embeddings()
    if type(head) is nn.Linear and head.weight.dtype in HALF:
        _change_class(head)
    else:
        pack_head(model)


def _change_class(head: nn.Linear) -> None:
    # accelerate keeps the bound method of the old class in front of the head of a divided model.
    # Private, tried with accelerate 1.15.0; without the name the head of such a model stays plain.
    hook = getattr(head, "_hf_hook", None)
    if hook is None:
        head.__class__ = Float32Head
        return
    from accelerate.hooks import add_hook_to_module, remove_hook_from_module

    remove_hook_from_module(head)
    head.__dict__.pop("forward", None)  # the old class's own, bound
    head.__class__ = Float32Head
    add_hook_to_module(head, hook)


@lru_cache(maxsize=8)
def _mixes(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether a device multiplies in half precision into float32, found by trying."""
    if device.type == "cpu":  # it has no such product; asking would cost an exception
        return False
    ones = torch.ones(16, 16, dtype=dtype, device=device)
    try:
        return bool(torch.mm(ones, ones, out_dtype=torch.float32)[0, 0] == 16)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        failures.raise_device_errors(error)
        return False
