"""The base class of studies: their common options, and how a study is run.

A study is a class of options, like a part. Each field is a command-line option; its default and its
docstring become the option's default and help. The first line of the class docstring is the help of
the study. `run` answers the question; slow imports such as torch belong inside it.
"""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveFloat, PositiveInt

from bench.config.options import Rerun, RunOptions, flag, validated
from bench.config.types import Device, DType, WholeNumbers, pieces, task_names
from bench.store.store import STUDIES_FOLDER

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


def _alone(given: str) -> str:
    if len(pieces(given)) != 1:
        raise ValueError("a study takes exactly one")
    return given


def _one_task(given: str) -> str:
    if len(task_names(given)) != 1:
        raise ValueError("a study takes exactly one")
    return given


One = Annotated[str, AfterValidator(_alone)]
OneTask = Annotated[str, AfterValidator(_one_task)]


class StudyOptions(BaseModel):
    """The options that all studies share; each field is the option of the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassVar[str]

    model: One = "smollm2-135m"
    """A registered model, a hub id (with a /) or a local folder."""
    task: OneTask = "countries"
    """The name of a knowledge task, or the path of a facts file."""
    seeds: WholeNumbers = (0,)
    """Seeds; 0-4 means 0,1,2,3,4."""
    lr: PositiveFloat | None = None
    """Learning rate of every method."""
    batch_size: PositiveInt = 4
    """Facts per optimizer step."""
    device: Device = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    dtype: DType = DType.AUTO
    """Number format of the base: auto, float32 or bfloat16."""
    data_dir: Path | None = None
    """Folder with local copies of data sets, tried before the hub."""
    out: Path = Path("results")
    """Results folder; the study is written to its subfolder studies/."""

    @property
    def folder(self) -> Path:
        """The folder of finished work, from which an interrupted study resumes."""
        return self.out / STUDIES_FOLDER / self.name

    @property
    def command(self) -> str:
        """The command that repeats the study; absolute paths are shortened to their last part."""
        words = ["python", "-m", "bench", "study", self.name]
        for option, field in type(self).model_fields.items():
            value = getattr(self, option)
            if option != "out" and value != field.default:
                words += [flag(option), _typed(value)]
        return shlex.join(words)

    @abstractmethod
    def run(self, progress: Progress) -> StudyReport:
        """Run the missing parts of the study and return its report.

        Raises:
            KeyboardInterrupt: Ctrl-C; its text says what is finished. The next call resumes.
            UsageError: Impossible names or sizes, before anything is trained.
        """

    @abstractmethod
    def named(self) -> tuple[str, ...]:
        """Return recipes that together name every part the study uses, to be checked first.

        Raises:
            UsageError: The study cannot use a recipe.
        """

    def grid(self, methods: Iterable[str]) -> RunOptions:
        """Return the run options of a grid of recipes whose cells lie in the study's folder.

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
    """The options that studies which run a grid share."""

    limit: PositiveInt = 32
    """Most facts to train."""
    epochs: PositiveInt = 10
    """How often each fact is trained."""
    forgetting_limit: PositiveInt = 100
    """Most items to ask of each forgetting task; drift has at most 32 texts."""


def _typed(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    outside = isinstance(value, Path) and value.is_absolute()
    return value.name if outside else str(value)
