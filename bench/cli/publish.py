"""`python -m bench card | push | merge | export-adapter`: what becomes of saved adapters.

The cell is looked up before anything is imported that takes a second or more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.common import DONE, FAILED
from bench.cli.flags import out_option
from bench.redaction import safe_text

if TYPE_CHECKING:
    from bench.publishing.push import Upload

_FORMATS = ("peft", "vllm", "gguf")


@click.command()
@click.argument("cells", metavar="[CELL]...", nargs=-1)
@out_option
def card(cells: tuple[str, ...], out: Path) -> None:
    """Write the model cards of saved adapters anew.

    CELL is a cell's id or its first characters; without it, cards of all saved adapters are
    written. They tell of all seeds that are in the folder by now.
    """
    from bench.publishing.saved import all_saved, find_saved

    found = [find_saved(out, cell) for cell in cells] if cells else all_saved(out)
    from bench.publishing.card import write_card
    from bench.publishing.card_content import stored_content
    from bench.store.store import ResultsStore

    records = ResultsStore(out).records().records
    for saved in found:
        click.echo(write_card(stored_content(out, saved, records=records), saved.folder))


@click.command()
@click.argument("cell")
@click.argument("repository", metavar="USER/NAME")
@out_option
@click.option("--yes", is_flag=True, help="Upload; without it, only show what would be uploaded.")
@click.option("--private", is_flag=True, help="Create the repository for its owners alone.")
@click.option(
    "--base",
    default="",
    metavar="USER/NAME",
    help="The base on the hub, if it was read from a folder.",
)
def push(cell: str, repository: str, out: Path, yes: bool, private: bool, base: str) -> int:
    """Upload a saved adapter with its model card to the Hugging Face hub.

    CELL is the cell's id or its first characters. Nothing is uploaded without --yes.
    """
    from bench.libraries import quiet_libraries
    from bench.publishing.saved import find_saved

    saved = find_saved(out, cell)
    quiet_libraries()
    from bench.publishing.push import HubError, prepare_upload, upload

    with tempfile.TemporaryDirectory(prefix="upload-") as scratch:
        chosen = prepare_upload(out, saved, repository, Path(scratch), private=private, base=base)
        _show_upload(chosen)
        if not yes:
            click.echo("Nothing was uploaded: add --yes to create the repository and upload this.")
            return DONE
        try:
            click.echo(f"uploaded: {upload(chosen)}")
        except HubError as error:
            click.echo(f"error: {safe_text(str(error))}", err=True)
            return FAILED
    return DONE


def _show_upload(chosen: Upload) -> None:
    from bench.publishing.push import LOG_IN, endpoint, has_token
    from bench.report.tables.format import memory

    click.echo(f"{endpoint()}/{chosen.repository} ({chosen.visibility}), base {chosen.base}")
    width = max(map(len, chosen.sizes))
    for name, size in chosen.sizes.items():
        click.echo(f"  {safe_text(name):<{width}}  {memory(size)}")
    click.echo(f"{len(chosen.sizes)} files, {memory(sum(chosen.sizes.values()))}")
    if not has_token():
        click.echo(f"The hub's client has no token here: {LOG_IN}.")


@click.command()
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@out_option
@click.option("--trust-remote-code", is_flag=True, help="Allow Python code of the base to run.")
def merge(cell: str, folder: Path, out: Path, trust_remote_code: bool) -> None:
    """Merge a saved adapter into its base, and write the model for transformers.

    CELL is the cell's id or its first characters; DIR must not exist yet, or be empty.
    """
    from bench.libraries import quiet_libraries
    from bench.publishing.folders import refuse_taken
    from bench.publishing.saved import find_saved

    saved = find_saved(out, cell)
    refuse_taken(folder)
    quiet_libraries()
    from bench.publishing.merge import merge_adapter

    found = merge_adapter(out, saved, folder, trust_remote_code=trust_remote_code, say=click.echo)
    click.echo(f"{found.folder}: a model for transformers")
    click.echo(
        "loaded again, its logits differ from those of base and adapter by "
        f"{found.difference:.1g} of their size\nand from those of the base by {found.moved:.1g}"
    )


@click.command(name="export-adapter")
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="What to write: PEFT's files, a plain LoRA for vLLM, or a GGUF file for llama.cpp.",
)
def export_adapter(cell: str, folder: Path, out: Path, form: str) -> None:
    """Write a saved adapter for PEFT, vLLM or llama.cpp.

    CELL is the cell's id or its first characters; DIR must not exist yet, or be empty.
    """
    from bench.libraries import quiet_libraries
    from bench.publishing.folders import refuse_taken
    from bench.publishing.saved import find_saved

    saved = find_saved(out, cell)
    refuse_taken(folder)
    quiet_libraries()
    from bench.publishing.export import AdapterFormat, export_saved

    found = export_saved(out, saved, folder, AdapterFormat(form))
    click.echo(f"{found.folder}{f': rank {found.rank}' if found.rank else ''}")
    click.echo(f"load it with: {found.command}")
