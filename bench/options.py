"""What a run is asked to do: one table of options for the command line and for grid files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from tasks.errors import UsageError, nearest
from tasks.notation import split_outside_brackets

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_RANGE = re.compile(r"(\d+)-(\d+)")
_LONGEST_RANGE = 10_000


class Rerun(StrEnum):
    """Which cells of the grid run although the results folder knows them."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class DTypeOption(StrEnum):
    """Number format of the base; `auto` decides by the device."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def _pieces(given: Any) -> tuple[Any, ...]:
    """Split comma-separated text, alone or in a list."""
    listed = given if isinstance(given, list | tuple) else [given]
    pieces: list[Any] = []
    for item in listed:
        split = split_outside_brackets(item, ",") if isinstance(item, str) else [item]
        pieces += [piece for piece in split if piece != ""]
    return tuple(pieces)


def _spread_ranges(given: Any) -> tuple[Any, ...]:
    """Split like `_pieces` and turn `0-4` into the five whole numbers it stands for."""
    spread: list[Any] = []
    for piece in _pieces(given):
        written = _RANGE.fullmatch(piece) if isinstance(piece, str) else None
        spread += _range(int(written[1]), int(written[2])) if written else [piece]
    return tuple(spread)


def _range(first: int, last: int) -> range:
    if not first <= last < first + _LONGEST_RANGE:
        raise ValueError(f"write a range as FIRST-LAST, of at most {_LONGEST_RANGE} numbers")
    return range(first, last + 1)


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop repetitions, keep the order."""
    return tuple(dict.fromkeys(values))


def _known_device(device: str) -> str:
    if not _DEVICE.fullmatch(device):
        raise ValueError("write auto, cpu, mps, cuda or cuda:N")
    return device


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_pieces),
    AfterValidator(_once),
    Field(min_length=1),
]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...],
    BeforeValidator(_spread_ranges),
    AfterValidator(_once),
    Field(min_length=1),
]
Rates = Annotated[
    tuple[Annotated[PositiveFloat, Field(allow_inf_nan=False)], ...],
    BeforeValidator(_pieces),
    AfterValidator(_once),
    Field(min_length=1),
]


class RunOptions(BaseModel):
    """The options of `run` and `plan`; each field is the option of its name.

    A field that holds several values takes them separated by commas, as a list, or repeated.
    The descriptions are the help texts of the command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    methods: Names = ("lora", "dora", "pissa", "corda")
    """Recipes, for example "lora,corda[mode=ipm],lora+freeze"."""
    tasks: Names = ("countries",)
    """Knowledge tasks by name, or paths to facts files (.jsonl, .json, .csv)."""
    forgetting: Names = ("elements", "drift")
    """What may be forgotten: a knowledge task's forget part, lm_eval:NAME, drift, or none."""
    models: Names = ("smollm2-135m",)
    """Registry names, hub ids (with a /) or local folders."""
    seeds: Seeds = (0,)
    """Seeds; 0-4 means 0,1,2,3,4."""
    lr: Rates | None = None
    """Learning rates; without it each adapter uses its own."""
    epochs: PositiveInt = 10
    """Times each fact is trained."""
    batch_size: PositiveInt = 8
    """Facts in an optimizer step."""
    limit: PositiveInt = 64
    """At most so many facts of each task are trained."""
    forgetting_limit: PositiveInt = 200
    """At most so many items of each forgetting task are asked."""
    device: Annotated[str, AfterValidator(_known_device)] = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    dtype: DTypeOption = DTypeOption.AUTO
    """Number format of the base: auto, float32, bfloat16 or float16."""
    data_dir: Path | None = None
    """Folder with local copies of data sets, tried before the hub."""
    out: Path = Path("results")
    """Results folder."""
    rerun: Rerun = Rerun.MISSING
    """Cells to run: missing ones, also failed ones, or all."""
    save_adapters: bool = False
    """Keep each cell's adapter in PEFT's format."""


def flag(option: str) -> str:
    """Write a field's name as it is typed: `--batch-size`."""
    return "--" + option.replace("_", "-")


def holds_several(option: str) -> bool:
    """Return whether an option takes several values."""
    return "tuple" in str(RunOptions.model_fields[option].annotation)


def build_options(flags: Mapping[str, Any], config: Path | None = None) -> RunOptions:
    """Make the options of a run from the flags that were given and from a grid file; flags win.

    Raises:
        UsageError: An unknown option, a value that cannot be, or an unreadable file.
    """
    from_file = load_config(config) if config else {}
    if from_file:
        _validated(from_file, str(config))
    return _validated({**from_file, **flags})


def load_config(path: Path) -> dict[str, Any]:
    """Read a grid file: YAML with the options by name, dashes or underscores.

    Raises:
        UsageError: Unreadable, no YAML (with its line), not a mapping, or an unknown option.
    """
    loaded = _read_yaml(path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: write options by name, one a line, as in 'methods: lora,corda'")
    options: dict[str, Any] = {}
    for key, value in loaded.items():
        name = str(key).replace("-", "_")
        if name not in RunOptions.model_fields:
            raise UsageError(f"{path}: unknown option '{key}': {_hint(name)}")
        if name in options:
            raise UsageError(f"{path}: option '{key}' is given twice, with a dash and without")
        options[name] = value
    return options


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read --config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read --config {path}: save it as UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise UsageError(f"{line}: no valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from error


def _hint(name: str) -> str:
    close = nearest(name, RunOptions.model_fields)
    return f"did you mean {_joined(close)}?" if close else f"it is one of {_joined(_names(), ',')}"


def _names() -> Iterable[str]:
    return list(RunOptions.model_fields)


def _joined(names: Iterable[str], separator: str = " or") -> str:
    return f"{separator} ".join(name.replace("_", "-") for name in names)


def _validated(values: Mapping[str, Any], origin: str = "") -> RunOptions:
    try:
        return RunOptions.model_validate(values)
    except ValidationError as error:
        raise UsageError(_first_problem(error, origin)) from error


def _first_problem(error: ValidationError, origin: str) -> str:
    """Tell the first of pydantic's problems in one line, in the words of the command line."""
    problem = error.errors(include_url=False)[0]
    option = str(problem["loc"][0])
    where = f"{origin}: {option.replace('_', '-')}" if origin else flag(option)
    given = problem["input"]
    if given in ((), [], "", None):
        return f"{where} is empty: give at least one value"
    expected = problem["msg"].removeprefix("Value error, ").partition(", unable")[0]
    expected = expected.replace("Input should be", "it must be")
    return f"{where} {_as_typed(given)}: {expected}{_near_choice(option, given)}"


def _as_typed(given: Any) -> str:
    listed = given if isinstance(given, list | tuple) else [given]
    return f"'{','.join(str(value) for value in listed)}'"


def _near_choice(option: str, given: Any) -> str:
    field = RunOptions.model_fields.get(option)
    kind = field.annotation if field else None
    if not (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return ""
    close = nearest(str(given), list(kind))
    return f"; did you mean {' or '.join(close)}?" if close else ""
