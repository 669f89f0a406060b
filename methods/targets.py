"""Which modules of a model an adapter changes, by full name, and their weights as matrices.

The targets are all linear layers of the text model except the head, restricted to the chosen
decoder layers if a placement chooses some. A model that also reads images or sounds has towers and
projectors for them, which no fact passes through: they are neither trained nor counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class Modules(StrEnum):
    """Which linear layers inside the decoder layers an adapter changes; a closed set.

    `up` leads into the feed-forward layer (gates included: some architectures fuse them with it),
    `down` out of it.
    """

    ALL = "all"
    ATTN = "attn"
    MLP = "mlp"
    UP = "up"
    DOWN = "down"


_ATTENTION = ("attn", "attention")
_FEED_FORWARD = ("mlp", "ffn", "feed_forward", "moe", "expert")
_OUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "out_proj", "w2", "wo")
"""How architectures name the modules, and the last layer of a feed-forward one; the names that
were tried are in `tests/architectures.py`."""

READ = "the mixers read other weights directly"
MISTAKEN = "PEFT takes them for experts"
"""Why linear layers are out of reach."""

STATE_SPACE_WEIGHTS = ("x_proj", "dt_proj", "out_proj")
"""Layers of Mamba's mixers whose weights are read directly, by its kernels or by PyTorch code.

An adapter around such a layer is never called, or only where the kernels are not installed; PEFT
refuses `out_proj` for the same reason. Tried with transformers 5.23.0.
"""


def text_prefixes(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the prefixes of names inside the text model: `('',)` unless there are other towers."""
    if not has_other_towers(model):
        return ("",)
    inside = [id(model.get_decoder()), id(model.get_output_embeddings())]
    names = [name for name, module in model.named_modules() if id(module) in inside]
    return tuple(f"{name}." for name in names) if "" not in names else ("",)


def has_other_towers(model: PreTrainedModel) -> bool:
    """Return whether a model has parts for images or sounds beside its text model."""
    return model.config.get_text_config() is not model.config


def text_parameters(model: PreTrainedModel) -> int:
    """Return the number of weights of the text model; a tied weight counts once."""
    prefixes = text_prefixes(model)
    named = model.named_parameters()
    return sum(size_of(weight) for name, weight in named if name.startswith(prefixes))


def size_of(parameter: nn.Parameter) -> int:
    """Return the number of weights in a parameter; one of 4 bits packs two into a byte."""
    packed = getattr(parameter, "quant_state", None)
    return int(packed.shape.numel()) if packed else parameter.numel()


def decoder_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Return the name of the list of decoder layers and the list itself.

    Raises:
        UsageError: The text model has no list with as many layers as its configuration says.
    """
    from torch import nn

    count, prefixes = model.config.get_text_config().num_hidden_layers, text_prefixes(model)
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and name.startswith(prefixes):
            return name, module
    raise UsageError(f"cannot find the {count} decoder layers of {type(model).__name__}")


def layer_prefixes(model: PreTrainedModel, layers: Sequence[int] | None) -> tuple[str, ...]:
    """Return the prefixes of names inside the chosen layers, or inside the text model for None."""
    if layers is None:
        return text_prefixes(model)
    name, modules = decoder_layers(model)
    for layer in layers:
        if not 0 <= layer < len(modules):
            raise UsageError(f"no decoder layer {layer}: the model has 0 to {len(modules) - 1}")
    return tuple(f"{name}.{layer}." for layer in layers)


def linear_layers(
    model: PreTrainedModel, layers: Sequence[int] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of each linear layer (`Linear`, `Conv1D`) except the head.

    Layers that an adapter cannot reach are left out, see `unreachable`.

    Args:
        model: The base.
        layers: Indices of the decoder layers to search, from 0; None searches the text model.
    """
    prefixes, left_out = layer_prefixes(model, layers), unreachable(model)
    for name, module in _all_linear(model):
        if name.startswith(prefixes) and name not in left_out:
            yield name, module


