"""What was measured, kept beside the page: its entries take hours and may be of several runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.pages.performance.entries import Outcome
from bench.pages.performance.machine import Machine
from tasks.errors import UsageError


@dataclass(frozen=True)
class Measured:
    """What an entry found, and where.

    Attributes:
        command: As it was typed.
        machine: That measured.
        seconds: The entry took.
        outcome: What it found.
    """

    command: str
    machine: Machine
    seconds: float
    outcome: Outcome


_KEPT = TypeAdapter(dict[str, Measured])


def read_kept(path: Path) -> dict[str, Measured]:
    """Return what earlier runs kept, by entry; nothing where there is no file.

    Raises:
        UsageError: The file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return _KEPT.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"'{path}' does not hold measurements: {where}: {first['msg']}") from None


def write_kept(path: Path, measured: Mapping[str, Measured]) -> None:
    """Keep what was measured."""
    path.write_bytes(_KEPT.dump_json(dict(measured), indent=1) + b"\n")
