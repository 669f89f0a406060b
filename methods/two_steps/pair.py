"""Two low-rank adapters on one model: that of a first step, and that of a second one on top of it.

    y = W' x + s_2 B_2 A_2 x,    W' = W + s_1 B_1 A_1

W' stands for the weights after step one. If that was DoRA, W' = c_1 (W + s_1 B_1 A_1). DoRA on top
is c_2 (W' x + s_2 B_2 A_2 x) with c_2 = m / ||W' + s_2 B_2 A_2||. PEFT's own DoRA divides by the
norm of W + s_2 B_2 A_2, as if there were no first adapter, and so would begin with other rows than
those that the first step has made.

PEFT adds a second adapter without activating it, so that it would train for nothing. Here both are
active, and `Pair` checks what is trained. PEFT's layers hold several adapters by fields that are
not documented; tried with PEFT 0.21.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.layer import LoraVariant
from peft.tuners.lora.variants import DoraLinearVariant
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.functional import linear

from methods.difference import ADAPTER, row_norms, squared_rows
from methods.targets import weight_of
from tasks.errors import UsageError

if TYPE_CHECKING:
    from peft import PeftModel

FIRST = "first"
"""The name of the first step's adapter in a model; that of the second is `ADAPTER`."""

SMALLEST_FACTOR = 1e-12
"""Stands for a factor of DoRA that is 0, by which nothing can be divided."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A model with both adapters, of which the second is trained, or both are.

    Attributes:
        model: The model.
        trains_first: Whether the first adapter is trained too.
        kept: What the first adapter held when it was joined; empty if it is trained.
        alone: What `probe` returned with the first adapter alone.
    """

    model: PeftModel
    trains_first: bool
    kept: Mapping[str, Tensor]
    alone: Tensor

    def changed(self) -> list[str]:
        """Name the tensors of a frozen first adapter that are no longer bit-equal."""
        now = dict(_parameters_of(self.model, FIRST))
        return [name for name, tensor in self.kept.items() if not torch.equal(now[name], tensor)]

    def check_trained(self) -> None:
        """Check that exactly the adapters of the mode are trained, and that both are active.

        Raises:
            UsageError: They are not.
        """
        wanted = {id(p): n for n, p in _parameters_of(self.model, ADAPTER)}
        if self.trains_first:
            wanted |= {id(p): n for n, p in _parameters_of(self.model, FIRST)}
        trained = {id(p): n for n, p in self.model.named_parameters() if p.requires_grad}
        if odd := [trained.get(key) or wanted[key] for key in trained.keys() ^ wanted.keys()]:
            which = "both adapters train" if self.trains_first else "the second adapter trains"
            raise UsageError(
                f"after a first step {which} and nothing else, but not so '{sorted(odd)[0]}'; use "
                "--after ...:merged"
            )
        for name, layer in adapted_layers(self.model):
            if list(layer.active_adapters) != [FIRST, ADAPTER] or layer.disable_adapters:
                raise UsageError(f"'{name}' does not run the adapters of both steps")

    def check_reached(self, loss: Tensor) -> None:
        """Check that what is trained takes part in a loss.

        Args:
            loss: A scalar, of the model as it will be trained.

        Raises:
            UsageError: Nothing of an adapter that is trained changes it.
        """
        names = [ADAPTER, FIRST] if self.trains_first else [ADAPTER]
        for name in names:
            own = [parameter for _, parameter in _parameters_of(self.model, name)]
            found = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
            if not any(gradient is not None and gradient.any() for gradient in found):
                step = "first" if name == FIRST else "second"
                raise UsageError(f"the adapter of the {step} step gets no gradients: it is idle")


