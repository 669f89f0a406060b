"""PEFT configuration files: read and checked before a model loads, then fitted to a cell."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods.parts import Setting
from methods.targets import has_other_towers, layer_prefixes, linear_names
from tasks.errors import UsageError, nearest, unknown_name

if TYPE_CHECKING:
    from peft import PeftConfig

FILE = "adapter_config.json"

PROMPT_TYPES = frozenset(
    {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"}
)
"""Types whose parameters lie before the first layer, or in the cache of all layers at once."""

OUTSIDE_LAYERS = PROMPT_TYPES | {"TRAINABLE_TOKENS", "ADAPTION_PROMPT"}
"""Types that a placement cannot restrict; adaption prompts choose their layers themselves."""

REFUSED_TYPES = {
    "MULTITASK_PROMPT_TUNING": "its forward needs a task number for each example",
    "POLY": "its forward needs a task number for each example",
    "SHADOW": "part of its loss needs labels inside the forward",
    "XLORA": "it mixes adapters that are already trained",
}
"""Types that cannot run here, with the reason."""

NEEDED_KEYS = {
    "PROMPT_TUNING": "num_virtual_tokens",
    "P_TUNING": "num_virtual_tokens",
    "PREFIX_TUNING": "num_virtual_tokens",
    "CARTRIDGE": "num_virtual_tokens",
    "CPT": "cpt_token_ids",
    "TRAINABLE_TOKENS": "token_indices",
    "ADAPTION_PROMPT": "adapter_len",
}
"""Keys without a usable default; PEFT itself fails on them only deep inside a model."""

OWN_TARGETS = {
    "IA3": "TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING",
    "LN_TUNING": "TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING",
}
"""Types with targets of their own, and the PEFT table that lists these by model type."""

OF_THE_BASE = ("token_dim", "num_layers", "num_attention_heads")
"""What prompt types note of the model that they were made for; PEFT finds it in any model."""

REFUSED_INITS = {
    "eva": "use the adapter eva, which measures the activations that it needs",
    "corda": "use the adapter corda, which computes the covariances that it needs",
    "lora_ga": "use the adapter lora_ga, which measures the gradients that it needs",
    "loftq": "it quantises the base, so the adapter would not fit the untouched base",
}
"""LoRA initialisations that need more than weights, with what to do instead."""


RANDOM_INITS = frozenset({"gaussian", "orthogonal"})
"""LoRA initialisations by name that do not look at the weights."""

OFF_LINEAR_LAYERS = OUTSIDE_LAYERS | {"LN_TUNING"}
"""Types that leave linear layers alone. Of the others only LoRA runs on those of bitsandbytes; with
PEFT 0.21.2 and bitsandbytes 0.50.2, AdaLoRA, IA3, RandLora and PVeRA mix number formats there."""


@dataclass(frozen=True)
class WrittenConfig:
    """A configuration file as it was written.

    Attributes:
        file: The JSON file.
        values: Its content, under PEFT's names.
    """

    file: Path
    values: dict[str, Any]

    @property
    def peft_type(self) -> str:
        """PEFT's name of the method."""
        return str(self.values["peft_type"]).upper()


def read_config(path: str) -> WrittenConfig:
    """Read a file, or the `adapter_config.json` in a folder, without importing PEFT.

    Raises:
        UsageError: There is no such file, or it is not a JSON object with a known `peft_type`.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"peft[path={path}]: {reason}: give an {FILE} or its folder") from error
    except ValueError as error:  # not UTF-8 or not JSON
        raise UsageError(f"peft[path={path}]: not JSON: {one_line(error)}") from error
    if not isinstance(values, dict) or "peft_type" not in values:
        raise UsageError(f"peft[path={path}]: no 'peft_type' in it: give an {FILE} of PEFT")
    written = WrittenConfig(file, values)
    if written.peft_type not in peft_types():
        raise unknown_name("PEFT type", str(values["peft_type"]), peft_types())
    return written


@cache
def peft_types() -> tuple[str, ...]:
    """Return the type names that the installed PEFT knows.

    They are read from the file of PEFT that defines them, because importing PEFT takes seconds.
    """
    package = importlib.util.find_spec("peft")
    assert package, "peft is a dependency"
    file = Path(str(package.origin)).parent / "utils" / "peft_types.py"
    loader = importlib.machinery.SourceFileLoader("_peft_types", str(file))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return tuple(member.value for member in module.PeftType)


def is_prompt_type(written: WrittenConfig) -> bool:
    """Return whether the type has no modules in decoder layers for a placement to choose."""
    return written.peft_type in OUTSIDE_LAYERS


def check_config(written: WrittenConfig, path: str) -> None:
    """Refuse a configuration that cannot work here on any model.

    Raises:
        UsageError: The type or initialisation is not supported, or a required key is missing.
    """
    kind, init = written.peft_type, str(written.values.get("init_lora_weights", ""))
    if reason := REFUSED_TYPES.get(kind):
        raise UsageError(f"peft[path={path}]: {kind} is not supported: {reason}")
    if reason := REFUSED_INITS.get(init.lower()):
        raise UsageError(f"peft[path={path}]: init_lora_weights={init} is not supported: {reason}")
    if (needed := NEEDED_KEYS.get(kind)) and not written.values.get(needed):
        raise UsageError(f"peft[path={path}]: {kind} needs '{needed}': add it to the file")
    if written.values.get("opt_weighted_loss_type", "none") != "none":
        raise UsageError(f"peft[path={path}]: opt_weighted_loss_type must be none here")
    if kind == "ADALORA" and written.values.get("target_r", 8) >= written.values.get("init_r", 12):
        raise UsageError(f"peft[path={path}]: AdaLoRA needs target_r below init_r")


def takes_packed(written: WrittenConfig) -> bool:
    """Return whether a configuration works on a base whose linear layers are quantised."""
    if written.peft_type != "LORA":
        return written.peft_type in OFF_LINEAR_LAYERS
    init = written.values.get("init_lora_weights", True)
    return isinstance(init, bool) or init in RANDOM_INITS


def unknown_keys(written: WrittenConfig) -> tuple[str, ...]:
    """Return the keys of a file that the installed PEFT does not know, which PEFT ignores, too."""
    known = config_keys(written.peft_type)
    return tuple(key for key in written.values if key not in known)


def told_unknown(written: WrittenConfig) -> Iterator[str]:
    """Yield one line for each of the `unknown_keys`, with the nearest key that is known."""
    known = config_keys(written.peft_type)
    for key in unknown_keys(written):
        close = nearest(key, known)
        hint = f": did you mean {' or '.join(close)}?" if close else ""
        yield f"the installed PEFT's {written.peft_type} has no '{key}' and ignores it{hint}"


def config_keys(kind: str) -> tuple[str, ...]:
    """Return the keys that the configuration of a PEFT type accepts."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return tuple(inspect.signature(PEFT_TYPE_TO_CONFIG_MAPPING[kind]).parameters)


