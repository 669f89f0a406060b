"""The harness: grid, runner, training, evaluation, results, report and command line."""

import os
from pathlib import Path

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
