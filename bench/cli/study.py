"""The command line of studies: `python -m bench study interference | placement | calibration`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from bench.cli.common import (
    DONE,
    FAILED,
    INTERRUPTED,
    Commands,
    OptionsOnly,
    interrupt_once,
    terminal,
    this_command,
)
from bench.cli.flags import options_of, typed_values
from bench.config.options import validated
from bench.execution.checks import check_names
from bench.studies.interference.options import InterferenceOptions
from bench.studies.options import CalibrationOptions, PlacementOptions, StudyOptions

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport

_Options = TypeVar("_Options", bound=StudyOptions)
_Run = Callable[[_Options, "Progress"], "StudyReport"]


class _Studies(Commands):
    kind: ClassVar[str] = "study"
    further: ClassVar[str] = ""


@click.group(cls=_Studies)
def study() -> None:
    """Answer one question with a table and a picture."""


@study.command(cls=OptionsOnly)
@options_of(InterferenceOptions)
def interference(**given: Any) -> int:
    """Train facts alone and together: what they lose."""

    def load() -> _Run[InterferenceOptions]:
        from bench.studies.interference.study import run_interference

        return run_interference

    return _answer(validated(InterferenceOptions, typed_values(given)), load)


@study.command(cls=OptionsOnly)
@options_of(PlacementOptions)
def placement(**given: Any) -> int:
    """Sweep the layers that are trained, against what freeze picks."""

    def load() -> _Run[PlacementOptions]:
        from bench.studies.placement.study import run_placement

        return run_placement

    return _answer(validated(PlacementOptions, typed_values(given)), load)


@study.command(cls=OptionsOnly)
@options_of(CalibrationOptions)
def calibration(**given: Any) -> int:
    """Calibrate CorDA on different sources and sizes."""

    def load() -> _Run[CalibrationOptions]:
        from bench.studies.calibration.study import run_calibration

        return run_calibration

    return _answer(validated(CalibrationOptions, typed_values(given)), load)


def _answer(options: _Options, load: Callable[[], _Run[_Options]]) -> int:
    """Check a study's names, run what is missing of it, and write and print its answer."""
    check_names(options.grid(options.named()))
    interrupt_once()
    try:
        return _conclude(options, _run(options, load))
    except KeyboardInterrupt as stop:
        finished = str(stop) or "what is finished"
        click.echo(
            f"interrupted: {finished} is kept in {options.folder}\ngo on with: {this_command()}",
            err=True,
        )
        return INTERRUPTED


def _run(options: _Options, load: Callable[[], _Run[_Options]]) -> StudyReport:
    from bench.libraries import quiet_libraries

    quiet_libraries()
    from bench.progress.base import open_progress

    with closing(open_progress()) as progress:
        return load()(options, progress)


def _conclude(options: StudyOptions, report: StudyReport) -> int:
    from bench.studies.study_report import write_study
    from bench.studies.terminal import study_text

    files = write_study(options.out, report)
    click.echo(study_text(report, **terminal()).rstrip())
    click.echo(f"{files.markdown} (and .csv, .png, .svg)")
    return FAILED if report.failures else DONE
