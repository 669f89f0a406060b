"""Bases whose linear layers have 4 or 8 bits a weight, by bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.config.types import Quantisation
from methods.parts import Adapter
from methods.recipe import part_name
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

PACKAGE = "bitsandbytes"


def quantising(quantisation: Quantisation) -> dict[str, Any]:
    """Return the arguments with which transformers quantises a model while it loads it.

    4 bits are NF4 with quantised constants and products in bfloat16, as in QLoRA (arXiv
    2305.14314); 8 bits are LLM.int8 (arXiv 2208.07339). Embeddings and the head stay as they are.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if quantisation is Quantisation.NONE:
        return {}
    if quantisation is Quantisation.EIGHT_BITS:
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": four}


def check_quantisation(quantisation: Quantisation, device: str) -> None:
    """Refuse to quantise on a machine that cannot.

    Raises:
        UsageError: The device is no GPU of CUDA, or bitsandbytes is not installed.
    """
    if quantisation is Quantisation.NONE:
        return
    asked = f"--quantize {quantisation}"
    if not device.startswith("cuda"):
        raise UsageError(f"{asked} needs a CUDA device, not {device}: leave out {asked}")
    if find_spec(PACKAGE) is None:
        raise UsageError(
            f"{asked} needs the package {PACKAGE}, which is not installed: "
            'pip install "semantic-peft-bench[quantize]"'
        )


def quantised_layers(model: nn.Module) -> Iterator[Any]:
    """Yield the layers of a model whose weights bitsandbytes stores."""
    return (m for m in model.modules() if type(m).__module__.partition(".")[0] == PACKAGE)


def settle_layers(model: nn.Module) -> None:
    """Let layers of 8 bits move their scales to where forward passes look for them.

    They would do so when they first run, and leave a copy that was made before without scales.
    """
    for layer in quantised_layers(model):
        if getattr(layer.weight, "CB", None) is not None:
            layer.init_8bit_state()


def packed_parts(model: nn.Module) -> Iterator[Any]:
    """Yield what copies of a model share: packed weights with their biases, scales and codes.

    A plain copy would have the memory of the model again, and weights without their scales.
    """
    for layer in quantised_layers(model):
        yield from layer.parameters()
        kept = [getattr(layer.weight, "quant_state", None), getattr(layer, "quant_state", None)]
        kept += [getattr(getattr(layer, "state", None), name, None) for name in ("CB", "SCB")]
        yield from (part for part in kept if part is not None)


def refuse_packed(adapter: Adapter, asked: str) -> None:
    """Refuse an adapter that needs the weights of a quantised base.

    Args:
        adapter: The adapter.
        asked: What quantises the base, such as `--quantize 4bit`.

    Raises:
        UsageError: It trains, cuts or decomposes them, or is of a type that PEFT cannot put there.
    """
    if adapter.reads_weights:
        name = part_name(adapter)
        raise UsageError(
            f"{asked}: {name} works on plain weights only, which a quantised base does not have: "
            f"leave out {name} or {asked}"
        )
