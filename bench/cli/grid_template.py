"""The grid file that `init` writes: the answers, each with a comment, and the schema beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.cli.common import command_line
from bench.cli.schema import schema_text
from bench.config.options import build_options
from bench.store import atomic
from tasks.errors import UsageError

SCHEMA = "grid.schema.json"
"""The file beside the grid file by which editors complete and check it."""

COMMENTS = {
    "methods": "Methods to compare. Parts are joined by +, parameters stand in brackets:\n"
    "corda[mode=ipm,r=32], dora+freeze, lora+filter[rho=0.3]+reweight.",
    "tasks": "What is learned: tasks, or files of facts, of labelled texts or of texts.",
    "models": "The models that learn it: names, hub ids or folders.",
    "forgetting": "What must not be forgotten; drift is how far answers move at all.",
    "seeds": "Each cell is repeated with each seed. Fewer than three decide nothing.",
    "limit": "At most so many facts of each task are trained.",
    "checkpoints": "What is measured after every epoch: drift, all or last (nothing).",
    "out": "Where the results go. A second run computes only what is missing there.",
}
"""What stands above each option."""

LESS_OFTEN = """\
# Further options, each without the # in front; the command line has the same with two dashes.
#
# lr: [1.0e-4, 5.0e-4]    # several learning rates are tuned for each method
# tune: {r: [8, 16]}      # and so are parameters
# epochs: 10
# reference: lora         # the others are compared with it
# save-adapters: true     # in PEFT's format
# explain: true           # why each method forgets
# workers: 2              # processes that run cells at the same time
"""

LISTS = ("methods", "tasks", "models", "forgetting")


def write_grid(path: Path, chosen: Mapping[str, Any]) -> None:
    """Write a grid file, and beside it the schema unless a file of another kind is there.

    Args:
        path: The grid file.
        chosen: The options that were chosen, by name.

    Raises:
        UsageError: The folder cannot be written.
    """
    schema = path.parent / SCHEMA
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        named = _is_ours(schema)
        if named:
            atomic.write(schema, schema_text(names=True))
        atomic.write(path, grid_text(path, chosen, SCHEMA if named else ""))
    except FileExistsError as error:
        raise UsageError(f"cannot write '{path}': '{path.parent}' is not a folder") from error
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from error


def grid_text(path: Path, chosen: Mapping[str, Any], schema: str = "") -> str:
    """Return the text of a grid file.

    Args:
        path: Where it will be.
        chosen: Options by name.
        schema: The name of the schema's file; empty for none.
    """
    plan, run = (command_line(name, "--config", str(path)) for name in ("plan", "run"))
    head = [f"# yaml-language-server: $schema={schema}", ""] if schema else []
    head += [
        "# A grid: every method is trained on every task, with every model and seed.",
        "#",
        f"#   {plan}   says what it will take,",
        f"#   {run}    runs what is missing.",
        "",
    ]
    options = build_options(chosen).model_dump(mode="json")
    written = {**chosen, **{name: options[name] for name in LISTS}, "out": options["out"]}
    blocks = [_option(name, written[name]) for name in COMMENTS if name in written]
    return "\n".join([*head, *blocks, LESS_OFTEN])


def _option(name: str, value: Any) -> str:
    comment = "".join(f"# {line}\n" for line in COMMENTS[name].splitlines())
    content = yaml.safe_dump({name.replace("_", "-"): value}, indent=2, allow_unicode=True)
    return comment + content


def _is_ours(schema: Path) -> bool:
    """Return whether a schema may be written there."""
    if not schema.exists():
        return True
    try:
        found = json.loads(schema.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "semantic-peft-bench" in str(found.get("title"))
