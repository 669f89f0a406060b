"""Save what two steps have trained so that it can be loaded on the untouched base.

Two LoRAs are one: s_1 B_1 A_1 + s_2 B_2 A_2 = [s_1 B_1, s_2 B_2] [A_1; A_2], of rank r_1 + r_2 and
scale 1. Everything else, DoRA in either step for example, is saved as a transformers folder with
all weights, as `full` is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.peft_config import FILE
from methods.two_steps.pair import FIRST, Pair, adapted_layers, whole_weight
from tasks.errors import UsageError

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import Tensor, nn

_PREFIX = "base_model.model."
_FACTORS = (".lora_A.weight", ".lora_B.weight")
_VARIANTS = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "alora_invocation_tokens",
    "velora_config",
    "monteclora_config",
    "kasa_config",
)
"""Fields of a LoRA's configuration that make something else of it than W + s B A."""


def save_steps(
    model: nn.Module, save: Callable[[Path], None], first: Path, pair: Pair | None, folder: Path
) -> None:
    """Save both steps as one adapter, or as all weights.

    Args:
        model: The trained model; it must not be used afterwards.
        save: Saves the second step's adapter alone, in PEFT's format, or all weights.
        first: What the first step has saved.
        pair: Both adapters, where the first is not merged.
        folder: Where to write; it may not exist yet.

    Raises:
        UsageError: The second step has something that no weights can hold.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):  # `full`, whose base has been the merged model
        save(folder)
        return
    parts = folder.with_name(f"{folder.name}.parts")
    try:
        save(parts)
        below = parts / FIRST if pair is not None else first
        if is_plain(below) and is_plain(parts):
            fold(below, parts, folder)
            return
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    _merged(cast("Any", model), pair).save_pretrained(str(folder))


def is_plain(folder: Path) -> bool:
    """Return whether a saved adapter is W + s B A on linear layers, and nothing else."""
    if not (folder / FILE).is_file():
        return False
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(folder))
    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
        return False
    strange = any(getattr(config, name, None) for name in _VARIANTS)
    return not strange and all(key.endswith(_FACTORS) for key in _state(folder))


def fold(first: Path, second: Path, folder: Path) -> None:
    """Write two plain LoRAs as one of rank r_1 + r_2.

    Args:
        first: The folder of one.
        second: The folder of the other.
        folder: Where to write.
    """
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    found = [scaled_factors(one) for one in (first, second)]
    names = sorted({name for factors in found for name in factors})
    state, ranks = dict[str, Any](), dict[str, int]()
    for name in names:
        A, B = zip(*(factors[name] for factors in found if name in factors), strict=True)
        state[f"{_PREFIX}{name}{_FACTORS[0]}"] = torch.cat(A).contiguous()
        state[f"{_PREFIX}{name}{_FACTORS[1]}"] = torch.cat(B, dim=1).contiguous()
        ranks[name] = sum(map(len, A))
    most = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != most}
    written = _config(second)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=written.base_model_name_or_path,
        r=most,
        lora_alpha=most,
        lora_dropout=0.0,
        target_modules=names,
        rank_pattern=others,
        alpha_pattern=dict(others),
        fan_in_fan_out=written.fan_in_fan_out,
        inference_mode=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    save_file(state, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})


def scaled_factors(folder: Path) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Return A `[r, d_in]` and s B `[d_out, r]` of a saved LoRA, by the names of its layers."""
    from peft.utils.other import get_pattern_key

    config, state = _config(folder), _state(folder)
    found = {}
    for key in (key for key in state if key.endswith(_FACTORS[0])):
        name = key.removesuffix(_FACTORS[0])
        A, B = state[key], state[name + _FACTORS[1]]
        name = name.removeprefix(_PREFIX)
        # As PEFT finds them: a pattern is a regular expression for the end of a name.
        pattern = get_pattern_key(config.alpha_pattern.keys(), name)
        alpha = config.alpha_pattern.get(pattern, config.lora_alpha)
        scale = alpha / (len(A) ** 0.5 if config.use_rslora else len(A))
        found[name] = (A, B * scale)
    return found


def _config(folder: Path) -> LoraConfig:
    from peft import LoraConfig

    return cast("LoraConfig", LoraConfig.from_pretrained(str(folder)))


def _state(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(str(folder / "adapter_model.safetensors"))


def _merged(model: Any, pair: Pair | None) -> Any:
    """Return a model whose weights hold its adapters.

    Raises:
        UsageError: They cannot.
    """
    if pair is None:
        try:
            # Safely: its base's weights share their storage with the resident base.
            return model.merge_and_unload(safe_merge=True)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise UsageError(
                "what the second step trains cannot be merged into weights, so that both steps "
                "have no form for the untouched base"
            ) from error
    for _, layer in adapted_layers(model):
        base = layer.get_base_layer()
        whole = whole_weight(layer)
        whole = whole.T.contiguous() if layer.fan_in_fan_out else whole
        base.weight.data = whole.to(base.weight.dtype)
    return model.unload()
