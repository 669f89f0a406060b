"""Silence libraries while a run shows its own progress."""

from __future__ import annotations

import logging
import os
import warnings
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
    "datasets",
    "evaluate",
    "httpx",
    "huggingface_hub",
    "lm_eval",
    "lm-eval",
    "peft",
    "transformers",
)


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

    # Every bar of every library is made by this. lm-eval passes disable=False itself, which wins
    # over TQDM_DISABLE and over defaults; some of its bars no argument turns off.
    from tqdm import std

    shown = std.tqdm.__init__

    def hidden(self: Any, *arguments: Any, **settings: Any) -> None:
        shown(self, *arguments, **{**settings, "disable": True})

    std.tqdm.__init__ = hidden
