"""The sizes of a model, from its configuration alone: no weights are downloaded or loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.models.cache_folder import cache_folder
from bench.models.registry import EMBEDDED, ModelSource
from tasks.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class ModelShape:
    """What decides how much memory a model and its training take.

    Attributes:
        weights: How many weights there are, tied ones counted once.
        layers: Number of decoder layers.
        hidden: Width of the residual stream.
        wide: Width inside an MLP.
        cached: Numbers that a token leaves in the cache of keys and values, all layers together.
        vocabulary: Number of rows of the head.
        in_layers: How many of the weights are in decoder layers.
        linear: `(d_out, d_in)` of each linear layer except the head.
        inputs: Width of each distinct input of those: q, k and v share one.
    """

    weights: int
    layers: int
    hidden: int
    wide: int
    cached: int
    vocabulary: int
    in_layers: int
    linear: tuple[tuple[int, int], ...]
    inputs: tuple[int, ...]


@lru_cache(maxsize=64)
def model_shape(source: ModelSource) -> ModelShape | None:
    """Return the sizes of a model; None if it has no configuration here, or one that needs code.

    It imports transformers, which takes seconds.
    """
    folder = config_folder(source)
    if folder is None:
        return None
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        return shape_of_config(config)
    except Exception:  # an estimate is worth no error: loading the model will tell what is wrong
        return None


def shape_of_config(config: Any) -> ModelShape:
    """Return the sizes of the model that a configuration of transformers describes."""
    import torch
    from transformers import AutoModelForCausalLM

    from methods.targets import decoder_layers, linear_layers, weight_of

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    grouped = getattr(text, "num_key_value_heads", None) or heads
    linear = [tuple(weight_of(module).shape) for _, module in linear_layers(model)]
    return ModelShape(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        wide=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        cached=2 * text.num_hidden_layers * grouped * head,
        vocabulary=model.get_output_embeddings().weight.shape[0],
        in_layers=sum(parameter.numel() for parameter in decoder_layers(model)[1].parameters()),
        linear=tuple((int(d_out), int(d_in)) for d_out, d_in in linear),
        inputs=_distinct_inputs(model),
    )


def _distinct_inputs(model: PreTrainedModel) -> tuple[int, ...]:
    """Return the width of each distinct input of the linear layers, by a pass without numbers."""
    import torch

    from methods.targets import linear_layers, weight_of

    latest: list[Any] = [None]
    widths: list[int] = []

    def note(_: Any, given: tuple[Any, ...]) -> None:
        if given[0] is not latest[0]:
            widths.append(given[0].shape[-1])
        latest[0] = given[0]

    layers = [module for _, module in linear_layers(model)]
    handles = [module.register_forward_pre_hook(note) for module in layers]
    try:
        ids = torch.zeros(1, 4, dtype=torch.long, device="meta")
        mask = torch.zeros(1, 1, 4, 4, device="meta")  # a whole one: others are looked into
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    except Exception:  # a pass that looks at numbers, as a choice among experts does
        return tuple(weight_of(module).shape[1] for module in layers)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(widths)


def config_folder(source: ModelSource) -> Path | None:
    """Return the folder with a model's `config.json` if it is on this machine."""
    if source.kind == "embedded":
        folder = dequantised_path(source.name)
        return folder if (folder / "config.json").is_file() else None
    if source.kind == "folder":
        return Path(source.name)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def context_window(config: Any) -> int | None:
    """Return how many tokens a model can attend to, or None if its configuration sets no bound."""
    window = getattr(config.get_text_config(), "max_position_embeddings", None)
    return window if isinstance(window, int) and window > 0 else None


@lru_cache(maxsize=64)
def context_of(source: ModelSource) -> int | None:
    """Return the same from the file alone, without importing transformers; None if it is not here.

    What other names an architecture may have for it is left to transformers, once it is loaded.
    """
    folder = config_folder(source)
    path = None if folder is None else folder / "config.json"
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content.get("text_config") or content
        found = [content.get(name) for name in ("max_position_embeddings", "n_positions")]
    except (OSError, ValueError, AttributeError):  # loading the model will tell what is wrong
        return None
    return next((size for size in found if isinstance(size, int) and size > 0), None)


def refuse_long_windows(window: int, context: int | None, model: str) -> None:
    """Refuse windows of texts that are longer than what a model reads.

    Args:
        window: Tokens in a window; 0 where no texts are trained.
        context: How many tokens the model can attend to; None if that is not known.
        model: Its name, for the error.

    Raises:
        UsageError: They are longer.
    """
    if context is not None and window > context:
        raise UsageError(
            f"window={window} is more than the {context} tokens that {model} reads at once: write "
            f"window={context} or less"
        )


def dequantised_path(name: str) -> Path:
    """Return where an embedded model lies once it was used."""
    return cache_folder() / "models" / f"{name}-{EMBEDDED[name].sha256[:16]}"


def weights_of(source: ModelSource) -> float | None:
    """Return a model's number of weights; None if neither its weights nor its sizes are here."""
    if source.kind == "embedded":
        return float(EMBEDDED[source.name].weights)
    folder = config_folder(source)
    if folder is None:
        return None
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if size:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return size / (4 if dtype == "float32" else 2)
    shape = model_shape(source)
    return float(shape.weights) if shape else None
