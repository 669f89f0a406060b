"""The commands on saved adapters, as they are typed."""

from __future__ import annotations

import pytest

from bench.cli import main

EXAMPLE = "results/example"


@pytest.fixture
def typed(saved_grid, capsys):
    """Type a command on the small grid's folder; return its status and what it said."""

    def run(*words, out=None):
        status = main([*words, "--out", str(out or saved_grid[0])])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_cards_are_written_for_one_cell_or_for_all(typed, saved_grid, saved_of):
    folder = saved_of("lora").folder
    (folder / "README.md").unlink()
    status, said = typed("card", saved_of("lora").record.cell_id)
    assert (status, said.split()) == (0, [str(folder / "README.md")])
    assert "mean of seeds 0, 1" in (folder / "README.md").read_text(encoding="utf-8")
    status, said = typed("card")
    assert status == 0
    assert len(said.split()) == len(saved_grid[1])


def test_merge_and_export_tell_what_they_wrote(typed, saved_of, tmp_path):
    cell = saved_of("pissa").record.cell_id
    status, said = typed("merge", cell, str(tmp_path / "merged"))
    assert (status, str(tmp_path / "merged") in said) == (0, True), said
    status, said = typed("export-adapter", cell, str(tmp_path / "out"), "--format", "vllm")
    assert (status, "rank 8" in said, "--max-lora-rank 8" in said) == (0, True, True), said


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("card",), "--save-adapters"),
        (("card", "680684d7"), "--save-adapters"),
        (("merge", "680684d7", "somewhere"), "--save-adapters"),
        (("push", "680684d7", "me/lora"), "--save-adapters"),
        (("export-adapter", "zz", "somewhere"), "no cell 'zz'"),
        (("export-adapter", "68", "somewhere", "--format", "onnx"), "peft"),
    ],
)
def test_a_folder_without_adapters_is_told_how_to_get_them(typed, words, right):
    status, said = typed(*words, out=EXAMPLE)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("error: ")
    assert right in said


def test_a_folder_that_is_gone_is_named(typed, saved_of, saved_grid, tmp_path):
    saved = saved_of("dora")
    saved.folder.rename(tmp_path / "elsewhere")
    try:
        status, said = typed("merge", saved.record.cell_id, str(tmp_path / "merged"))
    finally:
        (tmp_path / "elsewhere").rename(saved.folder)
    assert (status, "is gone" in said) == (2, True)
