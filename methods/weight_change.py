"""By how much, and in which directions, a trained model's weights differ from the base's.

dW `[d_out, d_in]` is the whole change of one linear layer: what it computes now, less what the
untouched base computes, whatever adapter does it. For LoRA that is s B A, for a start that was cut
out of W it is s (B A - B_0 A_0), for DoRA and full fine-tuning a difference of two weights, and
after a first step what both steps have changed. LoRA's stays in factors, so that nothing of the
size of W is multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from methods.subspaces import End, left_subspace, right_directions
from methods.targets import linear_layers, weight_of
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class SpectralEnds(NamedTuple):
    """The k largest and the k smallest singular directions of a weight W, orthonormal, float32.

    The smallest leave out null directions.

    Attributes:
        top_left, bottom_left: `[d_out, k]`.
        top_right, bottom_right: `[d_in, k]`.
    """

    top_left: Tensor
    top_right: Tensor
    bottom_left: Tensor
    bottom_right: Tensor


@dataclass(frozen=True, eq=False)
class Change:
    """dW = up @ down, float32.

    Attributes:
        up: `[d_out, k]`; dW itself, `[d_out, d_in]`, if it is not of low rank.
        down: `[k, d_in]`; None if `up` is dW itself.
    """

    up: Tensor
    down: Tensor | None = None

    def squared_norm(self) -> float:
        """Return |dW|_F^2."""
        if self.down is None:
            return float(self.up.double().square().sum())
        return _traced(self.up, (self.down.double() @ self.down.double().T))

    def moved(self, moment: Tensor) -> float:
        """Return E|dW h|^2 = tr(dW C dW^T).

        Args:
            moment: C = E[h h^T] `[d_in, d_in]` of the inputs h, not centred.
        """
        if self.down is None:
            return moved_by(self.up, moment)
        return _traced(self.up, ((self.down @ moment).double() @ self.down.double().T))

    def left_share(self, directions: Tensor) -> float:
        """Return |U^T dW|_F^2 / |dW|_F^2 for orthonormal U `[d_out, k]`; 0 if nothing changed."""
        projected = directions.to(self.up).T @ self.up
        return self._share(Change(projected, self.down))

    def right_share(self, directions: Tensor) -> float:
        """Return |dW V|_F^2 / |dW|_F^2 for orthonormal V `[d_in, k]`; 0 if nothing changed."""
        V = directions.to(self.up)
        projected = Change(self.up @ V) if self.down is None else Change(self.up, self.down @ V)
        return self._share(projected)

    def _share(self, part: Change) -> float:
        whole = self.squared_norm()
        return part.squared_norm() / whole if whole else 0.0


def moved_by(weight: Tensor, moment: Tensor) -> float:
    """Return E|W h|^2 = tr(W C W^T), for W `[d_out, d_in]` and C = E[h h^T] `[d_in, d_in]`."""
    weight = weight.float()
    # Row by row the products are sums of many terms: float64 keeps what cancels.
    return float(((weight @ moment) * weight).sum(1).double().sum())


def weight_changes(model: nn.Module, base: PreTrainedModel) -> Iterator[tuple[str, Change]]:
    """Yield the change of each linear layer of the text model that has one, with its name.

    A layer that is trained has one even where it is 0. What is no linear layer (embeddings, norms,
    biases, prompts) is left out.

    Args:
        model: The trained model, with its adapter attached.
        base: The untouched base.

    Raises:
        UsageError: A layer's adapter cannot be written as a change of its weight, or the base is
            quantised.
    """
    from peft import PeftModel

    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    trained = dict(inner.named_modules())
    for name, linear in linear_layers(base):
        module = trained.get(name)  # None within a block that an adapter wraps as a whole
        change = None if module is None else _change(name, module, weight_of(linear))
        if change is not None:
            yield name, change


def _change(name: str, module: nn.Module, weight: Tensor) -> Change | None:
    """Return the change of one layer relative to W `[d_out, d_in]`; None if it has none."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    with torch.no_grad():
        if isinstance(module, BaseTunerLayer):
            return _of_adapter(name, module, weight)
        own: Any = _replaced(module)
        # What was asked ran with the weights in the base's dtype, not with float32 masters.
        changed = weight_of(own).to(weight.dtype)
        if not own.weight.requires_grad and torch.equal(changed, weight):
            return None
        return Change(changed.float() - weight.float())


def spectral_ends(weight: Tensor, count: int) -> SpectralEnds:
    """Return the `count` largest and smallest singular directions of W, or as many as it has."""
    W = weight.double()
    count = min(count, *W.shape)

    def pair(end: End) -> tuple[Tensor, Tensor]:
        left = left_subspace(W, count, end, steep=False).U
        return left.float(), right_directions(W, left).float()

    return SpectralEnds(*pair(End.LARGEST), *pair(End.SMALLEST))


def _traced(up: Tensor, inner: Tensor) -> float:
    """Return tr(up M up^T) for M `[k, k]`, in float64."""
    return float(((up.double().T @ up.double()) * inner).sum())


def _replaced(module: nn.Module) -> nn.Module:
    """Return the copy that PEFT trains in place of a whole module, or the module itself."""
    copies: Any = getattr(module, "modules_to_save", None)
    return copies["default"] if copies is not None and "default" in copies else module


def _of_adapter(name: str, layer: Any, weight: Tensor) -> Change:
    """Return the change of a layer that PEFT wraps, relative to W `[d_out, d_in]`."""
    import torch

    from methods.two_steps.pair import FIRST, whole_weight

    if FIRST in getattr(layer, "lora_A", ()):
        return Change(whole_weight(layer) - weight.float())
    factors = _factors(layer)
    # After a merged first step the layer stands on another weight than the base's.
    if factors is not None and torch.equal(weight_of(layer.get_base_layer()), weight):
        return factors
    return Change(_merged(name, layer) - weight.float())


def _factors(layer: Any) -> Change | None:
    """Return s B A or s (B A - B_0 A_0) in factors; None if the layer is not plain LoRA."""
    from peft.tuners.lora import Linear

    from methods.difference import ADAPTER, Difference

    if type(layer) is not Linear or ADAPTER not in layer.lora_A:
        return None
    variant = layer.lora_variant.get(ADAPTER)
    if type(variant) not in (type(None), Difference) or list(layer.active_adapters) != [ADAPTER]:
        return None
    A, B = (part[ADAPTER].weight.detach().float() for part in (layer.lora_A, layer.lora_B))
    up, down = (B, A) if variant is None else (variant.start.up(B), variant.start.down(A))
    return Change(up * layer.scaling[ADAPTER], down)


def _merged(name: str, layer: Any) -> Tensor:
    """Return the weight that a layer with its adapter stands for, float32 `[d_out, d_in]`.

    A copy of the layer is merged, in float32: in half precision the sum would be rounded by more
    than what was trained, and PEFT leaves traces of merging in a layer.

    Raises:
        UsageError: The adapter cannot be merged.
    """
    import torch

    try:
        copied = deepcopy(layer)
        copied.get_base_layer().to(torch.float32)
        copied.merge(safe_merge=True)
        return weight_of(copied.get_base_layer())
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"the adapter of '{name}' is no change of its weight: {told}") from error
