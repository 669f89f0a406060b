"""What the server answers, to whom, and what it never does."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench import child_environment
from bench.live.beside import watched
from bench.live.server import LOOPBACK, LiveServer, may_ask
from bench.store.records import Status
from tasks.errors import UsageError
from tests.bench.live.folders import cell, record
from tests.bench.report_cells import fill

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ask(tmp_path, served):
    """Send one request to a server of a folder with a secret beside it."""
    folder = tmp_path / "results"
    fill(folder, [cell(0), record(1, Status.FAILED, reason="r", traceback="line 1")])
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "secret.txt").write_text("secret")
    with served(folder) as found:
        place = urlsplit(found.address)

        def send(path, method="GET", host=None):
            connection = HTTPConnection(place.hostname, place.port, timeout=60)
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", place.netloc if host is None else host)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()

        send.folder, send.served = folder, found
        yield send


def test_the_page_allows_itself_its_own_script_and_nothing_else(ask):
    status, headers, body = ask("/")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall("sha256-", policy)) == 2
    page = body.decode()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|leaderboard\.html)""", page)
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/leaderboard.html/../secret.txt",
        "//secret.txt",
        "/cells",
        "/state/",
        "/traceback?cell=../../secret.txt",
        "/traceback?cell=",
        "/leaderboard.html",
        "http://elsewhere/secret.txt",
        "//[",
        "/state#x",
    ],
)
def test_nothing_but_the_named_routes_is_served(ask, path):
    status, _, body = ask(path)
    assert status == 404
    assert b"secret" not in body


def test_the_leaderboard_is_served_once_it_is_there(ask):
    assert ask.served.state()["leaderboard"] is None
    (ask.folder / "leaderboard.html").write_text("<p>the board")
    status, headers, body = ask("/leaderboard.html?x=1")
    assert (status, body) == (200, b"<p>the board")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask.served.state()["leaderboard"] > 0


def test_a_traceback_is_plain_text(ask):
    [failed] = [each for each in ask.served.state()["cells"] if each["traceback"]]
    status, headers, body = ask(f"/traceback?cell={failed['id']}")
    assert (status, body) == (200, b"line 1")
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(ask, method):
    assert ask("/state", method)[0] == 501


def test_head_answers_without_the_content(ask):
    status, headers, body = ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


OWNED_BY_OTHERS = (
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8642"),
    *("", "a b", "@", "[", "[]", "localhost@evil.example", "evil.example#localhost"),
)


@pytest.mark.parametrize("host", OWNED_BY_OTHERS)
def test_names_that_a_website_can_own_are_not_answered(ask, host):
    assert not may_ask(host)
    status, _, body = ask("/state", host=host)
    assert status in (400, 403)
    assert b"lora" not in body


OUR_OWN = ("localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:9", "[::1]:8", "10.0.0.7")


@pytest.mark.parametrize("host", [*OUR_OWN, socket.gethostname()])
def test_addresses_and_this_machine_are_answered(host):
    assert may_ask(host)


def test_only_this_machine_can_reach_it_unless_asked(tmp_path):
    with LiveServer(tmp_path, port=0) as server:
        assert server.is_local
        assert server.server_address[0] == LOOPBACK
    with LiveServer(tmp_path, "0.0.0.0", 0) as server:
        assert not server.is_local
        assert server.address.startswith("http://127.0.0.1:")


def test_a_place_that_cannot_be_served_is_one_line(tmp_path):
    with LiveServer(tmp_path, port=0) as server:
        port = server.server_address[1]
        with pytest.raises(UsageError, match=f"--port {port} is in use"):
            LiveServer(tmp_path, port=port)
    with pytest.raises(UsageError, match=r"--host '203.0.113.1' is no address of this machine"):
        LiveServer(tmp_path, "203.0.113.1", 0)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is not a folder"):
        LiveServer(file, port=0)


def serve(*options):
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "serve", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_command_says_where_it_serves_and_ends_at_ctrl_c(tmp_path):
    first = serve("--out", tmp_path / "missing", "--port", 0, "--host", "0.0.0.0")
    [address] = re.findall(r"http://\S+", first.stdout.readline())
    second = serve("--out", tmp_path, "--port", urlsplit(address).port, "--host", "0.0.0.0")
    _, refused = second.communicate(timeout=600)
    first.send_signal(signal.SIGINT)
    out, warned = first.communicate(timeout=600)
    assert (first.returncode, out) == (0, "")
    assert warned.startswith("warning: everyone who can reach 0.0.0.0")
    assert (second.returncode, refused.count("\n")) == (2, 1)
    assert "is in use" in refused
    assert not (tmp_path / "missing").exists()


def test_the_command_does_not_import_torch_or_pandas(tmp_path):
    code = (
        "import sys; from bench.cli import commands; commands.get_command(None, 'serve');"
        "import bench.live.beside; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert not {"torch", "transformers", "pandas", "pyarrow"} & {*done.stdout.split()}


def test_beside_a_run_it_tells_its_address_and_ends_with_it(tmp_path):
    lines = []
    with watched(tmp_path, lines.append), watched(tmp_path, lines.append):
        deadline = time.monotonic() + 600
        while len(lines) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        ports = {urlsplit(line.split()[-1]).port for line in lines}
        assert len(ports) == 2, "two runs can be watched at the same time"
        assert all(_answers(port) for port in ports)
    assert not any(_answers(port) for port in ports)


def _answers(port):
    with socket.socket() as tried:
        return tried.connect_ex((LOOPBACK, port)) == 0
