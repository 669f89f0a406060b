"""TensorBoard: one folder per cell, `DIR/model task/method setting/seed N`, seeds side by side.

Written with TensorBoard's own protocol buffers, which need neither TensorFlow nor torch. Its
HPARAMS page averages runs of one session group, which is a group of seeds here.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from bench.store import atomic
from bench.trackers.tracked_run import TrackedRun
from tasks.errors import UsageError

EVENTS = "events.out.tfevents"
"""How TensorBoard recognises its files."""


class TensorBoard:
    """Writes event files below a folder.

    Args:
        target: The folder; by default `tensorboard` in the results folder.
        folder: The results folder.

    Raises:
        UsageError: Nothing can be written there.
    """

    def __init__(self, target: str, folder: Path) -> None:
        self._root = Path(target) if target else folder / "tensorboard"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"tensorboard: cannot create the folder '{self._root}': {error.strerror}"
            ) from error

    @property
    def look(self) -> str:
        """The command that shows the runs."""
        return f"tensorboard --logdir {shlex.quote(str(self._root))}"

    def log(self, run: TrackedRun) -> bool:
        """Write the run's one event file, whose name has the digest of what is in it."""
        place = self._root.joinpath(*map(_name_of_folder, run.folders))
        path = place / f"{EVENTS}.{int(run.finished):010d}.{run.cell_id}.{run.digest}"
        if path.exists():
            return False
        place.mkdir(parents=True, exist_ok=True)
        earlier = list(place.glob(f"{EVENTS}.*.{run.cell_id}.*"))
        with atomic.draft(place / "run") as staged:
            staged.write_bytes(_events(run))
            os.replace(staged, path)
        for old in earlier:
            old.unlink(missing_ok=True)
        return True

    def close(self) -> None:
        """Do nothing: every file is complete."""


def _name_of_folder(text: str) -> str:
    return re.sub(r"[^\w.,+=@-]+", "-", text).strip(".-") or "run"


def _events(run: TrackedRun) -> bytes:
    """Return the content of an event file."""
    content = io.BytesIO()
    writer = RecordWriter(content)

    def add(step: int, summary: Summary | None = None, **fields: str) -> None:
        event = Event(wall_time=run.finished, step=step, summary=summary, **fields)
        writer.write(event.SerializeToString())

    add(0, file_version="brain.Event:2")
    setting = {name: value for name, value in run.config.items() if name != "seed"}
    add(0, hparams_pb(setting, trial_id=run.group, start_time_secs=run.finished))
    add(0, text_pb("cell", _table(run)))
    for epoch, values in run.epochs.items():
        for name, value in values.items():
            add(epoch, scalar_pb(name, value))
    last = max(run.epochs, default=0)
    for name, value in run.metrics.items():
        add(last, scalar_pb(name, value))
    return content.getvalue()


def _table(run: TrackedRun) -> str:
    """Write settings and provenance as a table in Markdown."""
    ended = {"cell": run.cell_id, "status": run.status.value, "reason": run.reason}
    lines = {**ended, **run.config, **run.provenance}
    rows = (f"| {name} | {_in_cell(str(value))} |" for name, value in lines.items() if value != "")
    return "\n".join(["| | |", "|:--|:--|", *rows])


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
