"""Snapshots: a part is written, compared, told of when it changes, and refused when it differs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.snapshots import plugin


@pytest.fixture
def comparing(monkeypatch, tmp_path, tmp_path_factory):
    """`snapshot` on a folder of its own; returns how to compare, and what was told of."""
    monkeypatch.setattr(plugin, "FOLDER", tmp_path)
    told = []

    def compare(text, updating, surface="help", part="plan"):
        config = SimpleNamespace(getoption=lambda name: updating)
        request = SimpleNamespace(config=config, node=SimpleNamespace(user_properties=told))
        plugin.snapshot.__wrapped__(request, tmp_path_factory)(surface, part, text)

    return compare, told


def test_what_was_written_is_what_is_compared_with(comparing, tmp_path):
    compare, told = comparing
    with pytest.raises(AssertionError, match="--update-snapshots"):
        compare("one\n", updating=False)
    compare("one\n\ntwo  \n", updating=True)
    compare("three", updating=True, part="run")
    compare("one\n\ntwo", updating=False)
    compare("three", updating=False, part="run")
    assert len(told) == 2
    compare("one\n\ntwo", updating=True)
    assert len(told) == 2, "nothing changed"
    compare("one\n\n2", updating=True)
    assert told[-1][1].splitlines()[-2:] == ["-two", "+2"]
    with pytest.raises(AssertionError, match="'plan'"):
        compare("one\n\ntwo", updating=False)


def test_where_files_of_a_test_lie_is_not_compared(comparing, tmp_path):
    compare, _ = comparing
    compare(f"no file {tmp_path}/a/b.csv", updating=True)
    assert plugin.read("help") == {"plan": "no file TMP/b.csv"}
