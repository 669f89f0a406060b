"""What adapters on PEFT share: attaching a configuration, and saving for the untouched base.

Starts that are not zero (PiSSA, MiLoRA, OLoRA, CorDA) train W + s (B A - B_0 A_0), see
`methods.difference`, so the trained B A alone does not fit W. They are saved as plain LoRA of rank
2r, with s [B, -B_0] [A; A_0] = s (B A - B_0 A_0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.parts import Adapter, Setting
from methods.targets import weight_of
from tasks.errors import UsageError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig, PeftModel
    from torch import Tensor, nn

    from methods.difference import Start

_FACTOR = re.compile(r"\.lora_(A|B)\.default\.weight$|\.lora_embedding_(A|B)\.default$")
"""The keys of A and B in a model's state; `lora_B` may also have a bias."""


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
    model = get_peft_model(setting.model, config)
    _restore_magnitudes(model)
    return model


def attach_without_cut(setting: Setting, config: LoraConfig) -> PeftModel:
    """Return the borrowed base wrapped by PEFT with B = 0, for a `config` that cuts the base.

    PEFT's start is computed afterwards, by `begin_as_peft`.
    """
    init, config.init_lora_weights = config.init_lora_weights, True
    try:
        return attach_config(setting, config)
    finally:
        config.init_lora_weights = init


def begin_as_peft(model: PeftModel, init: str) -> None:
    """Let every LoRA layer begin at PEFT's own start, and leave W in the base.

    PEFT cuts the piece out of the weight that it finds. It is shown a copy, of one layer at a time.

    Args:
        model: A model whose B are 0.
        init: `init_lora_weights`, one that cuts the base.

    Raises:
        UsageError: The rank is above the smaller side of a weight.
    """
    from methods.difference import ADAPTER, Start, begin

    for name, layer in lora_layers(model):
        parameter = layer.get_base_layer().weight
        weight = parameter.data
        parameter.data = weight.clone()
        try:
            if init.startswith("pissa"):
                layer.pissa_init(ADAPTER, init)
            elif init.lower() == "olora":
                layer.olora_init(ADAPTER)
            else:  # which PEFT refuses
                layer.reset_lora_parameters(ADAPTER, init)
        finally:
            parameter.data = weight
        A, B = layer.lora_A[ADAPTER].weight.data, layer.lora_B[ADAPTER].weight.data
        if len(A) != layer.r[ADAPTER]:
            shape = " x ".join(map(str, weight.shape))
            raise UsageError(
                f"r={layer.r[ADAPTER]} is above the smaller side of '{name}' ({shape}): leave it "
                "out of target_modules, or lower its rank with rank_pattern"
            )
        begin(layer, Start(A.float(), B.float()))


def lora_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield PEFT's layers with an A and a B on a linear layer, with their names in the base."""
    for name, module in model.named_modules():
        if "default" in getattr(module, "lora_A", ()):
            yield name.removeprefix("base_model.model."), module


def _restore_magnitudes(model: nn.Module) -> None:
    """Set DoRA's m to the norms of the rows, which PEFT rounds to a base's half precision.

    Rounding moves each output by up to 0.4 %, so that the adapter would not start as an identity.
    """
    import torch

    for _, layer in lora_layers(model):
        base = layer.get_base_layer()
        half = getattr(base, "weight", None) is not None and base.weight.dtype in (
            torch.bfloat16,
            torch.float16,
        )
        if half and base.weight.dim() == 2 and "default" in layer.lora_magnitude_vector:
            weight = weight_of(base).float()
            A, B = layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data
            if B.any():
                weight = torch.addmm(weight, B, A, alpha=layer.scaling["default"])
            layer.lora_magnitude_vector["default"].weight.data = weight.norm(dim=1)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter for `PeftModel.from_pretrained` on the untouched base."""
    starts = _starts(model)
    state = _difference(model.state_dict(), starts) if starts else None
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
    if starts:
        _doubled(cast("LoraConfig", model.peft_config["default"])).save_pretrained(str(folder))
    # PEFT's model card is a form to fill in, and carries the base's local path.
    (folder / "README.md").unlink(missing_ok=True)


def _starts(model: nn.Module) -> dict[str, Start]:
    """Return the starts of a model's layers, by the names of the layers in its state."""
    from methods.difference import start_of

    found = ((name, start_of(module)) for name, module in model.named_modules())
    return {name: start for name, start in found if start is not None}


def _difference(state: dict[str, Tensor], starts: Mapping[str, Start]) -> dict[str, Tensor]:
    """Return a state with [A; A_0] and [B, -B_0] in place of A and B.

    Whatever else is trained (magnitudes, biases, tokens, whole modules) has no rank and stays as it
    is. An embedding starts at 0, so that nothing has to be taken from it, but its rank must double
    too.
    """
    import torch

    changed = dict(state)
    for key, tensor in state.items():
        if not (factor := _FACTOR.search(key)):
            continue
        is_A = factor[0].removesuffix(".weight").endswith("A.default")
        start = starts.get(key[: factor.start()])
        if start is None:
            beside = torch.zeros_like(tensor)
        else:
            beside = (start.A if is_A else -start.B).to(tensor)
        changed[key] = torch.cat([tensor, beside], dim=0 if is_A else 1)
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
