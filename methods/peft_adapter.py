"""What adapters on PEFT share: attaching a configuration, and saving for the untouched base.

Initialisations that move a piece of the base into B A (PiSSA, MiLoRA, OLoRA, CorDA) leave
W_0 - s B_0 A_0 in the base, so the trained B A alone does not fit W_0. They are saved as plain LoRA
of rank 2r, with s [B, -B_0] [A; A_0] = s (B A - B_0 A_0).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.parts import Adapter, Setting

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig, PeftModel
    from torch import Tensor, nn


class PeftAdapter(Adapter):
    """An adapter whose model is a `PeftModel`."""

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
    initial = {key: value.detach().clone() for key, value in _lora_state(model).items()}
    model.initial_lora = initial


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter for `PeftModel.from_pretrained` on the untouched base."""
    initial: dict[str, Tensor] | None = getattr(model, "initial_lora", None)
    if initial is None:
        model.save_pretrained(str(folder), save_embedding_layers=False)
        # PEFT's model card is a form to fill in, and carries the base's local path.
        (folder / "README.md").unlink(missing_ok=True)
    else:
        _save_difference(model, initial, folder)


def _save_difference(model: PeftModel, initial: dict[str, Tensor], folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = _lora_state(model)
    for key, start in initial.items():
        pair = [state[key], start] if ".lora_A." in key else [state[key], -start]
        state[key] = torch.cat(pair, dim=0 if ".lora_A." in key else 1)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    save_file(tensors, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    _doubled(cast("LoraConfig", model.peft_config["default"])).save_pretrained(str(folder))


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


def _lora_state(model: PeftModel) -> dict[str, Tensor]:
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model, save_embedding_layers=False))
