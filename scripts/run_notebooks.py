"""Execute the notebooks of the docs in place: `python scripts/run_notebooks.py`.

They are run where a checkout's `results/example` is found, in a folder that is removed afterwards,
and saved without what differs from machine to machine.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs/examples").glob("*.ipynb"))
LONGEST_SECONDS = 3600


def executed(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs that it has now; its own file stays as it is."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, path.parent.relative_to(ROOT))
        place.mkdir(parents=True)
        shutil.copytree(ROOT / "results/example", Path(folder, "results/example"))
        where = {"metadata": {"path": str(place)}}
        NotebookClient(notebook, timeout=LONGEST_SECONDS, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(executed(each), each)
