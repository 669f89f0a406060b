"""Silence libraries while a run shows its own progress, and hear what they warn of."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ENVIRONMENT = {
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LMEVAL_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
_LOGGERS = (
    "absl",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "evaluate",
    "httpx",
    "huggingface_hub",
    "lm_eval",
    "lm-eval",
    "peft",
    "transformers",
)
_HEARD = {"peft": "PEFT", "transformers": "transformers", "torch": "torch"}
"""Libraries whose warnings are about a cell, by package, as people write their names."""

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)

_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"`,;:()]+/)+")


def quiet_libraries() -> None:
    """Silence progress bars, warnings and logs of libraries; call it before importing them.

    Variables that the user has set (`TRANSFORMERS_VERBOSITY=info`) take precedence.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    modules = "|".join(name.replace("-", "_") for name in _LOGGERS)
    warnings.filterwarnings("ignore", module=rf"({modules}|torch|multiprocess)(\.|$)")

    # In a notebook without ipywidgets, tqdm advises whoever imports it to install them.
    warnings.filterwarnings("ignore", message="IProgress not found")

    # Every bar of every library is made by this. lm-eval passes disable=False itself, which wins
    # over TQDM_DISABLE and over defaults; some of its bars no argument turns off.
    from tqdm import std

    shown = std.tqdm.__init__

    def hidden(self: Any, *arguments: Any, **settings: Any) -> None:
        shown(self, *arguments, **{**settings, "disable": True})

    std.tqdm.__init__ = hidden


@contextmanager
def quiet_within() -> Iterator[None]:
    """Silence libraries inside the block only: a notebook's own bars and logs go on after it."""
    from tqdm import std

    shown, variables = std.tqdm.__init__, dict(os.environ)
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        quiet_libraries()
        try:
            yield
        finally:
            std.tqdm.__init__ = shown
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            for name in _ENVIRONMENT.keys() - variables.keys():
                os.environ.pop(name, None)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what libraries warn of inside the block instead of showing it.

    Yields:
        A list that is filled when the block ends: one line for each different warning, without the
        folders of this machine.
    """
    lines: list[str] = []
    log = _Log(logging.WARNING)
    # transformers says some things once in a process, but every cell is to hear them.
    once = getattr(logging.Logger, "warning_once", None)
    if once is not None:
        once.cache_clear()
    with warnings.catch_warnings(record=True) as caught, log.listening():
        warnings.simplefilter("always")
        try:
            yield lines
        finally:
            found = [
                _line(_package(warning.filename), str(warning.message))
                for warning in caught
                if not issubclass(warning.category, _FOR_DEVELOPERS)
            ]
            lines += dict.fromkeys((*found, *log.lines))


class _Log(logging.Handler):
    """Takes down what loggers of libraries say instead of their own handlers."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(_line(record.name.partition(".")[0], record.getMessage()))

    @contextmanager
    def listening(self) -> Iterator[None]:
        loggers = [logging.getLogger(name) for name in _HEARD]
        before = [(each, each.level, each.handlers, each.propagate) for each in loggers]
        try:
            for logger in loggers:
                logger.handlers, logger.propagate = [self], False
                logger.setLevel(self.level)
            yield
        finally:
            for logger, level, handlers, propagate in before:
                logger.handlers, logger.propagate = handlers, propagate
                logger.setLevel(level)


def _package(filename: str) -> str:
    return next((name for name in _HEARD if name in Path(filename).parts), "")


def _line(package: str, text: str) -> str:
    text = _FOLDERS.sub("", " ".join(text.split()))
    return f"{_HEARD[package]} warns: {text}" if package in _HEARD else text
