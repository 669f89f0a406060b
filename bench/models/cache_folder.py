"""The folder of downloaded, dequantised models; deleting it costs only time."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

VARIABLE = "SEMANTIC_PEFT_BENCH_CACHE"


def cache_folder() -> Path:
    """Return the cache folder: `$SEMANTIC_PEFT_BENCH_CACHE`, or a folder in the user's cache."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("semantic-peft-bench"))
