"""`python -m bench serve`: a results folder in the browser, while it is being filled."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import DONE, interrupt_once
from bench.cli.flags import out_option
from bench.live.server import LOOPBACK, PORT, LiveServer


@click.command()
@out_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0: any that is free.",
)
@click.option(
    "--host",
    default=LOOPBACK,
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. Any other than the default lets other machines read the results.",
)
def serve(out: Path, port: int, host: str) -> int:
    """Show a running grid in the browser, until Ctrl-C."""
    interrupt_once()
    try:
        with LiveServer(out, host, port) as server:
            if not server.is_local:
                click.echo(
                    f"warning: everyone who can reach {host} can read these results; there is no "
                    "password",
                    err=True,
                )
            click.echo(f"{server.address} shows {out}; Ctrl-C ends it")
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    return DONE
