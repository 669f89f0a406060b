"""`python -m bench.live.beside FOLDER`: a live view that lasts as long as the run that starts it.

It is a process of its own, so that nothing it does counts as time or memory of a cell. It prints
its address as one line, and ends when its standard input does: with the run, however that ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import child_environment
from bench.live.server import LiveServer
from tasks.errors import UsageError

END_SECONDS = 5.0
"""How long the process may take to end before it is killed."""


@contextmanager
def watched(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the live view of a results folder during the block.

    Args:
        folder: The results folder.
        say: Receives one line with the address, as soon as it is known.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.live.beside", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=child_environment(),
        start_new_session=True,  # Ctrl-C is for the run, which ends this process last
    )
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    threading.Thread(target=_pass_on, args=(process.stdout, say), daemon=True).start()
    try:
        yield
    finally:
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pass_on(lines: Iterator[str], say: Callable[[str], None]) -> None:
    for line in lines:
        say(line.rstrip())


def main() -> int:
    """Serve the folder that is named on the command line; return the exit status."""
    folder = Path(sys.argv[1])
    try:
        server = LiveServer(folder)
    except UsageError:  # another run may be watched already
        server = LiveServer(folder, port=0)
    with server:
        print(f"watch this run at {server.address}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
