"""Reads runs back by the trackers' own means: what each of them holds of a cell."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from bench.trackers.numbers import EPOCH


@dataclass
class StoredRun:
    """A run as its tracker holds it; `group` is what its seeds share there."""

    group: str
    config: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, name: str, step: int, value: float) -> None:
        if not name.startswith(EPOCH):
            assert name not in self.metrics, f"{name} is logged twice"
            self.metrics[name] = value
            return
        points = self.curves.setdefault(name, {})
        assert step not in points, f"{name} is logged twice at {step}"
        points[step] = value


def tensorboard_runs(folder: Path) -> list[StoredRun]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import (
        SESSION_START_INFO_TAG,
        parse_session_start_info_plugin_data,
    )
    from tensorboard.util.tensor_util import make_ndarray

    found = []
    for place in sorted({path.parent for path in folder.rglob("*tfevents*")}):
        events = EventAccumulator(str(place), size_guidance={"tensors": 0}).Reload()
        metadata = events.SummaryMetadata(SESSION_START_INFO_TAG)
        session = parse_session_start_info_plugin_data(metadata.plugin_data.content)
        run = StoredRun(session.group_name)
        for name, value in session.hparams.items():
            run.config[name] = str(getattr(value, value.WhichOneof("kind")))
        for name in events.Tags()["tensors"]:
            if events.SummaryMetadata(name).plugin_data.plugin_name != "scalars":
                continue
            for event in events.Tensors(name):
                run.add(name, event.step, make_ndarray(event.tensor_proto).item())
        found.append(run)
    return found


def mlflow_runs(uri: str) -> list[StoredRun]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    [experiment] = client.search_experiments(filter_string="name = 'semantic-peft-bench'")
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    found = []
    for run in runs:
        if "cell_id" not in run.data.tags:
            continue
        stored = StoredRun(names[run.data.tags["mlflow.parentRunId"]], dict(run.data.params))
        for name in run.data.metrics:
            for point in client.get_metric_history(run.info.run_id, name):
                stored.add(name, point.step, point.value)
        found.append(stored)
    return found


def wandb_runs(folder: Path) -> list[StoredRun]:
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        run = StoredRun("")
        for content in log_records(path.read_bytes()):
            record = Record.FromString(content)
            kind = record.WhichOneof("record_type")
            if kind == "run" and record.run.run_group:
                run.group = record.run.run_group
            if kind == "config":
                for item in record.config.update:
                    run.config[_key(item)] = str(json.loads(item.value_json))
            if kind == "history":
                pairs = [(_key(item), json.loads(item.value_json)) for item in record.history.item]
                for name, value in pairs:
                    if name.startswith(EPOCH):
                        run.add(name, dict(pairs)["epoch"], value)
            if kind == "summary":
                for item in record.summary.update:
                    name = _key(item)
                    if not name.startswith((EPOCH, "_")) and name not in ("epoch", "status"):
                        run.metrics[name] = json.loads(item.value_json)
        found.append(run)
    return found


def _key(item) -> str:
    return item.key or item.nested_key[0]


def log_records(content: bytes):
    """The records of a file in LevelDB's log format, behind W&B's header of 7 bytes.

    Blocks of 32 KiB hold pieces with a checksum (4 bytes), a length (2) and a type (1): whole,
    first, middle or last.
    """
    block, place, record = 32768, 7, b""
    while place + 7 <= len(content):
        left = block - place % block
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def trackio_runs(project: str) -> list[StoredRun]:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    found = []
    for run in trackio.Api().runs(project):
        config = {name: str(value) for name, value in run.config.items()}
        stored = StoredRun(config["_Group"], config)
        for line in SQLiteStorage.get_logs(project, run.name, run_id=run.id):
            for name, value in line.items():
                if name not in ("step", "timestamp"):
                    stored.add(name, line["step"], value)
        found.append(stored)
    return found
