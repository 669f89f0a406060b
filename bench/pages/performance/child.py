"""Modules that are run in a fresh process, as a user would run them."""

from __future__ import annotations

import subprocess
import sys

from bench import child_environment


def run_module(module: str, *arguments: str) -> None:
    """Run a module in a fresh process, without output.

    Raises:
        RuntimeError: The process failed; the message ends with its last output.
    """
    command = [sys.executable, "-m", module, *arguments]
    environment = child_environment()
    environment |= {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python -m {module} failed: {done.stderr[-2000:]}")
