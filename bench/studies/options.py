"""What a study is asked to do and how it is run, for studies to build on.

A study is a class of options, like a part: each field is an option, read with its default and its
text; the docstring's first line is its help. `run` imports what is slow, and answers.
"""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveFloat, PositiveInt

from bench.config.options import Rerun, RunOptions, flag, validated
from bench.config.types import Device, DType, WholeNumbers, pieces
from bench.store.store import STUDIES_FOLDER

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


def _alone(given: str) -> str:
    if len(pieces(given)) != 1:
        raise ValueError("a study takes exactly one")
    return given


One = Annotated[str, AfterValidator(_alone)]


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
    def run(self, progress: Progress) -> StudyReport:
        """Run what is missing of the study, and answer.

        Raises:
            KeyboardInterrupt: Ctrl-C; says what is finished and kept. The next call goes on.
            UsageError: Names or sizes that cannot be, before anything is trained.
        """

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


def _typed(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    outside = isinstance(value, Path) and value.is_absolute()
    return value.name if outside else str(value)
