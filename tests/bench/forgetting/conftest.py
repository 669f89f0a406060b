"""Silence as in a run, undone after a test."""

from __future__ import annotations

import pytest
from tqdm import std

from bench import libraries


@pytest.fixture
def quiet(monkeypatch):
    """Silence libraries as every command does that runs cells."""
    for name, value in libraries._ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(std.tqdm, "__init__", std.tqdm.__init__)
    libraries.quiet_libraries()
