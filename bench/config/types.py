"""Types of options: values with commas, ranges, devices; how each is read and checked."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)

from tasks.forgetting.names import NONE, ForgettingName, parse_forgetting
from tasks.notation import split_outside_brackets

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_RANGE = re.compile(r"(\d+)-(\d+)")
_LONGEST_RANGE = 10_000
_SHARD = re.compile(r"(\d+)/(\d+)")
_RAY_ADDRESS = re.compile(r"auto|(\[[^\]\s]+\]|[^:/\s]+):\d+")


class DType(StrEnum):
    """Number format of a base's weights; `auto`, in options alone, decides by the device."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def pieces(given: Any) -> tuple[Any, ...]:
    """Split comma-separated text, alone or in a list."""
    listed = given if isinstance(given, list | tuple) else [given]
    found: list[Any] = []
    for item in listed:
        split = split_outside_brackets(item, ",") if isinstance(item, str) else [item]
        found += [piece for piece in split if piece != ""]
    return tuple(found)


def spread_ranges(given: Any) -> tuple[Any, ...]:
    """Split like `pieces` and turn `0-4` into the five whole numbers it stands for."""
    spread: list[Any] = []
    for piece in pieces(given):
        written = _RANGE.fullmatch(piece) if isinstance(piece, str) else None
        spread += _range(int(written[1]), int(written[2])) if written else [piece]
    return tuple(spread)


def _range(first: int, last: int) -> range:
    if not first <= last < first + _LONGEST_RANGE:
        raise ValueError(f"write a range as FIRST-LAST, of at most {_LONGEST_RANGE} numbers")
    return range(first, last + 1)


def once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop repetitions, keep the order."""
    return tuple(dict.fromkeys(values))


def read_forgetting(given: Any) -> tuple[ForgettingName, ...]:
    """Read the forgetting tasks of `--forgetting`; `none` is empty.

    Raises:
        ValueError: No name at all.
        UsageError: A name that is unknown.
    """
    names = pieces(given)
    if not names:
        raise ValueError("give at least one value")
    return parse_forgetting(",".join(map(str, names)))


def _known_device(device: str) -> str:
    if not _DEVICE.fullmatch(device):
        raise ValueError("write auto, cpu, mps, cuda or cuda:N")
    return device


def _known_workers(workers: str) -> str:
    if workers != "auto" and not (workers.isdecimal() and int(workers) > 0):
        raise ValueError("write a number from 1 on, or auto")
    return workers


def _known_address(address: str) -> str:
    if not _RAY_ADDRESS.fullmatch(address):
        raise ValueError("write auto, or HOST:PORT of the cluster's head as in 10.0.0.1:6379")
    return address


def _known_shard(shard: str) -> str:
    written = _SHARD.fullmatch(shard)
    if not written or not 1 <= int(written[1]) <= int(written[2]):
        raise ValueError("write I/N with I from 1 to N, as in 2/8")
    return shard


def shard_numbers(shard: str) -> tuple[int, int]:
    """Return I and N of `I/N`."""
    part, _, parts = shard.partition("/")
    return int(part), int(parts)


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(pieces),
    AfterValidator(once),
    Field(min_length=1),
]
ForgettingNames = Annotated[
    tuple[ForgettingName, ...],
    BeforeValidator(read_forgetting),
    PlainSerializer(lambda names: [str(name) for name in names] or [NONE], list[str]),
]
WholeNumbers = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...],
    BeforeValidator(spread_ranges),
    AfterValidator(once),
    Field(min_length=1),
]
Counts = Annotated[
    tuple[PositiveInt, ...],
    BeforeValidator(spread_ranges),
    AfterValidator(once),
    Field(min_length=1),
]
Device = Annotated[str, AfterValidator(_known_device)]
Workers = Annotated[str, BeforeValidator(str), AfterValidator(_known_workers)]
RayAddress = Annotated[str, AfterValidator(_known_address)]
Shard = Annotated[str, AfterValidator(_known_shard)]
Rates = Annotated[
    tuple[Annotated[PositiveFloat, Field(allow_inf_nan=False)], ...],
    BeforeValidator(pieces),
    AfterValidator(once),
    Field(min_length=1),
]
