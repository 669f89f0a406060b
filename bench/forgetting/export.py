"""`export-task`: write a knowledge task's forget part as files for lm-eval's command line.

What a cell runs and what is exported come from one `HarnessSpec`, so they cannot differ.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import tasks.scoring
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.forgetting.harness import HarnessSpec, harness_spec
from tasks.forgetting.rows import dataset, process_results
from tasks.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Export:
    """Where a task was written.

    Attributes:
        folder: For lm-eval's `--include_path`; it may be moved, and called from anywhere.
        name: For lm-eval's `--tasks`.
        items: Number of documents.
    """

    folder: Path
    name: str
    items: int

    @property
    def command(self) -> str:
        """The command that reproduces a cell's score."""
        return (
            f"lm_eval run --include_path {self.folder} --tasks {self.name} --model hf "
            "--model_args pretrained=BASE,peft=ADAPTER,dtype=float32"
        )


def write_task(name: str, facts: Sequence[Fact], prompt: Prompt, folder: Path) -> Export:
    """Write `NAME.yaml`, its rows `NAME.jsonl` and its scoring `NAME.py` into a folder.

    Args:
        name: The task as written on the command line.
        facts: Its forget facts, as a cell is scored on.
        prompt: Its demonstrations.
        folder: Created if missing; other files in it are left alone.

    Raises:
        UsageError: There are no facts, or the folder cannot be written.
    """
    spec = harness_spec(name, facts, prompt)
    # lm-eval finds a function by the file's name, in which a dot would start a folder.
    stem = spec.name.replace(".", "_")
    sources = [inspect.getsource(part) for part in (tasks.scoring, process_results, dataset)]
    header = f"# Rows and scoring of {name!r}, exported by semantic-peft-bench.\n"
    files = {
        ".yaml": _yaml(spec, stem),
        ".jsonl": "".join(f"{json.dumps(row)}\n" for row in spec.rows),
        ".py": header + "\n\n".join(sources),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            (folder / stem).with_suffix(suffix).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to '{folder}': {error.strerror}") from error
    return Export(folder.resolve(), spec.name, len(spec.rows))


def export_task(task: str, folder: Path, data_dir: Path | None) -> str:
    """Write the whole forget part of a knowledge task; return a message on how to run it.

    A cell scores the first `--forgetting-limit` documents, which is lm-eval's `--limit`.

    Args:
        task: The knowledge task as written on the command line.
        folder: Where its files go.
        data_dir: Local copies of data sets, if there are any.

    Raises:
        UsageError: The task is unknown, its data is missing, or the folder cannot be written.
    """
    from bench.forgetting.suite import forget_facts

    facts, prompt, _ = forget_facts(task, DataAccess(data_dir), None)
    export = write_task(task, facts, prompt, folder)
    return f"wrote {export.items} items to {export.folder}\n{export.command}"


class _Function(str):
    """`MODULE.FUNCTION`, written with lm-eval's tag `!function`."""


class _Dumper(yaml.SafeDumper):
    """YAML with lm-eval's tag."""


_Dumper.add_representer(
    _Function, lambda dumper, value: dumper.represent_scalar("!function", str(value))
)


def _yaml(spec: HarnessSpec, stem: str) -> str:
    functions = {"custom_dataset": dataset.__name__}
    if "process_results" in spec.config:
        functions["process_results"] = process_results.__name__
    named: Mapping[str, Any] = {key: _Function(f"{stem}.{f}") for key, f in functions.items()}
    config = {**spec.config, **named}
    return str(yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
