"""`lm_eval:NAME`: a task of lm-eval, with data from a local copy or from the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask

from bench.forgetting.lm_eval_local_data import SUFFIXES, read_rows
from bench.forgetting.lm_eval_task import HarnessTask, check_runnable, documents_digest
from tasks.base import DataAccess
from tasks.errors import UsageError, unknown_name
from tasks.hub import candidates, hub_or_cache, local_copy

Config = dict[str, Any]
"""lm-eval's own configuration of a task."""


def lm_eval_harness_task(name: str, access: DataAccess, limit: int | None) -> HarnessTask:
    """Build lm-eval's task `name`; a file in `access.data_dir` is tried before the hub.

    Args:
        name: Its name in lm-eval: `piqa`.
        access: Where data may be read from.
        limit: The maximum number of documents; None: all.

    Raises:
        UsageError: The task is unknown, cannot be run or paired, or has no data.
    """
    config = task_config(name)
    local = _local(name, config, access)
    task = local[0] if local else _from_hub(name, config, access)
    check_runnable(name, task)
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    notes, content = local[1] if local else (), documents_digest(task, limit)
    return HarnessTask(f"lm_eval:{name}", task, limit, notes, content)


def task_config(name: str) -> Config:
    """Return the configuration of one of lm-eval's tasks, with functions resolved.

    Raises:
        UsageError: The name is unknown, or a group, or the task is not supported.
    """
    path = _yaml_file(name)
    # Resolving functions imports the task's Python, which may run code or want the hub.
    config = _read_yaml(path, functions=False)
    reasons = {
        "is a group of tasks: choose one of its tasks": not isinstance(config.get("task"), str),
        "runs code that the model writes: not supported": config.get("unsafe_code"),
        "shows images or sounds: only text is supported": config.get("doc_to_image")
        or config.get("doc_to_audio"),
        "is a Python class: only YAML tasks are supported": "class" in config,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        raise UsageError(f"lm_eval:{name} {reason}")
    config = _read_yaml(path, functions=True)
    return {key: value for key, value in config.items() if key not in _STRUCTURE}


_STRUCTURE = ("tag", "group", "task_list")
_DECLARED = re.compile(r"^(?:task|group):[ \t]*[\"']?([\w.+-]+)[\"']?[ \t]*$", re.MULTILINE)


_NAME = re.compile(r"\w[\w.+-]*")


def _yaml_file(name: str) -> Path:
    """Find the file that declares a task or group by its text.

    Its folder usually carries its name. lm-eval's TaskManager would parse all 14,000 files.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'lm_eval:{name}' is not a task name: use letters, digits and _.+-")
    root = Path(lm_eval.tasks.__file__).parent
    for folder in (root / name, root / name.split("_")[0]):
        found = _declared(folder).get(name)
        if found is not None:
            return found
    declared = _declared(root)
    if name not in declared:
        raise unknown_name("lm-eval task", name, declared)
    return declared[name]


def _declared(folder: Path) -> dict[str, Path]:
    return {
        name: path
        for path in sorted(folder.rglob("*.yaml"), reverse=True)
        for name in _DECLARED.findall(path.read_text(encoding="utf-8", errors="replace"))
    }


def _read_yaml(path: Path, *, functions: bool) -> Config:
    try:
        from lm_eval.tasks._yaml_loader import load_yaml
    except ImportError:  # before lm-eval 0.4.12
        from lm_eval.utils import load_yaml_config

        return dict(load_yaml_config(yaml_path=path, mode="full" if functions else "simple"))
    return dict(load_yaml(path, resolve_func=functions))


def _data_names(name: str, config: Config) -> list[str]:
    """Return the possible names of a task's data: `webqs`, `web_questions`."""
    data_set = str(config.get("dataset_path") or "").rpartition("/")[2]
    return list(dict.fromkeys(filter(None, (name, data_set, config.get("dataset_name")))))


def _evaluated_split(config: Config) -> str:
    return str(config.get("test_split") or config.get("validation_split"))


def _local(
    name: str, config: Config, access: DataAccess
) -> tuple[ConfigurableTask, tuple[str, ...]] | None:
    """Build a task from local files, with notes; None if the evaluated split has no file."""
    from datasets import Dataset

    split = _evaluated_split(config)
    names = _data_names(name, config)
    path = local_copy(names, split, access.data_dir, SUFFIXES)
    if path is None:
        return None
    training = str(config.get("fewshot_split") or config.get("training_split") or "train")
    shots = None
    if config.get("num_fewshot") and training != split:
        shots = local_copy(names, training, access.data_dir, SUFFIXES)
    files = {split: path, **({training: shots} if shots else {})}
    few_shot = config.get("fewshot_config")
    samples = few_shot.get("samples") if isinstance(few_shot, dict) else None
    notes: tuple[str, ...] = ()
    if config.get("num_fewshot") and not shots and samples is None:
        notes = (f"lm_eval:{name}: the examples in its prompt come from {path.name}, too",)
    rows = {split: Dataset.from_list(read_rows(file)) for split, file in files.items()}
    # Only splits that have a file are named. Without a file for the examples, lm-eval draws them
    # from the evaluated split, leaving out the document at hand; it does so when the few-shot
    # split equals the *test* split.
    examples = training if shots else None
    changes = {
        "training_split": examples,
        "fewshot_split": examples or (config.get("test_split") and split),
        "validation_split": None if config.get("test_split") else split,
        "custom_dataset": lambda **_: rows,
        "dataset_kwargs": None,
    }
    try:
        return ConfigurableTask(config={**config, **changes}), notes
    except (KeyError, jinja2.UndefinedError) as error:
        reason = str(error).strip("'\"")
        raise UsageError(
            f"{path} lacks fields that lm-eval's '{config['task']}' reads: {reason}"
        ) from error


def _from_hub(name: str, config: Config, access: DataAccess) -> ConfigurableTask:
    try:
        with hub_or_cache():
            return ConfigurableTask(config=config)
    # Data sets fail in as many ways as there are hosts and formats; all mean the same here.
    except Exception as error:
        names = candidates(_data_names(name, config), _evaluated_split(config))
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        where = f"in {access.data_dir}" if access.data_dir else "here (no --data-dir)"
        raise UsageError(
            f"lm_eval:{name} has no data: found none of {', '.join(names)} "
            f"({' '.join(SUFFIXES)}) {where}, and the hub failed "
            f"({type(error).__name__}: {reason[:200]})"
        ) from error
