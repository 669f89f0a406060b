"""Starts that are not zero, run as a difference on the untouched weight.

A start that takes s B_0 A_0 out of W trains W - s B_0 A_0 + s B A. With dA = A - A_0 and
dB = B - B_0 that is the same function as

    y = W x + s [ dB (A x) + B_0 (dA x) ],

which needs no weight of its own, is W x to the last bit at the start, and keeps the relative
precision of the update in half precision, where W - s B_0 A_0 would be rounded. Dropout acts on
the trained term alone: W x + s (B A drop(x) - B_0 A_0 x). DoRA's norm is that of
W + s (B A - B_0 A_0), and its m starts at the norm of W.

PEFT's layer stays what it is: the form is a `LoraVariant` set on it, so that its evaluation,
`disable_adapter`, merging and unmerging are right. PEFT calls that class private; tried with PEFT
0.21.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn
from torch.nn.functional import linear

from methods.targets import weight_of

ADAPTER = "default"
"""The name that PEFT gives the only adapter of a model."""

NORM_FLOOR = 1e-12
"""Lower bound of squared row norms, so that a row of zeros does not divide by zero."""


@dataclass(frozen=True, eq=False)
class Start:
    """What the factors of one layer start from; frozen, and shared by cells with the same start.

    Attributes:
        A: A_0 `[r, d_in]`, float32.
        B: B_0 `[d_out, r]`, float32.
    """

    A: Tensor
    B: Tensor

    def down(self, A: Tensor) -> Tensor:
        """Return [A; dA] `[2r, d_in]`, which goes with `up`: up @ down = B A - B_0 A_0."""
        return torch.cat([A, A - self.A])

    def up(self, B: Tensor) -> Tensor:
        """Return [dB, B_0] `[d_out, 2r]`."""
        return torch.cat([B - self.B, self.B], dim=1)


class Difference(LoraVariant):
    """LoRA as a difference to its start.

    Args:
        start: A_0 and B_0.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self._unmerged: Tensor | None = None

    def supports_lora_conversion(self) -> bool:
        """Return that PEFT cannot convert it: it would take B A for the whole change."""
        return False

    def forward(
        self, module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """Return W x + s (B A - B_0 A_0) x, given W x.

        Args:
            module: PEFT's layer.
            active_adapter: The adapter's name.
            x: The input `[..., d_in]`, in the dtype of A.
            result: W x, with the bias of the base, `[..., d_out]`.
        """
        return result + self._change(module, active_adapter, x)

    def merge_safe(self, module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """Return the merged weight, a new tensor in the layout of the base."""
        self._unmerged = module.get_base_layer().weight.data
        whole = self._merged(module, active_adapter)
        stored = whole.T if module.fan_in_fan_out else whole
        return stored.to(orig_weight.dtype).contiguous()

    def merge_unsafe(self, module: Any, active_adapter: str, orig_weight: Tensor) -> None:
        """Give the base the merged weight; not in place, for its storage is shared."""
        orig_weight.data = self.merge_safe(module, active_adapter, orig_weight)

    def unmerge(self, module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """Return the weight that merging replaced, not one that is computed back."""
        if self._unmerged is None:
            raise RuntimeError(f"the adapter '{active_adapter}' is not merged")
        weight, self._unmerged = self._unmerged, None
        return weight

    def _change(self, layer: Any, name: str, x: Tensor) -> Tensor:
        """Return s (B A - B_0 A_0) x `[..., d_out]`."""
        A, B, start = layer.lora_A[name].weight, layer.lora_B[name], self.start
        dropout = layer.lora_dropout[name]
        if layer.training and not isinstance(dropout, nn.Identity):
            trained = linear(linear(dropout(x), A), B.weight, B.bias)
            change = trained - linear(linear(x, start.A), start.B)
        else:
            change = linear(linear(x, A), B.weight - start.B, B.bias)
            change = change + linear(linear(x, A - start.A), start.B)
        return change * layer.scaling[name]

    def _merged(self, layer: Any, name: str) -> Tensor:
        """Return W + s (B A - B_0 A_0) `[d_out, d_in]`, float32."""
        down, up = self._stacked(layer, name)
        weight = weight_of(layer.get_base_layer()).float()
        return torch.addmm(weight, up, down, alpha=layer.scaling[name])

    def _stacked(self, layer: Any, name: str) -> tuple[Tensor, Tensor]:
        """Return [A; dA] and [dB, B_0], without gradients."""
        A, B = layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach()
        return self.start.down(A), self.start.up(B)


class DoraDifference(Difference):
    """DoRA (arXiv 2402.09353) as a difference to its start; the norm is a constant backwards.

    Args:
        start: A_0 and B_0.
        squared: Squared row norms of W, float32 `[d_out]`.
    """

    def __init__(self, start: Start, squared: Tensor) -> None:
        super().__init__(start)
        self.squared = squared

    def forward(
        self, module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """Return c (W + s (B A - B_0 A_0)) x, given W x, with c = m / the norm of that weight.

        Args:
            module: PEFT's layer.
            active_adapter: The adapter's name.
            x: The input `[..., d_in]`, in the dtype of A.
            result: W x, with the bias of the base, `[..., d_out]`.
        """
        change = self._change(module, active_adapter, x)
        bias = module.get_base_layer().bias
        unbiased = result if bias is None else result - bias
        # As a change of W x, which the bits of W x survive where c = 1 and nothing has changed.
        grown = (self._factor(module, active_adapter) - 1) * (unbiased + change)
        return result + change + grown

    def norms(self, layer: Any, name: str) -> Tensor:
        """Return the row norms of W + s (B A - B_0 A_0), float32 `[d_out]`."""
        down, up = self._stacked(layer, name)
        weight = weight_of(layer.get_base_layer())
        return row_norms(weight, self.squared, down, up, layer.scaling[name])

    def _factor(self, layer: Any, name: str) -> Tensor:
        return layer.lora_magnitude_vector[name].weight / self.norms(layer, name)

    def _merged(self, layer: Any, name: str) -> Tensor:
        return self._factor(layer, name).detach()[:, None] * super()._merged(layer, name)


def begin(layer: Any, start: Start, *, added: bool = False) -> None:
    """Let PEFT's layer of a LoRA or DoRA train from a start, while its base keeps W.

    A start of which one factor is 0 takes nothing out of W, and is plain LoRA or DoRA.

    Args:
        layer: The layer, with an adapter named "default".
        start: A_0 and B_0, on the layer's device.
        added: Whether s B_0 A_0 is added to W, so that a LoRA does not start as the base.
    """
    layer.lora_A[ADAPTER].weight.data = start.A.clone()
    layer.lora_B[ADAPTER].weight.data = start.B.clone()
    if added or not (start.A.any() and start.B.any()):
        return
    if ADAPTER not in layer.lora_magnitude_vector:
        layer.lora_variant[ADAPTER] = Difference(start)
        return
    variant = DoraDifference(start, squared_rows(weight_of(layer.get_base_layer())))
    layer.lora_variant[ADAPTER] = variant
    # By the formula of training, so that m is the norm to the last bit.
    layer.lora_magnitude_vector[ADAPTER].weight.data = variant.norms(layer, ADAPTER)


def start_of(layer: nn.Module) -> Start | None:
    """Return the frozen factors that a PEFT layer started from; None where B started at 0."""
    variant = getattr(layer, "lora_variant", {}).get(ADAPTER)
    return variant.start if isinstance(variant, Difference) else None


def squared_rows(weight: Tensor) -> Tensor:
    """Return the squared row norms of a weight `[d_out, d_in]`, float32 `[d_out]`."""
    return weight.float().square().sum(1)


def row_norms(weight: Tensor, squared: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Return the row norms of W + s U D without a product of the size of W, float32 `[d_out]`.

    It is ||W||^2 + 2 s <W, U D> + s^2 ||U D||^2, row by row.

    Args:
        weight: W `[d_out, d_in]`.
        squared: Its squared row norms, float32 `[d_out]`.
        down: D `[k, d_in]`: A, or [A; dA].
        up: U `[d_out, k]`: B, or [dB, B_0].
        scale: s.
    """
    down, up = down.float(), up.float()
    cross = ((weight @ down.to(weight.dtype).T).float() * up).sum(1)
    own = (up @ (down @ down.T) * up).sum(1)
    return (squared + 2 * scale * cross + scale**2 * own).clamp(min=NORM_FLOOR).sqrt()
