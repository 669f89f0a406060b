"""Runs the adapted layers of a PEFT model through `bench.training.fused_lora`.

One forward pass is watched to find which layers share an input; a second one checks that the fused
model gives the same logits. The modules remain PEFT's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn

from bench.inference.equivalence import logits_agree
from bench.inference.float32_pass import working_precision
from bench.optimizations import Optimization, decline, enabled
from bench.training.fused_lora import Projection, project
from methods.difference import Difference, DoraDifference, squared_rows, start_of

Forward = Callable[..., Any]

_PLAIN = (torch.float32, torch.bfloat16, torch.float16)
"""Number formats of weights that are what they stand for."""

_VARIANTS = (type(None), DoraLinearVariant, Difference, DoraDifference)
"""LoRA and DoRA, which start at B = 0 or are a difference to their start."""


def fuse_projections(model: nn.Module, probe: Callable[[], Tensor]) -> int:
    """Let adapted layers that share an input run as one autograd step.

    Args:
        model: The model with its adapter attached.
        probe: Runs the model on a few examples and returns the logits.

    Returns:
        How many layers were fused: 0 if the adapter is of another kind, if the optimization is off,
        or if the fused model would give other logits.
    """
    layers = [layer for layer in model.modules() if _fusible(layer)]
    if any(_on_another_kind(module) for module in model.modules()):
        decline(model, Optimization.FUSED_PROJECTIONS)
    if not layers or not enabled(Optimization.FUSED_PROJECTIONS):
        return 0
    with torch.no_grad(), _watched(layers) as inputs:
        expected = probe()
    groups = [_Group(members) for members in _sharing(layers, inputs)]
    for group in groups:
        group.install()
    with torch.no_grad():
        same = logits_agree(probe(), expected, working_precision(model))
    if not same:
        for group in groups:
            group.remove()
        decline(model, Optimization.FUSED_PROJECTIONS)
        return 0
    return sum(len(group.layers) for group in groups)


class _Group:
    """Layers with the same input tensor: the first that is called runs all of them."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = layers
        # Squared row norms of a DoRA layer's W, float32 `[d_out]`; None for LoRA.
        self._squared: list[Tensor | None] = [
            squared_rows(layer.base_layer.weight) if _is_dora(layer) else None for layer in layers
        ]
        self._plain: list[Forward] = [layer.forward for layer in layers]
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}

    def install(self) -> None:
        """Put this group's forward in front of PEFT's."""
        for number, layer in enumerate(self.layers):
            layer.forward = self._forward_of(number)

    def remove(self) -> None:
        """Restore the layers' own forward."""
        for layer in self.layers:
            del layer.forward

    def _forward_of(self, number: int) -> Forward:
        layer, plain = self.layers[number], self._plain[number]

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if args or kwargs or layer.disable_adapters or layer.merged:
                return plain(x, *args, **kwargs)
            if self._input is not x or number not in self._waiting:
                self._input = x
                self._waiting = dict(enumerate(project(x, self._projections())))
            output = self._waiting.pop(number)
            if not self._waiting:
                self._input = None
            return output

        return forward

    def _projections(self) -> list[Projection]:
        found = []
        for layer, squared in zip(self.layers, self._squared, strict=True):
            name = layer.active_adapters[0]
            projection = Projection(
                weight=layer.base_layer.weight,
                bias=layer.base_layer.bias,
                A=layer.lora_A[name].weight,
                B=layer.lora_B[name].weight,
                scale=layer.scaling[name],
                magnitude=None if squared is None else layer.lora_magnitude_vector[name].weight,
                squared=squared,
                start=start_of(layer),
            )
            found.append(projection)
        return found


def _fusible(layer: Any) -> bool:
    """Return whether a layer is LoRA or DoRA on a plain, frozen linear layer."""
    # These fields are PEFT's own and not documented, tried with PEFT 0.21.2: an exact type and
    # `fuse_projections`, which compares logits, keep other versions from being computed wrongly.
    if type(layer) is not LoraLinear or len(layer.active_adapters) != 1:
        return False
    name = layer.active_adapters[0]
    base = layer.base_layer
    if not _is_plain(base) or any(p.requires_grad for p in base.parameters()):
        return False
    variant = layer.lora_variant.get(name)
    return (
        name in layer.lora_A
        and type(variant) in _VARIANTS
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
        and not layer.fan_in_fan_out
    )


def _is_plain(base: nn.Module) -> bool:
    """Return whether a layer computes x W^T + b as a product of plain numbers.

    A subclass such as Falcon's may write it down in another way; one that computes something else
    gives other logits, which `fuse_projections` notices.
    """
    return isinstance(base, nn.Linear) and base.weight.dtype in _PLAIN


def _on_another_kind(module: nn.Module) -> bool:
    """Return whether a module is LoRA on something else, such as the `Conv1D` of GPT-2."""
    base = module.get_base_layer() if isinstance(module, LoraLayer) else None
    return base is not None and not isinstance(base, nn.Embedding) and not _is_plain(base)


def _is_dora(layer: Any) -> bool:
    return layer.active_adapters[0] in layer.lora_magnitude_vector


@contextmanager
def _watched(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Record the input tensors of the layers."""
    inputs: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}
    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(
                layer.register_forward_pre_hook(lambda layer, given: inputs[layer].append(given[0]))
            )
        yield inputs


def _sharing(
    layers: Sequence[nn.Module], inputs: dict[nn.Module, list[Tensor]]
) -> list[list[nn.Module]]:
    """Group the layers that ran exactly once by their input tensor."""
    groups: dict[int, list[nn.Module]] = {}
    for layer in layers:
        if len(inputs[layer]) == 1:
            groups.setdefault(id(inputs[layer][0]), []).append(layer)
    return list(groups.values())
