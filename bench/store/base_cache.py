"""Measurements of pristine bases, stored in the results folder: processes and runs share them.

base/<digest>.json    a value, what it belongs to, and what it cost

The digest covers everything that could change a bit of the value: model, facts and prompt, the
code that measures, the versions of its libraries, the kind of device. A file that cannot be read
counts as absent and is written again; deleting the folder costs only time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from bench import ROOT
from bench.models.device import Compute
from bench.models.provenance import provenance
from bench.store import atomic
from methods.identity import syntax_digest

FOLDER = "base"
_SETTING = ("python", "platform", "packages", "device_name", "dtype")
_IF_UNUSUAL = ("quantisation", "attention")
_MEASURING = (
    *("bench/models", "bench/inference", "bench/evaluation", "bench/forgetting", "tasks"),
    "methods/sampled_texts.py",
)
"""Folders and files with the code that decides what is measured on a base, and how."""

_NOT_MEASURING = ("tasks/knowledge", "bench/evaluation/fact_rows.py", "bench/evaluation/metrics")
"""Exceptions in these folders: facts are covered by the keys of values, and rows and metrics are
computed from stored answers."""


class Kept(NamedTuple):
    """A stored value, and the seconds that it took to compute."""

    value: Any
    seconds: float


class KeptValues:
    """The stored values of a results folder.

    Args:
        folder: The results folder.
        setting: Returns what values depend on besides their keys; called on first use.
    """

    def __init__(self, folder: Path, setting: Callable[[], Mapping[str, object]]) -> None:
        self._folder = folder / FOLDER
        self._setting = cache(setting)

    def read(self, key: Sequence[str], kind: Any) -> Kept | None:
        """Return a value; None if it is absent or unreadable.

        Args:
            key: What the value is and what it belongs to.
            kind: Its type, as pydantic reads it.
        """
        try:
            stored = json.loads(self._path(key).read_bytes())
            value = TypeAdapter(kind).validate_json(json.dumps(stored["value"]))
            return Kept(value, float(stored["seconds"]))
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return None

    def write(self, key: Sequence[str], kind: Any, kept: Kept) -> None:
        """Store a value.

        Args:
            key: What the value is and what it belongs to.
            kind: Its type, as pydantic writes it.
            kept: The value with its cost.

        Raises:
            OSError: It cannot be written.
        """
        value = TypeAdapter(kind).dump_python(kept.value, mode="json")
        content = {"of": list(key), "setting": self._setting(), "seconds": kept.seconds}
        atomic.write(self._path(key), json.dumps({**content, "value": value}))

    def lock(self, key: Sequence[str]) -> FileLock:
        """Return a lock that one process holds while it computes a value."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        return FileLock(path.with_name(f".{path.stem}.lock"))

    @contextmanager
    def lock_if_free(self, key: Sequence[str]) -> Iterator[bool]:
        """Hold the lock unless another process does; yield whether it is held."""
        lock = self.lock(key)
        with suppress(Timeout):
            lock.acquire(timeout=0)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def _path(self, key: Sequence[str]) -> Path:
        content = json.dumps([list(key), self._setting()], sort_keys=True)
        return self._folder / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"


def measured_with(compute: Compute) -> dict[str, object]:
    """Return what values that are measured in this process depend on besides their keys."""
    found = provenance(compute)
    device = compute.device.partition(":")[0]
    setting = {"program": _program_digest(), "device": device}
    # With other threads a CPU sums in another order. A GPU does not, and all of one kind are alike.
    names = (*_SETTING, "threads") if device == "cpu" else _SETTING
    unusual = {name: found[name] for name in _IF_UNUSUAL if name in found}
    return {**setting, **{name: found[name] for name in names}, **unusual}


@lru_cache(maxsize=1)
def _program_digest() -> str:
    digest = hashlib.sha256()
    for place in map(ROOT.joinpath, _MEASURING):
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(_NOT_MEASURING):
                with suppress(FileNotFoundError, SyntaxError):  # an editor may be saving it
                    digest.update(f"{name} {syntax_digest(path.read_bytes())}\n".encode())
    return digest.hexdigest()[:16]
