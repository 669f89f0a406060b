"""A file has its old content or its new one, whatever happens while it is written."""

import os

import pytest

from bench.store import atomic
from tasks.errors import UsageError


@pytest.mark.parametrize("content", ["Zürich\n", b"\x00\xff"])
def test_a_file_is_written_whole_and_nothing_else_stays(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("old")
    assert atomic.write(path, content) == path
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="full"):
        atomic.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write results to '.*file': .*--out") as caught:
        atomic.ensure_writable(tmp_path / "file", tmp_path / "file" / "cells")
    assert "\n" not in str(caught.value)
