"""Plain LoRAs as GGUF files, which llama.cpp loads with `--lora`.

The format is that of llama.cpp's convert_lora_to_gguf.py: `general.type` is "adapter",
`adapter.type` "lora", and a layer NAME has two tensors, NAME.weight.lora_a `[R, d_in]` and
NAME.weight.lora_b `[d_out, R]`, to which llama.cpp gives the scale `adapter.lora.alpha` / R. Names
of layers are the gguf library's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.models.registry import resolve_model
from bench.models.shape import config_folder
from bench.publishing.plain_lora import PlainLora
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp stores a kind of model.

    Attributes:
        name: Its name in GGUF files, an attribute of gguf's MODEL_ARCH too.
        turned: Whether rows of q and k have another order: llama.cpp rotates neighbours, and
            transformers a row with the one half a head further on.
    """

    name: str
    turned: bool = False


ARCHITECTURES = {
    "llama": Architecture("llama", turned=True),
    "mistral": Architecture("llama", turned=True),
    "gemma3_text": Architecture("gemma3"),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
}
"""By `model_type` of transformers; others have rules of their own that are not written here."""


def base_config(model: str) -> Any:
    """Return the configuration of the base's text model, by transformers.

    Raises:
        UsageError: It is not on this machine, or llama.cpp's form of such a model is not known.
    """
    from transformers import AutoConfig

    folder = config_folder(resolve_model(model))
    if folder is None:
        raise UsageError(
            f"the configuration of '{model}' is not on this machine: run a cell of it here first"
        )
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    if config.model_type not in ARCHITECTURES:
        raise UsageError(
            f"'{model}' is of the type {config.model_type}, whose adapters are not written as GGUF "
            f"here (only {', '.join(ARCHITECTURES)}): write the whole model with 'merge', and "
            "convert it with llama.cpp's convert_hf_to_gguf.py"
        )
    return config


def write_gguf(lora: PlainLora, config: Any, path: Path, name: str) -> None:
    """Write a plain LoRA as a GGUF file, in float32.

    Args:
        lora: The adapter.
        config: Of the base, from `base_config`.
        path: The file.
        name: What the file calls the adapter.

    Raises:
        UsageError: A layer has no name in GGUF files.
    """
    import gguf

    kind = ARCHITECTURES[config.model_type]
    tensors = _tensors(lora, config, kind)
    writer = gguf.GGUFWriter(path, kind.name)
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(name)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(lora.rank))
        for tensor, values in tensors.items():
            writer.add_tensor(tensor, values.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _tensors(lora: PlainLora, config: Any, kind: Architecture) -> dict[str, Tensor]:
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[kind.name.upper()], config.num_hidden_layers)
    found: dict[str, Tensor] = {}
    for layer, (A, B) in lora.factors.items():
        tensor = names.get_name(f"{layer}.weight", try_suffixes=(".weight",))
        if tensor is None or not tensor.startswith("blk."):
            raise UsageError(
                f"llama.cpp has no adapter on '{layer}': write the whole model with 'merge' instead"
            )
        heads = _heads(tensor, config) if kind.turned else 0
        found[f"{tensor}.lora_a"] = A
        found[f"{tensor}.lora_b"] = _turned(B, heads) if heads else B
    return found


def _heads(tensor: str, config: Any) -> int:
    """Return the number of heads of q or k; 0 for any other tensor."""
    if ".attn_q." in tensor:
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if ".attn_k." in tensor else 0


def _turned(B: Tensor, heads: int) -> Tensor:
    """Put the rows of each head, two halves one after the other, in turn: `[d_out, R]`."""
    return B.reshape(heads, 2, -1, B.shape[1]).transpose(1, 2).reshape(B.shape)


def read_gguf(path: Path) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Read A and s B back, by the names of tensors, to check what was written."""
    import gguf
    import torch

    reader = gguf.GGUFReader(path)
    alpha = float(reader.get_field(gguf.Keys.Adapter.LORA_ALPHA).contents())
    values = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    found = {}
    for key, A in values.items():
        if key.endswith(".lora_a"):
            B = values[f"{key.removesuffix('a')}b"]
            found[key.removesuffix(".lora_a")] = (A, B * (alpha / len(A)))
    return found