def targets_of(
    model: PreTrainedModel, layers: Sequence[int] | None, modules: Modules
) -> dict[str, nn.Module]:
    """Return the linear layers that an adapter changes, by full name.

    Args:
        model: The base.
        layers: Indices of the decoder layers, from 0; None for all, and with `Modules.ALL` for the
            linear layers outside of them too.
        modules: Which modules of the decoder layers.

    Raises:
        UsageError: The decoder layers have no such modules that an adapter can reach.
    """
    found = dict(linear_layers(model, layers))
    if modules is Modules.ALL:
        return found
    prefix = f"{decoder_layers(model)[0]}."
    kinds = {
        name: _kinds(model, name.removeprefix(prefix), module)
        for name, module in found.items()
        if name.startswith(prefix)
    }
    chosen = {name: found[name] for name, kind in kinds.items() if modules in kind}
    if not chosen:
        there = {kind for kind in Modules if any(kind in of for of in kinds.values())}
        known = ", ".join(["all", *(kind for kind in Modules if kind in there)])
        raise UsageError(
            f"modules={modules}: {type(model).__name__} has no such linear layers that an adapter "
            f"reaches; it has {known}"
        )
    return chosen


def feed_forward(layer: nn.Module) -> nn.Module | None:
    """Return the module of a decoder layer that holds its feed-forward part; None without one."""
    for name, module in layer.named_children():
        named = any(word in name for word in _FEED_FORWARD) and "norm" not in name
        if named and any(weight.dim() > 1 for weight in module.parameters()):
            return module
    return None


def _kinds(model: PreTrainedModel, path: str, linear: nn.Module) -> tuple[Modules, ...]:
    """Return what a linear layer belongs to, by its path below the list of decoder layers."""
    for part in path.split("."):
        if any(word in part for word in _ATTENTION):
            return (Modules.ATTN,)
        if any(word in part for word in _FEED_FORWARD) or part.startswith("fc"):
            d_out, d_in = sides_of(linear)
            if d_out == 1:
                return ()  # a gate that weighs the shared expert is no layer of it
            width = model.config.get_text_config().hidden_size
            out = path.endswith(_OUT) if d_out == d_in else d_out == width
            return (Modules.MLP, Modules.DOWN if out else Modules.UP)
    return ()


def sides_of(linear: nn.Module) -> tuple[int, int]:
    """Return d_out and d_in of a linear layer, also where its weight is packed."""
    if is_transposed(linear):
        return tuple(weight_of(linear).shape)  # type: ignore[return-value]
    return cast("int", linear.out_features), cast("int", linear.in_features)


def unreachable(model: PreTrainedModel) -> dict[str, str]:
    """Return the linear layers that an adapter cannot change, each with the reason."""
    why = dict.fromkeys(_taken_for_experts(model), MISTAKEN)
    # A and D are a state space's; linear attention, as of Qwen3-Next, has A but calls its layers.
    own = {name: dict(m.named_parameters(recurse=False)) for name, m in model.named_modules()}
    mixers = [name for name, parameters in own.items() if {"A_log", "D"} <= parameters.keys()]
    names = (f"{mixer}.{name}" for mixer in mixers for name in STATE_SPACE_WEIGHTS)
    return {**why, **dict.fromkeys(names, READ)}


def _all_linear(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    prefixes, head = text_prefixes(model), model.get_output_embeddings()
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear | Conv1D) and module is not head
        if linear and name.startswith(prefixes):
            yield name, module


def _taken_for_experts(model: PreTrainedModel) -> set[str]:
    """Return the layers that PEFT would replace by the experts of the same name.

    In transformers 5 the experts of a layer are one parameter. So that older adapters still load,
    PEFT 0.21.2 takes names such as `shared_expert.gate_proj` for parts of that parameter, here and
    wherever the saved adapter is loaded.
    """
    if not any(parameter.dim() > 2 for parameter in model.parameters()):
        return set()
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    names = {name for name, _ in _all_linear(model)}
    config = LoraConfig(target_modules=list(names))
    convert_peft_config_for_transformers(config, model, None)
    return names - set(config.target_modules or ())


def linear_names(model: PreTrainedModel, layers: Sequence[int] | None = None) -> list[str]:
    """Return the full names of `linear_layers`."""
    return [name for name, _ in linear_layers(model, layers)]


def weight_of(linear: nn.Module) -> Tensor:
    """Return a linear layer's weight as `[d_out, d_in]`; `Conv1D` stores the transpose.

    Raises:
        UsageError: The layer is quantised.
    """
    if not linear.weight.is_floating_point():  # type: ignore[operator]
        raise UsageError("the weights of a quantised base are packed: leave out --quantize")
    weight: Tensor = linear.weight.detach()  # type: ignore[operator]
    return weight.T if is_transposed(linear) else weight


def is_transposed(linear: nn.Module) -> bool:
    """Return whether a layer stores its weight as `[d_in, d_out]`: GPT-2's `Conv1D` does."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(linear, Conv1D)
