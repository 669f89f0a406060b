"""What a run is asked to do: one table of options for the command line and for grid files."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bench.config.tune import Tunes
from bench.config.types import (
    Device,
    DType,
    ForgettingNames,
    Names,
    Rates,
    RayAddress,
    Shard,
    WholeNumbers,
    Workers,
)
from tasks.errors import UsageError, nearest
from tasks.forgetting.names import ForgettingKind, ForgettingName

_Options = TypeVar("_Options", bound=BaseModel)


class Rerun(StrEnum):
    """Which cells of the grid run although the results folder knows them."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class DeviceMap(StrEnum):
    """Whether a model is on one device, or its layers are divided over all GPUs."""

    NONE = "none"
    AUTO = "auto"


class Executor(StrEnum):
    """Where cells run."""

    LOCAL = "local"
    RAY = "ray"


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
    forgetting: ForgettingNames = (
        ForgettingName(ForgettingKind.KNOWLEDGE, "elements"),
        ForgettingName(ForgettingKind.DRIFT, "drift"),
    )
    """What may be forgotten: a knowledge task's forget part, lm_eval:NAME, drift, or none."""
    models: Names = ("smollm2-135m",)
    """Registry names, hub ids (with a /) or local folders."""
    seeds: WholeNumbers = (0,)
    """Seeds; 0-4 means 0,1,2,3,4."""
    lr: Rates | None = None
    """Learning rates; without it each adapter uses its own. Several are tuned: each method is
    reported with the one that is best for it on other facts."""
    tune: Tunes = ()
    """NAME=V1,V2 tunes a run option or a parameter of the methods, as in r=8,16; repeatable."""
    epochs: PositiveInt = 10
    """Times each fact is trained."""
    batch_size: PositiveInt = 8
    """Facts in an optimizer step."""
    limit: PositiveInt = 64
    """At most so many facts of each task are trained."""
    forgetting_limit: PositiveInt = 200
    """At most so many items of each forgetting task are asked; `drift` has 32 texts at most."""
    device: Device = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    device_map: DeviceMap = DeviceMap.NONE
    """auto: divide models larger than one GPU over all of them."""
    dtype: DType = DType.AUTO
    """Number format of the base: auto, float32, bfloat16 or float16."""
    data_dir: Path | None = None
    """Folder with local copies of data sets, tried before the hub."""
    out: Path = Path("results")
    """Results folder."""
    reference: str | None = None
    """The method that others are compared with in the tables."""
    rerun: Rerun = Rerun.MISSING
    """Cells to run: missing ones, also failed ones, or all."""
    executor: Executor = Executor.LOCAL
    """Where cells run: local, in processes of this machine; ray, on a Ray cluster."""
    ray_address: RayAddress | None = None
    """Ray cluster to run on: HOST:PORT, or auto for the one of this machine."""
    workers: Workers = "auto"
    """Processes that run cells at the same time; auto: one per GPU, or per core where memory
    allows."""
    shard: Shard | None = None
    """Run only part I of N of the cells, written I/N with I from 1: for job arrays."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds after which a cell is stopped and counts as failed."""
    trust_remote_code: bool = False
    """Let Python code run that comes with a model."""
    save_adapters: bool = False
    """Keep each cell's adapter in PEFT's format."""


def flag(option: str) -> str:
    """Write a field's name as it is typed: `--batch-size`."""
    return "--" + option.replace("_", "-")


def holds_several(kind: type[BaseModel], option: str) -> bool:
    """Return whether an option takes several values."""
    return "tuple" in str(kind.model_fields[option].annotation)


def build_options(flags: Mapping[str, Any], config: Path | None = None) -> RunOptions:
    """Make the options of a run from the flags that were given and from a grid file; flags win.

    Raises:
        UsageError: An unknown option, a value that cannot be, or an unreadable file.
    """
    from_file = load_config(config) if config else {}
    if from_file:
        validated(RunOptions, from_file, str(config))
    return validated(RunOptions, {**from_file, **flags})


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
    names = [each.replace("_", "-") for each in close or RunOptions.model_fields]
    return f"did you mean {' or '.join(names)}?" if close else f"it is one of {', '.join(names)}"


def validated(kind: type[_Options], values: Mapping[str, Any], origin: str = "") -> _Options:
    """Make options of a kind from values by name; `origin` is the file they come from.

    Raises:
        UsageError: The first value that cannot be, in the words of the command line.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(_first_problem(kind, error, origin)) from error


def _first_problem(kind: type[BaseModel], error: ValidationError, origin: str) -> str:
    """Tell the first of pydantic's problems in one line, in the words of the command line."""
    problem = error.errors(include_url=False)[0]
    option = str(problem["loc"][0])
    where = f"{origin}: {option.replace('_', '-')}" if origin else flag(option)
    given = problem["input"]
    if given in ((), [], "", None):
        return f"{where} is empty: give at least one value"
    expected = problem["msg"].removeprefix("Value error, ").partition(", unable")[0]
    expected = expected.replace("Input should be", "it must be")
    typed = ",".join(map(str, given if isinstance(given, list | tuple) else [given]))
    return f"{where} '{typed}': {expected}{_near_choice(kind, option, given)}"


def _near_choice(kind: type[BaseModel], option: str, given: Any) -> str:
    field = kind.model_fields.get(option)
    choices = field.annotation if field else None
    if not (isinstance(choices, type) and issubclass(choices, StrEnum)):
        return ""
    close = nearest(str(given), list(choices))
    return f"; did you mean {' or '.join(close)}?" if close else ""
