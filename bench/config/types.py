"""Types of options (lists, ranges, devices): how each is read and checked."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)

from tasks.forgetting.names import NONE, ForgettingName, evaluation_names, forgetting_names
from tasks.notation import split_outside_brackets
from tasks.resolve import split_names

_Value = TypeVar("_Value")

_RANGE = re.compile(r"(\d+)-(\d+)")
_LONGEST_RANGE = 10_000
_SHARD = re.compile(r"(\d+)/(\d+)")


class DType(StrEnum):
    """Number format of a base's weights; `auto`, in options alone, decides by the device.

    `float16` is in older records; nothing is trained in it any more.
    """

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Quantisation(StrEnum):
    """How many bits a weight of the base's linear layers has, if they are stored in fewer."""

    NONE = "none"
    FOUR_BITS = "4bit"
    EIGHT_BITS = "8bit"


class Attention(StrEnum):
    """The code that computes attention; `auto` leaves the choice to transformers."""

    AUTO = "auto"
    EAGER = "eager"
    SDPA = "sdpa"
    FLASH = "flash_attention_2"


class Schedule(StrEnum):
    """How the learning rate changes after warm-up."""

    COSINE = "cosine"
    CONSTANT = "constant"


class Checkpoints(StrEnum):
    """What is measured after every epoch, for paths from learned to forgotten."""

    DRIFT = "drift"
    ALL = "all"
    LAST = "last"


def pieces(given: Any) -> tuple[Any, ...]:
    """Split comma-separated text, given alone or in a list."""
    listed = given if isinstance(given, list | tuple) else [given]
    found: list[Any] = []
    for item in listed:
        split = split_outside_brackets(item, ",") if isinstance(item, str) else [item]
        found += [piece for piece in split if piece != ""]
    return tuple(found)


def task_names(given: Any) -> tuple[Any, ...]:
    """Split names of tasks, typed once or repeatedly; items of a list in a file stay whole.

    A comma in the name of a file that exists does not split it.
    """
    if isinstance(given, list):  # of a grid file; a repeated option is a tuple
        return tuple(item.strip() if isinstance(item, str) else item for item in given)
    typed = given if isinstance(given, tuple) else (given,)
    found: list[Any] = []
    for item in typed:
        split = split_names(item) if isinstance(item, str) else [item]
        found += [name for name in split if name != ""]
    return tuple(found)


def spread_ranges(given: Any) -> tuple[Any, ...]:
    """Split like `pieces`, and expand `0-4` to 0, 1, 2, 3, 4."""
    spread: list[Any] = []
    for piece in pieces(given):
        written = _RANGE.fullmatch(piece) if isinstance(piece, str) else None
        first, last = map(int, written.groups()) if written else (0, 0)
        if not first <= last < first + _LONGEST_RANGE:
            raise ValueError(f"write a range as FIRST-LAST, of at most {_LONGEST_RANGE} numbers")
        spread += range(first, last + 1) if written else [piece]
    return tuple(spread)


def once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop repeated values; keep the order."""
    return tuple(dict.fromkeys(values))


def read_forgetting(given: Any) -> tuple[ForgettingName, ...]:
    """Read the tasks of `--forgetting`; `none` gives an empty tuple.

    Raises:
        ValueError: No name is given.
        UsageError: A name is unknown.
    """
    names = task_names(given)
    if not names:
        raise ValueError("give at least one value")
    return forgetting_names([str(name) for name in names])


def read_evaluation(given: Any) -> tuple[ForgettingName, ...]:
    """Read the tasks of `--evaluate`; `none`, or nothing at all, gives an empty tuple.

    Raises:
        UsageError: A name is unknown.
    """
    return evaluation_names([str(name) for name in task_names(given)])


def _form(pattern: str, right: str) -> AfterValidator:
    """Return a check that a value matches a pattern; the error says what to write instead."""

    def check(given: str) -> str:
        if not re.fullmatch(pattern, given):
            raise ValueError(f"write {right}")
        return given

    return AfterValidator(check)


def _known_shard(shard: str) -> str:
    written = _SHARD.fullmatch(shard)
    if not written or not 1 <= int(written[1]) <= int(written[2]):
        raise ValueError("write I/N with I from 1 to N, as in 2/8")
    return shard


def shard_numbers(shard: str) -> tuple[int, int]:
    """Return I and N of `I/N`."""
    part, _, parts = shard.partition("/")
    return int(part), int(parts)


Several = Annotated[
    tuple[_Value, ...], BeforeValidator(pieces), AfterValidator(once), Field(min_length=1)
]
"""Values separated by commas, as a list, or repeated; at least one."""

_Written = str | list[str]
"""How names are written, which `json_schema_input_type` tells editors."""
_AtLeastOne = Field(min_length=1)
_Name = Annotated[str, _AtLeastOne]
_Rate = Annotated[PositiveFloat, Field(allow_inf_nan=False)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]

Names = Annotated[
    tuple[_Name, ...],
    BeforeValidator(pieces, json_schema_input_type=_Written),
    AfterValidator(once),
    _AtLeastOne,
]
TaskNames = Annotated[
    tuple[_Name, ...],
    BeforeValidator(task_names, json_schema_input_type=_Written),
    AfterValidator(once),
    _AtLeastOne,
]
"""Names of tasks and paths of facts files, which may contain commas."""
Destinations = Annotated[
    tuple[_Name, ...],
    BeforeValidator(pieces, json_schema_input_type=_Written),
    AfterValidator(once),
]
"""Trackers with their targets; none at all is right, too."""
Rates = Annotated[
    tuple[_Rate, ...],
    BeforeValidator(pieces, json_schema_input_type=_Rate | str | list[_Rate | str]),
    AfterValidator(once),
    _AtLeastOne,
]
WholeNumbers = Annotated[
    tuple[_Seed, ...],
    BeforeValidator(spread_ranges, json_schema_input_type=_Seed | str | list[_Seed | str]),
    AfterValidator(once),
    _AtLeastOne,
]
"""Whole numbers and ranges of them."""
Counts = Annotated[
    tuple[PositiveInt, ...],
    BeforeValidator(spread_ranges, json_schema_input_type=PositiveInt | _Written),
    AfterValidator(once),
    _AtLeastOne,
]
"""The same, each at least 1."""
ForgettingNames = Annotated[
    tuple[ForgettingName, ...],
    BeforeValidator(read_forgetting, json_schema_input_type=_Written),
    PlainSerializer(lambda names: [str(name) for name in names] or [NONE], list[str]),
]
EvaluationNames = Annotated[
    tuple[ForgettingName, ...],
    BeforeValidator(read_evaluation, json_schema_input_type=_Written),
    PlainSerializer(lambda names: [str(name) for name in names] or [NONE], list[str]),
]
Device = Annotated[str, _form(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:N")]
Workers = Annotated[
    str,
    BeforeValidator(str, json_schema_input_type=PositiveInt | str),
    _form(r"auto|0*[1-9]\d*", "a number of at least 1, or auto"),
]
Stack = Workers
RayAddress = Annotated[
    str,
    _form(
        r"auto|(\[[^\]\s]+\]|[^:/\s]+):\d+",
        "auto, or HOST:PORT of the cluster's head as in 10.0.0.1:6379",
    ),
]
Shard = Annotated[str, AfterValidator(_known_shard)]
