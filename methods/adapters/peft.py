"""Any configuration that PEFT can load, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.notes import Notes
from methods.parts import Setting, adapter
from methods.peft_adapter import (
    PeftAdapter,
    attach_config,
    attach_without_cut,
    begin_as_peft,
    lora_layers,
)
from methods.peft_config import (
    build_config,
    check_config,
    cuts_the_base,
    is_prompt_type,
    one_line,
    read_config,
    takes_packed,
    told_unknown,
)
from methods.peft_training import keeps_more_than_weights, penalty, update_ranks
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
    starts_as_base = None

    @property
    def per_layer(self) -> bool:  # type: ignore[override]
        """False for prompt types, whose parameters lie outside the decoder layers."""
        return not is_prompt_type(read_config(self.path))

    @property
    def reads_weights(self) -> bool:  # type: ignore[override]
        """True for types and starts that need linear layers with plain weights."""
        return not takes_packed(read_config(self.path))

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
            if cuts_the_base(config):
                model = attach_without_cut(setting, config)
                self._check_cut(model, config.init_lora_weights)
                begin_as_peft(model, config.init_lora_weights)
            else:
                model = attach_config(setting, config)
        except (UsageError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # PEFT's types refuse with every class of exception
            raise UsageError(f"peft[path={self.path}]: PEFT refuses: {one_line(error)}") from error
        return cast("nn.Module", model)

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return the penalty of AdaLoRA, KaSA or MonteCLoRA."""
        return penalty(model)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Let AdaLoRA and AdaMSS reallocate ranks; they need the gradients of this step."""
        update_ranks(model, step)

    def keeps_state(self, model: nn.Module) -> bool:
        """Return whether its type keeps more between steps than its trained weights."""
        return keeps_more_than_weights(model)

    def notes(self, model: nn.Module, prepared: Any) -> Sequence[Notes]:
        """Return a warning for each key of the file that the installed PEFT does not know."""
        return (Notes(warnings=tuple(told_unknown(read_config(self.path)))),)

    def _check_cut(self, model: Any, init: str) -> None:
        """Refuse a start that PEFT computes wrongly, or that no LoRA of the untouched base equals.

        Not every variant is W + s B A; DoRA may be combined with any start, since its norm is
        taken of the whole.
        """
        for name, layer in lora_layers(model):
            variants = [type(variant).__name__ for variant in layer.lora_variant.values()]
            strange = [variant for variant in variants if not variant.startswith("Dora")]
            if strange:
                why = f"cannot be saved for the untouched base with {strange[0]}: use either one"
            elif init.lower() == "olora" and layer.fan_in_fan_out:
                why = f"is not right on transposed weights such as {name}: use the adapter olora"
            else:
                continue
            raise UsageError(f"peft[path={self.path}]: init_lora_weights={init} {why}")
