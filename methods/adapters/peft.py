"""Any configuration that PEFT can load, from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.parts import Setting, adapter
from methods.peft_adapter import PeftAdapter, attach_config, remember_initial
from methods.peft_config import (
    build_config,
    check_config,
    cuts_the_base,
    is_prompt_type,
    one_line,
    read_config,
)
from methods.peft_training import penalty, update_ranks
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


@adapter("peft")
@dataclass(frozen=True)
class Peft(PeftAdapter):
    """Any adapter that PEFT supports, read from its `adapter_config.json`.

    Where the file names no target modules, every linear layer except the head is adapted. Trained
    weights beside the file are not loaded. **exact** as far as PEFT is.

    Attributes:
        path: The file, or the folder that contains it.
    """

    path: str

    learning_rate = 1e-3

    @property
    def per_layer(self) -> bool:  # type: ignore[override]
        """False for prompt types, whose parameters lie outside the decoder layers."""
        return not is_prompt_type(read_config(self.path))

    def check(self) -> None:
        """Refuse a file that cannot be read and a configuration that cannot work here."""
        check_config(read_config(self.path), self.path)

    def files(self) -> tuple[Path, ...]:
        """Return the configuration file, whose content is part of the cell's identity."""
        return (read_config(self.path).file,)

    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Wrap the base as the file says.

        Raises:
            UsageError: PEFT refuses the configuration on this model.
        """
        import torch

        try:
            config = build_config(read_config(self.path), setting)
            model = attach_config(setting, config)
        except (UsageError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # PEFT's types refuse with every class of exception
            raise UsageError(f"peft[path={self.path}]: PEFT refuses: {one_line(error)}") from error
        if cuts_the_base(config):
            remember_initial(model)
        return cast("nn.Module", model)

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return the penalty of AdaLoRA, KaSA or MonteCLoRA."""
        return penalty(model)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Let AdaLoRA and AdaMSS reallocate ranks; they need the gradients of this step."""
        update_ranks(model, step)
