"""The server of the live view: one page and what it asks for, read-only, on this machine.

Browsers let any website send requests to a server on this machine. What one may read of the answers
is decided by the name it asked for, so only names that no website can own are answered; and as
nothing can be changed here, a request alone does no harm.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import ipaddress
import json
import re
import socket
import sys
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from bench.live.view import LiveView
from tasks.errors import UsageError

LOOPBACK = "127.0.0.1"
PORT = 8642

IDLE_SECONDS = 30.0
"""After this long without a request a connection is closed."""

PAGE = "live.html"


class Answer(NamedTuple):
    """What a route answers."""

    content: bytes
    kind: str
    policy: str = "default-src 'none'"
    status: HTTPStatus = HTTPStatus.OK


class LiveServer(ThreadingHTTPServer):
    """Serves the live view of a results folder until it is shut down.

    Args:
        folder: The results folder.
        host: The address to bind to, or a name of this machine.
        port: The port; 0: any free one.

    Raises:
        UsageError: The address or the port cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, host: str = LOOPBACK, port: int = PORT) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out '{folder}' is not a folder")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host, self.view = host, LiveView(folder)
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UsageError(_refused(host, port, error)) from error

    @property
    def address(self) -> str:
        """The address to open in a browser on this machine."""
        every = self.host in ("0.0.0.0", "::", "")
        host = LOOPBACK if every else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(str(self.server_address[0])).is_loopback

    def server_bind(self) -> None:
        """Bind without the base class's look-up of this machine's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that was closed in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "semantic-peft-bench", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer a request."""
        self._send(self._answer())

    def do_HEAD(self) -> None:
        """Answer a request without the content."""
        self._send(self._answer())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a page asks every second."""

    def _answer(self) -> Answer:
        if not may_ask(self.headers.get("Host", "")):
            told = f"This server answers under the name of its own machine: {self.server.address}\n"
            return _text(told, HTTPStatus.FORBIDDEN)
        path, _, query = self.path.partition("?")
        route = ROUTES.get(path)
        values = {name: given[-1] for name, given in parse_qs(query).items()}
        found = route(self.server.view, values) if route else None
        return found or _text("There is nothing under this address.\n", HTTPStatus.NOT_FOUND)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.content)),
            "Content-Security-Policy": f"{answer.policy}; frame-ancestors 'none'; base-uri 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)


def may_ask(host: str) -> bool:
    """Return whether a request with this `Host` is answered.

    It must name an address or this machine. A website can point its own name at this machine
    ("DNS rebinding") and would then be let read what is here, but the name stays its own.
    """
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(:\d*)?", host)
    name = found[1].strip("[]").removesuffix(".").lower() if found else ""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return name in ("localhost", socket.gethostname().lower())


def _page(view: LiveView, values: dict[str, str]) -> Answer:
    page = page_text()
    scripts, styles = (_digests(page, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; "
        f"script-src {scripts}; style-src {styles}"
    )
    return Answer(page.encode(), "text/html; charset=utf-8", policy)


def _state(view: LiveView, values: dict[str, str]) -> Answer:
    state = view.state(values.get("since", ""))
    return Answer(json.dumps(state, separators=(",", ":")).encode(), "application/json")


def _traceback(view: LiveView, values: dict[str, str]) -> Answer | None:
    found = view.traceback(values.get("cell", ""))
    return _text(found) if found else None


def _leaderboard(view: LiveView, values: dict[str, str]) -> Answer | None:
    page = view.leaderboard()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    return None if page is None else Answer(page, "text/html; charset=utf-8", policy)


ROUTES: dict[str, Callable[[LiveView, dict[str, str]], Answer | None]] = {
    "/": _page,
    "/state": _state,
    "/traceback": _traceback,
    "/leaderboard.html": _leaderboard,
}
"""All that is served; no part of an address ever becomes part of a path."""


@cache
def page_text() -> str:
    """Return the page, which is the same for every folder."""
    return files("bench.live").joinpath(PAGE).read_text(encoding="utf-8")


def _digests(page: str, tag: str) -> str:
    """Return what a policy must say to allow the page's own scripts or styles, and no others."""
    found = re.findall(f"<{tag}\\b[^>]*>(.*?)</{tag}>", page, flags=re.DOTALL)
    digests = (hashlib.sha256(content.encode()).digest() for content in found)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _text(text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(text.encode(), "text/plain; charset=utf-8", status=status)


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"--port {port} is in use by another program: choose another one, or 0 for any "
            "that is free"
        )
    if error.errno == errno.EACCES:
        return f"--port {port} needs more rights than you have: choose one above 1023"
    return f"--host '{host}' is no address of this machine: {error.strerror or error}"
