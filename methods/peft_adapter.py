"""What adapters on PEFT share: attaching a configuration, and saving for the untouched base.

Initialisations that move a piece of the base into B A (PiSSA, MiLoRA, OLoRA, CorDA) leave
W_0 - s B_0 A_0 in the base, so the trained B A alone does not fit W_0. They are saved as plain LoRA
of rank 2r, with s [B, -B_0] [A; A_0] = s (B A - B_0 A_0).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.parts import Adapter, Setting

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig, PeftModel
    from torch import Tensor, nn

_FACTOR = re.compile(r"\.lora_(A|B)\.default\.weight$|\.lora_embedding_(A|B)\.default$")
"""The keys of A and B in a model's state; `lora_B` may also have a bias."""


class PeftAdapter(Adapter):
    """An adapter whose model is a `PeftModel`."""

    reads_weights = False

    def save(self, model: nn.Module, prepared: Any, setting: Setting, folder: Path) -> None:
        """Write PEFT's folder: `adapter_config.json` and `adapter_model.safetensors`."""
        save_adapter(cast("PeftModel", model), folder)


def attach_config(setting: Setting, config: PeftConfig) -> PeftModel:
    """Return the borrowed base wrapped by PEFT; a saved adapter will name `setting.base_name`."""
    from peft import get_peft_model

    setting.model.name_or_path = setting.base_name
    config.base_model_name_or_path = setting.base_name
    return get_peft_model(setting.model, config)


def remember_initial(model: PeftModel) -> None:
    """Store a copy of B_0 and A_0 on the model, for `save_adapter`."""
    state = model.state_dict()
    model.initial_lora = {k: state[k].detach().clone() for k in state if _FACTOR.search(k)}


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter for `PeftModel.from_pretrained` on the untouched base."""
    initial: dict[str, Tensor] | None = getattr(model, "initial_lora", None)
    state = None if initial is None else _difference(model.state_dict(), initial)
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
    if initial is not None:
        _doubled(cast("LoraConfig", model.peft_config["default"])).save_pretrained(str(folder))
    # PEFT's model card is a form to fill in, and carries the base's local path.
    (folder / "README.md").unlink(missing_ok=True)


def _difference(state: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with [A; A_0] and [B, -B_0] in place of A and B.

    Whatever else is trained (magnitudes, biases, tokens, whole modules) has no rank and stays as it
    is. An embedding starts at A_0 = 0, so nothing was cut from it, but its rank must double too.
    """
    import torch

    changed = dict(state)
    for key, start in initial.items():
        is_A = key.removesuffix(".weight").endswith("A.default")
        pair = [state[key], start if is_A else -start]
        changed[key] = torch.cat(pair, dim=0 if is_A else 1)
    return changed


def _doubled(config: LoraConfig) -> LoraConfig:
    """Return the configuration at rank 2r with the same scale, s = alpha / r or alpha / sqrt(r)."""
    from copy import deepcopy

    doubled = deepcopy(config)
    factor = 2**0.5 if config.use_rslora else 2
    doubled.r, doubled.lora_alpha = 2 * config.r, factor * config.lora_alpha
    doubled.rank_pattern = {key: 2 * rank for key, rank in config.rank_pattern.items()}
    doubled.alpha_pattern = {key: factor * a for key, a in config.alpha_pattern.items()}
    doubled.init_lora_weights, doubled.corda_config = True, None
    doubled.inference_mode = True
    return doubled
