"""What a stack needs to know of a PEFT model: its low-rank layers, and why it may not be stacked.

The fields of PEFT's layers that are read here are its own and not documented, tried with PEFT
0.21.2; exact types and the check of `bench.stacking.model` keep other versions from being computed
wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.variants import DoraLinearVariant
from torch import nn

from bench.models.capabilities import drops_out, has_virtual_tokens
from bench.models.device_map import is_divided
from bench.models.unwrap import unwrap
from methods.adapters.peft import Peft
from methods.difference import Difference, DoraDifference, Start, start_of
from methods.parts import Adapter
from methods.peft_training import penalty
from methods.targets import weight_of

_VARIANTS = (type(None), Difference, DoraLinearVariant, DoraDifference)
"""The variants of PEFT's layer that a stack computes; None is LoRA."""


@dataclass(frozen=True)
class LowRank:
    """One adapted layer of one member.

    Attributes:
        A: Trained unless it requires no gradient, `[r, d_in]`.
        B: The same, `[d_out, r]`.
        scale: The s of W + s B A.
        magnitude: DoRA's m, trained, `[d_out]`; None for LoRA.
        start: The frozen A_0 and B_0; None where B started at 0.
    """

    A: nn.Parameter
    B: nn.Parameter
    scale: float
    magnitude: nn.Parameter | None
    start: Start | None

    @property
    def rank(self) -> int:
        """The r of A and B."""
        return len(self.A)

    def own(self) -> list[nn.Parameter]:
        """Return its numbers: what is trained, and a factor that is not."""
        return [p for p in (self.A, self.B, self.magnitude) if p is not None]


def low_rank_layers(model: nn.Module) -> dict[str, LowRank]:
    """Return the low-rank layers of a PEFT model by their names in the base."""
    found = {}
    for name, layer in unwrap(model).named_modules():
        if _is_plain(layer):
            (own,) = layer.active_adapters
            dora = own in layer.lora_magnitude_vector
            found[name] = LowRank(
                A=layer.lora_A[own].weight,
                B=layer.lora_B[own].weight,
                scale=float(layer.scaling[own]),
                magnitude=layer.lora_magnitude_vector[own].weight if dora else None,
                start=start_of(layer),
            )
    return found


def why_alone(model: nn.Module, adapter: Adapter) -> str:
    """Return why an attached model has to be trained alone, empty if it can be stacked.

    Args:
        model: The model with its adapter attached, in evaluation mode.
        adapter: The adapter.
    """
    return _why_not(adapter, model) or why_not_stacked(model)


def why_not_stacked(model: nn.Module) -> str:
    """Return why a model cannot be part of a stack, whatever trains it; empty if it can."""
    if has_virtual_tokens(model):
        return "it has virtual tokens"
    if is_divided(model):
        return "its layers lie on several devices"
    if drops_out(model):
        return "it drops out at random"
    layers = low_rank_layers(model)
    known = {parameter for layer in layers.values() for parameter in layer.own()}
    others = [n for n, p in model.named_parameters() if p.requires_grad and p not in known]
    if not layers or others:
        what = f", but '{others[0]}'" if others else ""
        return f"what it trains is not only A and B of plain LoRA, or DoRA's m{what}"
    quantised = [
        n for n, layer in layers.items() if layer.magnitude is not None and not _dense(model, n)
    ]
    if quantised:
        return f"DoRA needs the weights of '{quantised[0]}', which are not plain numbers"
    return ""


def _dense(model: nn.Module, name: str) -> bool:
    return is_dense(unwrap(model).get_submodule(name).base_layer)


def is_dense(layer: Any) -> bool:
    """Return whether a base layer is x W^T + b with a plain weight, not a subclass of its own."""
    from transformers.pytorch_utils import Conv1D

    return type(layer) in (nn.Linear, Conv1D) and weight_of(layer).is_floating_point()


def _why_not(adapter: Adapter, model: nn.Module) -> str:
    """Return which part of a step an adapter takes a hand in."""
    kind = type(adapter)
    if isinstance(adapter, Peft):  # it has both for the few types that need them
        tuner = getattr(model, "base_model", None)
        if penalty(model) is None and not hasattr(tuner, "update_and_allocate"):
            return ""
    if kind.extra_loss is not Adapter.extra_loss:
        return "its adapter adds to the loss"
    if kind.after_step is not Adapter.after_step:
        return "its adapter acts after each step"
    return ""


def _is_plain(layer: Any) -> bool:
    """Return whether a layer is plain LoRA or DoRA, without dropout or biases of its own."""
    if type(layer) is not LoraLinear or len(layer.active_adapters) != 1:
        return False
    (name,) = layer.active_adapters
    return (
        name in layer.lora_A
        and not layer.merged
        and not layer.disable_adapters
        and type(layer.lora_variant.get(name)) in _VARIANTS
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
        and not any(p.requires_grad for p in layer.base_layer.parameters())
    )
