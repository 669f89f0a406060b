"""`python -m bench study NAME`, for every registered study."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from bench.cli import common
from bench.studies.registry import found_studies, load_study

if TYPE_CHECKING:
    from bench.studies.options import StudyOptions


class Studies(common.Commands):
    """A group with one command per study, imported only when it is called."""

    def described(self) -> dict[str, str]:
        """Return what each study does, by its name."""
        return {name: found.about for name, found in found_studies().items()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command of a study; its options are the fields of its class.

        Raises:
            UsageError: No study has this name.
        """
        kind = load_study(cmd_name)
        from bench.cli.flags import options_of, typed_values
        from bench.config.options import validated

        def answer(**given: Any) -> int:
            return _answer(validated(kind, typed_values(given)))

        command = click.command(cmd_name, cls=common.OptionsOnly, help=kind.__doc__)
        return command(options_of(kind)(answer))


@click.group(cls=Studies)
def study() -> None:
    """Run a study: one question, answered with a table and a figure."""


def _answer(options: StudyOptions) -> int:
    """Check a study's names, run its missing cells, and write and print its answer."""
    from bench.execution.checks import check_names
    from bench.libraries import quiet_libraries

    check_names(options.grid(options.named()))
    common.interrupt_once()
    try:
        quiet_libraries()
        # Not above: these import torch and pandas, which takes seconds; names are checked before.
        from bench.progress import open_progress
        from bench.studies.study_report import write_study
        from bench.studies.terminal import study_text

        with closing(open_progress()) as progress:
            report = options.run(progress)
        files = write_study(options.out, report)
        click.echo(study_text(report, **common.terminal()).rstrip())
        click.echo(f"{files.markdown} (and .csv, .png, .svg)")
    except KeyboardInterrupt as stop:
        finished = str(stop) or "finished cells"
        click.echo(f"interrupted: {finished} saved in {options.folder}", err=True)
        click.echo(f"resume with: {common.this_command()}", err=True)
        return common.INTERRUPTED
    return common.FAILED if report.failures else common.DONE
