"""Full fine-tuning: the weights themselves are trained."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods.parts import Adapter, Setting, adapter
from methods.targets import layer_prefixes

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


@adapter("full")
@dataclass(frozen=True)
class Full(Adapter):
    """Full fine-tuning: all weights, or those of the chosen decoder layers.

    A bfloat16 or float16 base gets float32 master weights and runs under autocast in its own
    dtype. **exact**.
    """

    learning_rate = 5e-5
    trained_copies = 4.0

    def prepare(self, setting: Setting) -> torch.dtype:
        """Return the base's dtype, in which the trained model is saved."""
        return setting.model.dtype

    def attach(self, setting: Setting, prepared: torch.dtype) -> nn.Module:
        """Return the borrowed base with float32 copies of the weights to train."""
        import torch

        model = setting.model
        if prepared != torch.float32:
            model.float()
            autocast = torch.autocast(model.device.type, dtype=prepared)
            model.forward = autocast(model.forward)
        for parameter in chosen_parameters(setting):
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)
        return model

    def save(self, model: nn.Module, prepared: Any, setting: Setting, folder: Path) -> None:
        """Write a folder that transformers can load, in the base's dtype."""
        trained: PreTrainedModel = (
            model if model.dtype == prepared else deepcopy(model).to(prepared)
        )
        trained.save_pretrained(str(folder))


def chosen_parameters(setting: Setting) -> Iterator[nn.Parameter]:
    """Yield the parameters of the chosen layers; a tied parameter comes only once."""
    prefixes = layer_prefixes(setting.model, setting.layers)
    for name, parameter in setting.model.named_parameters():
        if name.startswith(prefixes):
            yield parameter
