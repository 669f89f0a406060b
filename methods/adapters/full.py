"""Full fine-tuning: the weights themselves are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.parts import Adapter, Setting, adapter
from methods.targets import layer_prefixes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@adapter("full")
@dataclass(frozen=True)
class Full(Adapter):
    """Full fine-tuning: all weights, or those of the chosen decoder layers.

    Of a bfloat16 base the trained weights get float32 master copies. Training runs under autocast
    in the base's dtype; everything else runs with the masters rounded to that dtype. **exact**.
    """

    learning_rate = 5e-5
    trains_weights = True

    def prepare(self, setting: Setting) -> torch.dtype:
        """Return the base's dtype, in which the trained model is saved."""
        return setting.model.dtype

    def attach(self, setting: Setting, prepared: torch.dtype) -> nn.Module:
        """Return the borrowed base with float32 copies of the weights to train."""
        import torch

        model = setting.model
        chosen = list(chosen_parameters(setting))
        for parameter in chosen:
            parameter.data = parameter.data.to(torch.float32, copy=True)
            parameter.requires_grad_(True)
        if prepared != torch.float32:
            MasterWeights(chosen, prepared).run(model)
        return model

    def save(self, model: nn.Module, prepared: Any, setting: Setting, folder: Path) -> None:
        """Write a folder that transformers can load, in the base's dtype."""
        trained = cast("PreTrainedModel", model)
        with MasterWeights(list(chosen_parameters(setting)), prepared).rounded():
            trained.save_pretrained(str(folder))


class MasterWeights:
    """Trained weights in float32, and how a model with the other weights in `dtype` runs with them.

    Autocast rounds every weight at each pass and keeps the residual stream in float32. That is what
    training needs; to generate, each token would read all masters, of twice the size, and write
    them again. So passes without gradients run with copies, made once for each state of training.

    Args:
        masters: The parameters, in float32.
        dtype: The dtype of the others.
    """

    def __init__(self, masters: Sequence[nn.Parameter], dtype: torch.dtype) -> None:
        self._masters = masters
        self._dtype = dtype
        self._copies: list[Tensor] = []
        self._made_of: list[int] = []

    def run(self, model: nn.Module) -> None:
        """Make a model that holds the masters run as described."""
        import torch

        plain = model.forward
        cast = torch.autocast(self._masters[0].device.type, dtype=self._dtype)

        @wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if torch.is_grad_enabled():
                self._copies = []
                with cast:
                    return plain(*args, **kwargs)
            with self.rounded():
                return plain(*args, **kwargs)

        model.forward = forward

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """Let the parameters hold the rounded copies in this block."""
        held = [master.data for master in self._masters]
        # Counted by torch: each step of an optimizer raises it, rebinding `data` does not.
        states = [master._version for master in self._masters]
        if not self._copies or states != self._made_of:
            self._copies, self._made_of = [data.to(self._dtype) for data in held], states
        try:
            for master, copy in zip(self._masters, self._copies, strict=True):
                master.data = copy
            yield
        finally:
            for master, data in zip(self._masters, held, strict=True):
                master.data = data


def chosen_parameters(setting: Setting) -> Iterator[nn.Parameter]:
    """Yield the parameters of the chosen layers; a tied parameter comes only once."""
    prefixes = layer_prefixes(setting.model, setting.layers)
    for name, parameter in setting.model.named_parameters():
        if name.startswith(prefixes):
            yield parameter