def build_config(written: WrittenConfig, setting: Setting) -> PeftConfig:
    """Return PEFT's configuration for this cell's model, layers and steps.

    Raises:
        UsageError: Layers are chosen, but the type has no modules in layers or none of its targets
            lies in them.
        Exception: Whatever PEFT raises for values that it refuses.
    """
    from peft import get_peft_config

    cell = {"task_type": "CAUSAL_LM", "inference_mode": False, "auto_mapping": None}
    known = {key: written.values[key] for key in written.values if key not in unknown_keys(written)}
    values = {**known, **cell, "peft_type": written.peft_type, "revision": None}
    if "total_step" in config_keys(written.peft_type):
        values["total_step"] = setting.steps
        _refuse_few_steps(values, setting.steps)
    values |= {key: None for key in OF_THE_BASE if key in known}
    config = get_peft_config(values)
    _choose_targets(config, setting)
    return config


def _refuse_few_steps(values: Mapping[str, Any], steps: int) -> None:
    """Refuse AdaLoRA's phases if training has no step between them: PEFT asks for more steps."""
    first, last = int(values.get("tinit") or 0), int(values.get("tfinal") or 0)
    if first + last >= steps:
        raise UsageError(
            f"tinit={first} and tfinal={last} leave nothing of the {steps} steps that training "
            "takes: lower them in the file, or give more --epochs"
        )


def cuts_the_base(config: PeftConfig) -> bool:
    """Return whether PEFT moves a piece of the base into B A, which saving must convert."""
    init = getattr(config, "init_lora_weights", None)
    return isinstance(init, str) and init.lower().startswith(("pissa", "olora"))


def one_line(error: Exception) -> str:
    """Return the first line of an error's text, or its class name if there is no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _choose_targets(config: Any, setting: Setting) -> None:
    kind = str(config.peft_type.value)
    if setting.layers is not None and (kind in OUTSIDE_LAYERS or config.is_prompt_learning):
        raise UsageError(f"{kind} has no modules in decoder layers: use it without a placement")
    if not hasattr(config, "target_modules") or kind in OUTSIDE_LAYERS:
        return
    # The cell's layers replace those of the file.
    if setting.layers is not None and hasattr(config, "layers_to_transform"):
        config.layers_to_transform = config.layers_pattern = None
    if config.target_modules is None and kind not in OWN_TARGETS:
        config.target_modules = linear_names(setting.model, setting.layers)
    elif setting.layers is not None or has_other_towers(setting.model):
        config.target_modules = _in_layers(config, kind, setting)
        _keep_feedforward(config, setting)


def _in_layers(config: Any, kind: str, setting: Setting) -> list[str]:
    """Return the modules inside the chosen layers that the file's targets match."""
    from peft import utils
    from peft.tuners.tuners_utils import check_target_module_exists

    if config.target_modules == "all-linear":
        return linear_names(setting.model, setting.layers)
    if config.target_modules is None:
        table = getattr(utils, OWN_TARGETS[kind])
        config.target_modules = table.get(setting.model.config.model_type, ())
    prefixes = layer_prefixes(setting.model, setting.layers)
    names = [name for name, _ in setting.model.named_modules() if name.startswith(prefixes)]
    found = [name for name in names if check_target_module_exists(config, name)]
    if not found:
        raise UsageError(f"none of target_modules={config.target_modules} is in the chosen layers")
    return found


def _keep_feedforward(config: Any, setting: Setting) -> None:
    """Give IA3's feed-forward modules full names as well: they must be a subset of the targets."""
    from peft.utils import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as TABLE

    if hasattr(config, "feedforward_modules") and not isinstance(config.feedforward_modules, str):
        endings = config.feedforward_modules or TABLE.get(setting.model.config.model_type, ())
        config.feedforward_modules = {
            n for n in config.target_modules if n.endswith(tuple(endings))
        }
