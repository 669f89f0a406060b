"""The options of a run: one definition for the command line and for grid files."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from bench.config.assumed import SECTION, Assumed, read_assumed
from bench.config.first_step import After
from bench.config.grid_file import GridFile, located, read_grid_file
from bench.config.tune import Tunes
from bench.config.types import (
    Attention,
    Checkpoints,
    Destinations,
    Device,
    DType,
    EvaluationNames,
    ForgettingNames,
    Names,
    Quantisation,
    Rates,
    RayAddress,
    Schedule,
    Shard,
    Stack,
    TaskNames,
    WholeNumbers,
    Workers,
)
from tasks.context import TrainPrompt
from tasks.errors import UsageError, nearest
from tasks.forgetting.names import ForgettingKind, ForgettingName
from tasks.resolve import is_own_text, with_questions

_Options = TypeVar("_Options", bound=BaseModel)


class Rerun(StrEnum):
    """Which cells run."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class DeviceMap(StrEnum):
    """Whether a model is on one device, or divided over all GPUs."""

    NONE = "none"
    AUTO = "auto"


class Executor(StrEnum):
    """Where cells run."""

    LOCAL = "local"
    RAY = "ray"


class RunOptions(BaseModel):
    """The options of `run` and `plan`, one field each.

    Several values are separated by commas, given as a list, or the option is repeated. The
    descriptions are the help texts of the command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    methods: Names = ("lora", "dora", "pissa", "corda")
    """Methods to compare, such as "lora,corda[mode=ipm],lora+freeze"."""
    tasks: TaskNames = ("countries",)
    """Tasks to train on: names, or paths of facts files (.jsonl, .json, .csv) and of texts (.txt,
    .md, folders)."""
    questions: Path | None = None
    """Facts file that asks about the texts of --tasks (.txt, .md or folders); without it, texts are
    trained and only what is forgotten is measured."""
    after: After = None
    """TASK[:frozen|trainable|merged[:RECIPE]]: train TASK first, by RECIPE (lora), once per model
    and seed; every method then starts from it."""
    forgetting: ForgettingNames = (
        ForgettingName(ForgettingKind.KNOWLEDGE, "elements"),
        ForgettingName(ForgettingKind.DRIFT, "drift"),
    )
    """What to measure forgetting on: a knowledge task (its forget part), lm_eval:NAME, drift, or
    none."""
    models: Names = ("smollm2-135m",)
    """Base models: registry names, hub ids (with a /) or local folders."""
    seeds: WholeNumbers = (0,)
    """Random seeds; 0-4 means 0,1,2,3,4."""
    lr: Rates | None = None
    """Learning rate; several are tuned: each method is reported with the one that works best for
    it on separate facts."""
    tune: Tunes = ()
    """NAME=V1,V2 tunes a run option or a parameter of the methods, such as r=8,16; repeatable."""
    tune_seeds: PositiveInt = 2
    """How many seeds try each value that is tuned: 1000, 1001 and so on, which --seeds must not
    name."""
    tune_limit: PositiveInt | None = None
    """Maximum number of facts per task to try values on; without it 256, or --limit if that is
    more. With fewer than 256, chance decides between neighbouring learning rates."""
    epochs: PositiveInt | None = None
    """How many times each fact is trained on; without it 10, or as often as a skill or text says.
    """
    batch_size: PositiveInt = 8
    """Facts per batch."""
    accumulation: PositiveInt = 1
    """Batches per optimizer step."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate changes after warm-up: cosine (falls to 0) or constant."""
    warmup: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Share of the optimizer steps in which the learning rate rises."""
    train_prompt: TrainPrompt = TrainPrompt.PLAIN
    """What training sees: plain, few_shot (after demonstrations), chat (the model's chat template)
    or mixed (all three in turn); every context is asked afterwards."""
    checkpoints: Checkpoints = Checkpoints.DRIFT
    """What to measure after every epoch: drift, all (every forgetting task) or last (nothing before
    the end)."""
    limit: PositiveInt | None = None
    """Maximum number of facts to train on per task; without it 64, or as many as a skill or text
    says."""
    forgetting_limit: PositiveInt = 200
    """Maximum number of items per forgetting task; `drift` uses at most 32 texts."""
    evaluate: EvaluationNames = ()
    """What to measure learning on, before and after training: gsm8k or math (asked and scored as
    CorDA's code does), lm_eval:NAME, or none."""
    evaluate_limit: PositiveInt = 200
    """Maximum number of items per task of --evaluate."""
    device: Device = "auto"
    """Device: auto, cpu, mps, cuda or cuda:N."""
    device_map: DeviceMap = DeviceMap.NONE
    """auto: divide models that are larger than one GPU over all GPUs."""
    dtype: DType = DType.AUTO
    """Number format of the base model: auto, float32 or bfloat16."""
    quantize: Quantisation = Quantisation.NONE
    """Bits of the base's linear layers: none, 4bit (NF4, products in bfloat16) or 8bit; needs CUDA,
    bitsandbytes, and methods that do not start from the weights."""
    attention: Attention = Attention.AUTO
    """How attention is computed: auto, eager, sdpa or flash_attention_2."""
    gradient_checkpointing: bool = False
    """Compute layers again in the backward pass instead of keeping what they computed: less memory,
    a third more time in training."""
    data_dir: Path | None = None
    """Folder with local copies of data sets, searched before the hub."""
    out: Path = Path("results")
    """Results folder."""
    reference: str | None = None
    """Method that the tables compare the others with."""
    rerun: Rerun = Rerun.MISSING
    """Cells to run: missing (those without a result), failed (failed ones too), or all."""
    executor: Executor = Executor.LOCAL
    """Where cells run: local (processes on this machine) or ray (a Ray cluster)."""
    ray_address: RayAddress | None = None
    """Ray cluster to run on: HOST:PORT, or auto for the one on this machine."""
    workers: Workers = "auto"
    """How many processes run cells at the same time; auto: one per GPU, several with --stack 1, or
    one per core as far as memory allows."""
    stack: Stack = "auto"
    """How many cells of one model are trained and asked at once: a number, or auto for as many as
    the memory of a GPU takes, and 1 on a CPU. The numbers stay the same."""
    shard: Shard | None = None
    """Run only part I of N of the cells, written I/N with I starting at 1; for job arrays."""
    save_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """Minutes of training after which its state is saved, so that a cell whose process was stopped
    goes on from there; 0: never. A state takes about three times the trained weights on disk. Cells
    that are trained together (--stack) begin anew."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds after which a cell is stopped and counted as failed."""
    trust_remote_code: bool = False
    """Allow Python code that comes with a model to run."""
    save_adapters: bool = False
    """Save each cell's adapter in PEFT's format."""
    log_to: Destinations = ()
    """Log each cell as a run of a tracker: tensorboard[:FOLDER], wandb[:PROJECT], mlflow[:URI],
    trackio[:PROJECT], or none; several are separated by commas."""
    explain: bool = False
    """Measure why each cell forgets: how far its change of weights moves the outputs of layers on
    knowledge that must be kept, and in which directions it lies. Takes half a minute once for a
    model of 135 million weights on one core, and little for each cell."""

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """The tasks that any cell trains, as written, that of a first step included."""
        return (*self.tasks, self.after.task) if self.after else self.tasks

    @model_validator(mode="after")
    def _explain_plain_weights(self) -> RunOptions:
        """Refuse what `--explain` cannot measure: packed weights, and a base on several devices.

        Raises:
            UsageError: Both are asked for.
        """
        if self.explain and self.quantize is not Quantisation.NONE:
            raise UsageError(
                f"--explain compares plain weights with those of the base, and --quantize "
                f"{self.quantize} packs these: leave out one of them"
            )
        if self.explain and self.device_map is DeviceMap.AUTO:
            raise UsageError(
                "--explain measures the inputs of layers on one device: leave out --device-map"
            )
        return self

    @model_validator(mode="after")
    def _ask_about_texts(self) -> RunOptions:
        """Write the file of questions into the names of texts, which then say all that they are.

        Raises:
            UsageError: No text is named.
        """
        if self.questions is None:
            return self
        if not any(map(is_own_text, self.tasks)):
            raise UsageError(
                f"--questions '{self.questions}': --tasks names no text (.txt, .md or a folder)"
            )
        named = tuple(with_questions(name, str(self.questions)) for name in self.tasks)
        object.__setattr__(self, "tasks", named)
        return self


def flag(option: str) -> str:
    """Write a field's name as it is typed on the command line: `--batch-size`."""
    return "--" + option.replace("_", "-")


def holds_several(kind: type[BaseModel], option: str) -> bool:
    """Return whether an option takes several values."""
    return "tuple" in str(kind.model_fields[option].annotation)


def build_options(flags: Mapping[str, Any], config: Path | None = None) -> RunOptions:
    """Make the options of a run from the flags and from a grid file; flags win.

    Raises:
        UsageError: An unknown option, an invalid value, or an unreadable file.
    """
    from_file = load_config(config) if config else {}
    return validated(RunOptions, {**from_file, **flags})


def load_config(path: Path) -> dict[str, Any]:
    """Read a grid file: a YAML mapping of option names, with dashes or underscores, to values.

    Raises:
        UsageError: It cannot be read, is not valid YAML or not a mapping, or has an unknown option
            or an invalid value; with its line.
    """
    grid = read_grid_file(path)
    options = grid_options(grid, grid.content)
    try:
        validated(RunOptions, options, grid)
    except UsageError as error:
        if str(error).startswith(str(path)):
            raise
        check = partial(_check_content, grid)
        raise located(error, grid, check) from error
    return options


def _check_content(grid: GridFile, content: Mapping[Any, Any]) -> None:
    validated(RunOptions, grid_options(grid, content))


def grid_options(grid: GridFile, content: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the values in a content of a grid file by the names of the fields.

    Raises:
        UsageError: An option is unknown, or given twice.
    """
    options: dict[str, Any] = {}
    for key, value in content.items():
        if key == SECTION:
            continue
        name = str(key).replace("-", "_")
        if name not in RunOptions.model_fields:
            close = nearest(name, RunOptions.model_fields)
            names = [each.replace("_", "-") for each in close or RunOptions.model_fields]
            hint = (
                f"did you mean {' or '.join(names)}?" if close else f"use one of {', '.join(names)}"
            )
            raise UsageError(f"{grid.name_at(key)}: unknown option '{key}': {hint}")
        if name in options:
            place = grid.name_at(key)
            raise UsageError(f"{place}: option '{key}' is given twice, with dash and underscore")
        options[name] = value
    return options


def load_assumed(path: Path) -> Assumed | None:
    """Return what a grid file assumes of models and data; None if it has no such section.

    Raises:
        UsageError: The file cannot be read, or its section is not of the right form.
    """
    return read_assumed(read_grid_file(path))


def validated(
    kind: type[_Options], values: Mapping[str, Any], origin: GridFile | None = None
) -> _Options:
    """Make options of a kind from values.

    Args:
        kind: The class of the options.
        values: The values by the name of the option.
        origin: The file that they come from; None for the command line.

    Raises:
        UsageError: The first invalid value, in the words of the command line.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(_first_problem(kind, error, origin)) from error


def _first_problem(kind: type[BaseModel], error: ValidationError, origin: GridFile | None) -> str:
    """Describe the first of pydantic's problems in one line, in the words of the command line."""
    problem = error.errors(include_url=False)[0]
    option = str(problem["loc"][0])
    given = problem["input"]
    where = _place(origin, option, given) if origin else flag(option)
    if given in ((), [], "", None):
        return f"{where} is empty: give at least one value"
    expected = problem["msg"].removeprefix("Value error, ").partition(", unable")[0]
    expected = expected.replace("Input should be", "it must be")
    if problem["type"] == "too_short":  # of a list: nothing was given, or only commas
        expected = "give at least one value"
    typed = ",".join(map(str, given if isinstance(given, list | tuple) else [given]))
    field = kind.model_fields.get(option)
    choices = field.annotation if field else None
    if isinstance(choices, type) and issubclass(choices, StrEnum):
        close = nearest(str(given), list(choices))
        expected += f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{where} '{typed}': {expected}"


def _place(origin: GridFile, option: str, given: Any) -> str:
    """Return where a value stands in a file, with the name of its option."""
    name = next(key for key in origin.content if str(key).replace("-", "_") == option)
    value = origin.content[name]
    # pydantic counts the pieces of a list after its texts are split: look for what is wrong.
    wrong = [i for i, item in enumerate(value) if item == given] if isinstance(value, list) else []
    return f"{origin.value_at(name, *wrong[:1])}: {option.replace('_', '-')}"
