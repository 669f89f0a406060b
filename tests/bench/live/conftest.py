"""A live view that is served to the tests of this folder."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

from bench.live import view
from bench.live.server import LiveServer


class Served:
    """A running server, and what it answers."""

    def __init__(self, server):
        self.server, self.address = server, server.address

    def state(self):
        with urlopen(f"{self.address}state", timeout=60) as answer:
            return json.load(answer)

    def wait_for(self, condition, seconds=600.0):
        """Ask until an answer meets a condition, and return it."""
        deadline = time.monotonic() + seconds
        while not condition(state := self.state()):
            assert time.monotonic() < deadline, state
            time.sleep(0.05)
        return state


@contextmanager
def serving(folder):
    with LiveServer(folder, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Served(server)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def served(monkeypatch):
    """Serve a folder: a context manager; every question is answered by a new look."""
    monkeypatch.setattr(view, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(view, "LOOK_SHARE", math.inf)
    return serving
