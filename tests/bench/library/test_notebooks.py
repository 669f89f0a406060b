"""Notebooks, executed by a real kernel: one with the two-layer model, and those of the docs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from scripts.run_notebooks import NOTEBOOKS, executed

ROOT = Path(__file__).parents[3]


def kinds(cell):
    """The media types of a cell's outputs, in order."""
    return [sorted(out.get("data", {})) or out.output_type for out in cell.outputs]


def test_a_notebook_shows_a_bar_a_table_a_frame_and_a_picture(tiny_folder, facts_file, tmp_path):
    run = (
        "import bench\n"
        "results = bench.run(methods='lora', forgetting='drift', epochs=2, limit=4, device='cpu',"
        f" workers=1, tasks={str(facts_file)!r}, models={str(tiny_folder)!r})"
    )
    wrong = "try:\n    bench.run(methods='lorra')\nexcept bench.UsageError as e:\n    print(e)"
    sources = [run, "results", "results.facts", "results.plot('paths')", wrong]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()

    bar, table, frame, picture, error = notebook.cells
    assert kinds(bar) == [["text/html", "text/plain"]], "one display, nothing on standard error"
    assert "1 of 1 cells" in bar.outputs[0].data["text/plain"]
    assert "<table>" in table.outputs[0].data["text/html"]
    assert "dataframe" in frame.outputs[0].data["text/html"]
    assert "data:image/png;base64," in picture.outputs[0].data["text/html"]
    assert "did you mean lora" in error.outputs[0].text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_were_executed_without_errors_and_name_no_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert not any(place in json.dumps(notebook) for place in ("/tmp", "/home", "/root", "/work"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_of_the_docs_run_and_show_what_is_committed(path):
    committed = nbformat.read(path, as_version=4)
    again = executed(path)
    assert [kinds(cell) for cell in again.cells if cell.cell_type == "code"] == [
        kinds(cell) for cell in committed.cells if cell.cell_type == "code"
    ]
