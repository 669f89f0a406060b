"""The harness: grid, runner, training, evaluation, results, report and command line.

What a program may use is in `__all__`. It is imported when it is first asked for, so that
`import bench` and the command line's help take no time.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.failures import NoSpaceError
    from bench.library.results import Results, load_results
    from bench.library.run import run
    from tasks.errors import UsageError

__all__ = ["NoSpaceError", "Results", "UsageError", "load_results", "run"]

_PLACES = {
    "NoSpaceError": "bench.failures",
    "Results": "bench.library.results",
    "UsageError": "tasks.errors",
    "load_results": "bench.library.results",
    "run": "bench.library.run",
}

ROOT = Path(__file__).parent.parent
"""The checkout, or the folder of installed packages, that holds this program."""


def child_environment() -> dict[str, str]:
    """Return the environment variables with which a child process runs this same program.

    Whatever folder the child is started in: `python -m` would put that folder first on the path,
    and a file `tasks.py` or a folder `methods` there would be imported in place of ours.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONSAFEPATH": "1",
    }


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    """Return the public names, which a notebook completes."""
    return sorted(__all__)
