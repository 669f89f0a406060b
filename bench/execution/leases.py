"""Claims on cells: processes that share a results folder run each cell only once.

`claims/<cell_id>.json` exists while a process runs the cell. It is created exclusively, so that
only one of several processes succeeds, and its owner touches it every few seconds. It expires when
its owner dies. On the same machine that is known at once; an owner on another machine is assumed
dead if the file was not touched for `STALE_SECONDS`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import psutil
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

BEAT_SECONDS = 10.0
STALE_SECONDS = 120.0
"""A claim that was not touched for this long has lost its owner."""

_SAME_START = 2.0
"""By how many seconds two readings of the start of one process may differ."""


class Process(BaseModel):
    """A process on any machine.

    Attributes:
        host, space: The machine and, if the system has them, the pid namespace: containers may
            share the name of a host.
        pid, started: The process id and the start (Unix seconds): ids are reused.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    space: str
    pid: int
    started: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def shares_machine(self, other: Process) -> bool:
        """Return whether both see the same processes."""
        return (self.host, self.space) == (other.host, other.space)

    def is_same(self, other: Process) -> bool:
        """Return whether both are the very same process."""
        at_once = abs(self.started - other.started) < _SAME_START
        return self.shares_machine(other) and self.pid == other.pid and at_once


class Owner(Process):
    """The process that runs a cell.

    Attributes:
        time: When the cell was claimed.
        token: Identifies the `Claims` object that claimed it.
    """

    time: str
    token: str


class Claims(AbstractContextManager["Claims"]):
    """The claims of one process in a results folder; a context manager that releases them.

    Args:
        folder: The results folder.
        stale_seconds: When the claims of other machines expire.
        beat_seconds: How often its own claims are touched.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stale_seconds: float = STALE_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._folder = folder / "claims"
        self._stale_seconds = stale_seconds
        self._beat_seconds = beat_seconds
        self._token = uuid.uuid4().hex
        self._held: set[str] = set()
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self, cell_id: str) -> bool:
        """Claim a cell; return False if another living process has it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._create(cell_id) or (self._remove_expired(cell_id) and self._create(cell_id))

    def release(self, cell_id: str) -> None:
        """Release a cell, unless the claim is no longer ours."""
        with self._removing():
            if self._is_ours(cell_id):
                self._path(cell_id).unlink(missing_ok=True)
        self._held.discard(cell_id)  # not before: Ctrl-C may come while it waits for the lock

    def owner(self, cell_id: str) -> Owner | None:
        """Return who has claimed a cell; None if the claim is gone, or is being written."""
        try:
            return Owner.model_validate_json(self._path(cell_id).read_bytes())
        except (OSError, ValidationError):
            return None

    def claimed(self) -> list[str]:
        """Return the ids of all cells that are claimed, by living processes or dead ones."""
        return [path.stem for path in self._folder.glob("*.json")]

    def lives(self, cell_id: str) -> bool:
        """Return whether a living process has claimed a cell; this writes nothing.

        For those who only watch: without a probe of the folder's clock, the claims of other
        machines are judged by the clock of this one.
        """
        owner = self.owner(cell_id)
        if owner is not None and owner.shares_machine(this_process()):
            return _lives(owner)
        try:
            touched = self._path(cell_id).stat().st_mtime
        except OSError:
            return False
        return time.time() - touched <= self._stale_seconds

    def remove_of(self, process: Process) -> list[str]:
        """Remove the claims of a dead process; return the ids of their cells."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with self._removing():
                owner = self.owner(path.stem)
                if owner is not None and owner.is_same(process):
                    path.unlink(missing_ok=True)
                    found.append(path.stem)
        return found

    def close(self) -> None:
        """Release all claims, and remove those that dead processes have left."""
        self._stop.set()
        for cell_id in list(self._held):
            self.release(cell_id)
        # A process that is killed between the record and its release leaves a claim on a cell
        # that nobody will run again.
        for path in self._folder.glob("*.json"):
            with suppress(OSError):  # a full disk must not hide how the run ended
                self._remove_expired(path.stem)

    def _path(self, cell_id: str) -> Path:
        return self._folder / f"{cell_id}.json"

    def _removing(self) -> FileLock:
        # Without it, two processes that find one claim expired could each remove the other's new
        # one. The system releases it when its holder dies.
        return FileLock(self._folder / ".lock")

    def _create(self, cell_id: str) -> bool:
        path, now = self._path(cell_id), datetime.now(UTC).isoformat(timespec="seconds")
        owner = Owner(**this_process().model_dump(), time=now, token=self._token)
        self._held.add(cell_id)  # not after: Ctrl-C may come as soon as the file is there
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(owner.model_dump_json())
        except FileExistsError:
            if not self._is_ours(cell_id):
                self._held.discard(cell_id)
            return False
        except OSError:
            path.unlink(missing_ok=True)  # a full disk leaves an empty file
            raise
        self._start_heart()
        return True

    def _remove_expired(self, cell_id: str) -> bool:
        """Remove an expired claim; return whether the cell may be free now."""
        if not self._expired(cell_id):
            return False
        with self._removing():
            if not self._expired(cell_id):  # another process was faster
                return False
            self._path(cell_id).unlink(missing_ok=True)
        return True

    def _expired(self, cell_id: str) -> bool:
        owner = self.owner(cell_id)
        if owner is not None and owner.shares_machine(this_process()):
            return not _lives(owner)
        try:
            touched = self._path(cell_id).stat().st_mtime
        except FileNotFoundError:
            return True
        return self._folder_time() - touched > self._stale_seconds

    def _folder_time(self) -> float:
        """Return the time of the clock that stamps the folder's files: machines' clocks differ."""
        probe = self._folder / f".time-{socket.gethostname()}-{os.getpid()}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _is_ours(self, cell_id: str) -> bool:
        owner = self.owner(cell_id)
        return owner is not None and owner.token == self._token

    def _start_heart(self) -> None:
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="claims", daemon=True)
            self._heart.start()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            for cell_id in list(self._held):
                if self._is_ours(cell_id):
                    with suppress(OSError):
                        os.utime(self._path(cell_id))


def this_process() -> Process:
    """Return the calling process."""
    return _process(os.getpid())


@lru_cache(maxsize=4)
def _process(pid: int) -> Process:
    # The pid is an argument so that a forked child does not find its parent's.
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    started = psutil.Process(pid).create_time()
    return Process(host=socket.gethostname(), space=space, pid=pid, started=started)


def _lives(owner: Owner) -> bool:
    """Return whether the owner, a process of this machine, still runs."""
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, and its parent has not looked yet
            return False
        return abs(process.create_time() - owner.started) < _SAME_START
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
