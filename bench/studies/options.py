"""What each study is asked to do: options for the command line, without importing torch."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
)

from bench.config.options import Rerun, RunOptions, flag, validated
from bench.config.types import Counts, Device, DType, Names, Several, WholeNumbers, pieces
from bench.store.store import STUDIES_FOLDER
from methods.recipe import parse_recipe
from tasks.errors import UsageError


def _alone(given: str) -> str:
    if len(pieces(given)) != 1:
        raise ValueError("a study takes exactly one")
    return given


One = Annotated[str, AfterValidator(_alone)]
Modes = Several[Literal["kpm", "ipm"]]

REFERENCE = "lora"
"""What CorDA is compared with: it calibrates on nothing."""


class StudyOptions(BaseModel):
    """What the studies have in common; each field is the option of its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassVar[str]

    model: One = "smollm2-135m"
    """A registry name, hub id (with a /) or local folder."""
    task: One = "countries"
    """A knowledge task by name, or the path to a facts file."""
    seeds: WholeNumbers = (0,)
    """Seeds; 0-4 means 0,1,2,3,4."""
    lr: PositiveFloat | None = None
    """Learning rate; without it each adapter uses its own."""
    batch_size: PositiveInt = 4
    """Facts in an optimizer step."""
    device: Device = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    dtype: DType = DType.AUTO
    """Number format of the base: auto, float32, bfloat16 or float16."""
    data_dir: Path | None = None
    """Folder with local copies of data sets, tried before the hub."""
    out: Path = Path("results")
    """Results folder; what a study writes goes to studies/ in it."""

    @property
    def folder(self) -> Path:
        """Where finished work is kept, so that the study goes on after an interruption."""
        return self.out / STUDIES_FOLDER / self.name

    @property
    def command(self) -> str:
        """What repeats the study, as it is typed; paths outside the folder by their last part."""
        words = ["python", "-m", "bench", "study", self.name]
        for option, field in type(self).model_fields.items():
            value = getattr(self, option)
            if option != "out" and value != field.default:
                words += [flag(option), _typed(value)]
        return shlex.join(words)

    @abstractmethod
    def named(self) -> tuple[str, ...]:
        """Return recipes that name everything the study will name.

        Raises:
            UsageError: A recipe that the study cannot take.
        """

    def grid(self, methods: Iterable[str]) -> RunOptions:
        """Return the study as a grid of recipes, its cells in the study's own folder.

        Cells that failed run again with every call.
        """
        values = {
            **self.model_dump(include=set(RunOptions.model_fields)),
            "methods": tuple(methods),
            "tasks": (self.task,),
            "models": (self.model,),
            "out": self.folder,
            "rerun": Rerun.FAILED,
        }
        return validated(RunOptions, values)


class GridStudyOptions(StudyOptions):
    """What studies that are grids have in common."""

    limit: PositiveInt = 32
    """At most so many facts are trained."""
    epochs: PositiveInt = 10
    """Times each fact is trained."""
    forgetting_limit: PositiveInt = 100
    """At most so many items of each forgetting task are asked; `drift` has 32 texts at most."""


class PlacementOptions(GridStudyOptions):
    """Which layers to train: the cut swept over the layers, windows, what `freeze` picks."""

    name = "placement"

    method: One = "lora"
    """The recipe to place: an adapter, with strategies if you like."""
    cuts: WholeNumbers | None = None
    """Cuts k: layers 1..k are frozen, those above are trained; 0 trains all."""
    forgetting: Names = ("drift",)
    """What may be forgotten, as in run."""

    def named(self) -> tuple[str, ...]:
        """Return the recipe, alone and placed."""
        recipe = parse_recipe(self.method)
        if recipe.placement is not None:
            raise UsageError(
                f"--method '{self.method}' has a placement already: give the recipe without it, "
                "the study places it"
            )
        return (self.method, f"{self.method}+freeze")


class CalibrationOptions(GridStudyOptions):
    """What CorDA calibrates on: sources and sizes."""

    name = "calibration"

    modes: Modes = ("kpm", "ipm")
    """CorDA's modes: kpm keeps knowledge, ipm previews the task."""
    sources: Names = ("elements", "train")
    """What to calibrate on: train (the training facts) or knowledge tasks, such as nq_open."""
    samples: Counts = (32, 256)
    """Calibration facts; where a source has fewer, as many as it has."""
    forgetting: Names = ("elements", "drift")
    """What may be forgotten, as in run."""
    limit: PositiveInt = 24
    """At most so many facts are trained."""

    def named(self) -> tuple[str, ...]:
        """Return CorDA on every source, and what it is compared with."""
        return (REFERENCE, *(calibrated("kpm", source, 1) for source in self.sources))


def calibrated(mode: str, source: str, samples: int) -> str:
    """Write the recipe of CorDA on a calibration source."""
    return f"corda[mode={mode},calibration={source},samples={samples}]"


def _typed(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    outside = isinstance(value, Path) and value.is_absolute()
    return value.name if outside else str(value)