def join(model: PeftModel, folder: Path, *, trainable: bool, probe: Callable[[], Tensor]) -> Pair:
    """Put a first step's saved adapter below the one that a model has, and activate both.

    Args:
        model: A model with one low-rank adapter, which changes nothing yet.
        folder: The saved adapter, in PEFT's format.
        trainable: Whether the first adapter is trained too.
        probe: Runs the model and returns its logits.

    Raises:
        UsageError: One of the adapters is more than low-rank factors of linear layers.
    """
    try:
        device = str(next(model.parameters()).device)
        model.load_adapter(str(folder), FIRST, is_trainable=trainable, torch_device=device)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"cannot put the adapter of '{folder}' below another: {told}") from error
    _refuse_others(model)
    model.base_model.set_adapter([FIRST])
    with torch.no_grad():
        alone = probe()
    model.base_model.set_adapter([FIRST, ADAPTER])
    for _, layer in adapted_layers(model):
        if FIRST not in layer.lora_A:
            continue
        if not trainable:  # a frozen adapter that drops out would be another one at each step
            layer.lora_dropout[FIRST] = nn.Identity()
        if ADAPTER in layer.lora_magnitude_vector:
            _begin_dora(layer)
    for _, parameter in _parameters_of(model, FIRST):
        parameter.requires_grad_(trainable)
    kept = {} if trainable else {n: p.detach().clone() for n, p in _parameters_of(model, FIRST)}
    pair = Pair(model.eval(), trainable, kept, alone)
    pair.check_trained()
    return pair


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the layers that have an adapter of either step, with their names in the base."""
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name.removeprefix("base_model.model."), module


class DoraOnFirst(LoraVariant):
    """DoRA (arXiv 2402.09353) of the weight that a first step has made; see this module.

    Args:
        squared: Squared row norms of W, float32 `[d_out]`.
    """

    def __init__(self, squared: Tensor) -> None:
        self.squared = squared

    def supports_lora_conversion(self) -> bool:
        """Return that PEFT cannot convert it."""
        return False

    def forward(
        self, module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """Return c_2 (W' x + s_2 B_2 A_2 x), given W' x.

        Args:
            module: PEFT's layer.
            active_adapter: The second adapter's name.
            x: The input `[..., d_in]`, in the dtype of A.
            result: W' x, with the bias of the base, `[..., d_out]`.
        """
        A, B = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        dropped = module.lora_dropout[active_adapter](x)
        change = linear(linear(dropped, A), B) * module.scaling[active_adapter]
        bias = module.get_base_layer().bias
        unbiased = result if bias is None else result - bias
        factor = module.lora_magnitude_vector[active_adapter].weight / self.norms(module)
        # As a change of W' x, which survives bit by bit where the factor is 1.
        return result + change + (factor - 1) * (unbiased + change)

    def norms(self, layer: Any) -> Tensor:
        """Return the row norms of W' + s_2 B_2 A_2, float32 `[d_out]`, without gradients.

        With W' = c_1 (W + s_1 B_1 A_1) they are |c_1| times those of
        W + [s_1 B_1, (s_2 / c_1) B_2] [A_1; A_2].
        """
        (A1, B1), (A2, B2) = (_factors(layer, name) for name in (FIRST, ADAPTER))
        weight, c1 = weight_of(layer.get_base_layer()), None
        if FIRST in layer.lora_magnitude_vector:
            m = layer.lora_magnitude_vector[FIRST].weight.detach().float()
            c1 = m / row_norms(weight, self.squared, A1, B1, 1.0)
            c1 = torch.where(c1.abs() < SMALLEST_FACTOR, SMALLEST_FACTOR, c1)
            B2 = B2 / c1[:, None]
        both = torch.cat([A1, A2]), torch.cat([B1, B2], dim=1)
        norms = row_norms(weight, self.squared, *both, 1.0)
        return norms if c1 is None else norms * c1.abs()

    def merge_safe(self, module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """Refuse: both adapters are merged at once, by `whole_weight`."""
        raise NotImplementedError("the adapters of two steps are merged by whole_weight")

    merge_unsafe = unmerge = merge_safe


def whole_weight(layer: Any) -> Tensor:
    """Return the weight that a layer with its adapters stands for, float32 `[d_out, d_in]`."""
    whole = weight_of(layer.get_base_layer()).float()
    for name in (FIRST, ADAPTER):
        if name not in layer.lora_A:
            continue
        A, B = _factors(layer, name)
        whole = torch.addmm(whole, B, A)
        if name in layer.lora_magnitude_vector:
            m = layer.lora_magnitude_vector[name].weight.detach().float()
            whole = (m / whole.norm(dim=1))[:, None] * whole
    return whole


def _begin_dora(layer: Any) -> None:
    variant = DoraOnFirst(squared_rows(weight_of(layer.get_base_layer())))
    layer.lora_variant[ADAPTER] = variant
    # By the formula of training, so that m is the norm to the last bit.
    layer.lora_magnitude_vector[ADAPTER].weight.data = variant.norms(layer)


def _factors(layer: Any, name: str) -> tuple[Tensor, Tensor]:
    """Return A `[r, d_in]` and s B `[d_out, r]` of an adapter, float32, without gradients."""
    A, B = layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach()
    return A.float(), B.float() * layer.scaling[name]


def _parameters_of(model: nn.Module, adapter: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of one adapter: A, B and DoRA's m."""
    for name, layer in adapted_layers(model):
        for part in ("lora_A", "lora_B", "lora_magnitude_vector"):
            if adapter in (held := getattr(layer, part)):
                for own, parameter in held[adapter].named_parameters():
                    yield f"{name}.{part}.{adapter}.{own}", parameter


def _refuse_others(model: nn.Module) -> None:
    """Refuse layers that hold something else than LoRA or DoRA on a linear layer.

    Raises:
        UsageError: There is such a layer.
    """
    for name, layer in adapted_layers(model):
        plain = type(layer) is LoraLinear and all(
            type(variant) is DoraLinearVariant for variant in layer.lora_variant.values()
        )
        if not plain or any(layer.lora_bias.values()):
            raise UsageError(
                f"the adapters of two steps stand side by side only as LoRA or DoRA on linear "
                f"layers, and '{name}' is not such: use --after ...:merged"
            )
