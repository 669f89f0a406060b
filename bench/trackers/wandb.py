"""Weights & Biases: one run per cell, in a group with its other seeds; online or offline.

The library looks at the machine, the command line, the repository and the console by itself; all
of that is turned off, so that only what this module sends leaves the machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import wandb

from bench.store.records import Status
from bench.trackers.registry import PROJECT
from bench.trackers.tracked_run import TrackedRun
from tasks.errors import UsageError

_LONGEST_TAG = 64
_DIGEST = "record"
_SETTINGS = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
}


class WeightsAndBiases:
    """Logs to a project of W&B.

    Args:
        target: `PROJECT` or `ENTITY/PROJECT`.
        folder: The results folder; what is sent, or kept with WANDB_MODE=offline, lies in `wandb`
            below it, or below WANDB_DIR.

    Raises:
        UsageError: There is no key, and the mode is not offline.
    """

    def __init__(self, target: str, folder: Path) -> None:
        entity, _, project = (target or PROJECT).rpartition("/")
        self._entity, self._project = entity or None, project
        self._folder = Path(os.environ.get("WANDB_DIR") or folder)
        self._mode = wandb.setup().settings.mode  # WANDB_MODE, else what 'wandb offline' set
        self._address = ""
        if self._mode == "online" and not wandb.login(prompt=False, verify=False):
            wandb.teardown()
            raise UsageError(
                "wandb has no key: run 'wandb login', or set WANDB_MODE=offline to keep runs here"
            )

    @property
    def look(self) -> str:
        """The address of the project, or how to send what was kept."""
        kept = self._folder / "wandb"
        return self._address or f"wandb sync {kept}/offline-run-*"

    def log(self, run: TrackedRun) -> bool:
        """Send the run, or keep it; what an earlier one has sent is not sent again."""
        if self._mode == "offline" and self._kept(run):
            return False
        sent = wandb.init(
            entity=self._entity,
            project=self._project,
            id=run.cell_id,
            name=run.name,
            group=run.group,
            tags=[tag[:_LONGEST_TAG] for tag in run.tags],
            dir=self._folder,
            resume="allow",
            settings=wandb.Settings(**_SETTINGS),
        )
        self._address = "" if sent.offline else (sent.project_url or "")
        new = sent.config.get(_DIGEST) != run.digest
        if new:
            _write(sent, run)
        folder = Path(sent.dir).parent
        sent.finish(exit_code=0 if run.status is Status.DONE else 1)
        if sent.offline:
            (folder / _DIGEST).write_text(run.digest)
        return new

    def close(self) -> None:
        """End the service that sends runs."""
        wandb.teardown()

    def _kept(self, run: TrackedRun) -> bool:
        """Return whether the run is kept here; remove an earlier one that was not sent."""
        for folder in self._folder.glob(f"wandb/offline-run-*-{run.cell_id}"):
            digest = folder / _DIGEST
            if digest.exists() and digest.read_text() == run.digest:
                return True
            if not any(folder.glob("*.synced")):
                shutil.rmtree(folder)
        return False


def _write(sent: wandb.Run, run: TrackedRun) -> None:
    """Write settings, curves and final numbers."""
    ended = {"status": run.status.value, "reason": run.reason, _DIGEST: run.digest}
    sent.config.update({**run.config, **run.provenance, **ended}, allow_val_change=True)
    sent.define_metric("epoch")
    sent.define_metric("epoch/*", step_metric="epoch")
    # A step cannot be written twice: those that an earlier call has sent stay as they are.
    first = sent.step if sent.resumed else 0
    for epoch, values in run.epochs.items():
        if epoch >= first:
            sent.log({"epoch": epoch, **values}, step=epoch)
    sent.summary.update({**run.metrics, "status": run.status.value})
