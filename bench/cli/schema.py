"""`python -m bench schema`: the JSON schema of grid files."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--names/--no-names",
    default=True,
    help="Let editors offer the methods, tasks and models that are installed here.  [default: on]",
)
def schema(names: bool) -> None:
    """Print the JSON schema of grid files, for editors."""
    click.echo(schema_text(names=names), nl=False)


def schema_text(*, names: bool) -> str:
    """Return the schema as text.

    Args:
        names: Whether it lists what is installed here.
    """
    import json

    from bench.cli.names import NAMED, known_names
    from bench.config.schema import grid_schema

    known = {option: known_names(option) for option in NAMED} if names else None
    return json.dumps(grid_schema(known), indent=2, ensure_ascii=False) + "\n"
