"""What is logged of a cell: its settings, curves and final numbers, in a tracker's plain types."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.planning.planned_cell import setting_digest
from bench.redaction import safe_text
from bench.store.records import CellRecord, CellSpec, Status
from bench.trackers.numbers import curves_of, metrics_of
from tasks.notation import parse_part, split_outside_brackets

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = str | int | float | bool

_NAME_LENGTH = 100
"""Characters of a name before its id; W&B takes 128 in all."""


@dataclass(frozen=True)
class TrackedRun:
    """One cell as a tracker stores it.

    Attributes:
        cell_id: Identifies the run in every tracker.
        name: For people; unique, since it ends with the first characters of the id.
        group: What runs have in common that differ in their seeds alone; unique likewise.
        folders: Where the run lies in a tree of folders: model and task, method, seed.
        config: What identifies the cell, and every parameter of its recipe.
        provenance: What it ran with: commit, versions, device, and what parts noted.
        metrics: Final numbers, by their columns in `leaderboard.csv`.
        curves: By name, what was measured after each epoch; epoch 0 is before training.
        status: How the cell ended.
        reason: Why it is not done; empty if it is.
        finished: When it ended, in seconds since 1970; 0 if that was not recorded.
    """

    cell_id: str
    name: str
    group: str
    folders: tuple[str, ...]
    config: dict[str, Scalar]
    provenance: dict[str, Scalar]
    metrics: dict[str, float]
    curves: dict[str, dict[int, float]]
    status: Status
    reason: str
    finished: float

    @cached_property
    def digest(self) -> str:
        """Digest of all that is logged: 16 hexadecimal digits."""
        content = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def tags(self) -> tuple[str, ...]:
        """What runs are filtered by."""
        found = (self.config.get(name) for name in ("model", "task", "method"))
        return (*dict.fromkeys(str(value) for value in found), str(self.status))

    @property
    def epochs(self) -> dict[int, dict[str, float]]:
        """The curves by epoch, in order."""
        found: dict[int, dict[str, float]] = {}
        for name, values in self.curves.items():
            for epoch, value in values.items():
                found.setdefault(epoch, {})[name] = value
        return dict(sorted(found.items()))


def tracked_run(record: CellRecord, facts: pa.Table) -> TrackedRun:
    """Return what is logged of a cell, with no hub token and no control character in it.

    Args:
        record: The cell's record.
        facts: Its fact rows, at least the columns of `bench.trackers.numbers.FACT_COLUMNS`.
    """
    spec = record.spec
    setting = setting_digest(spec)[:8]
    method = f"{spec.method} {spec.started}".strip()
    name = f"{method} {spec.task} seed {spec.seed}"
    group = f"{spec.model} {spec.task} {method}"
    places = (f"{spec.model} {spec.task}", f"{method} {setting}", f"seed {spec.seed}")
    # Notes of every layer, hundreds of numbers, stay in the record.
    notes = {name: value for name, value in record.notes.items() if not isinstance(value, Mapping)}
    kept = {**_flat("", record.provenance), **_flat("notes.", notes)}
    if record.warnings:
        kept["warnings"] = "\n".join(record.warnings)
    return TrackedRun(
        cell_id=record.cell_id,
        name=f"{safe_text(name)[:_NAME_LENGTH]} {record.cell_id[:8]}",
        group=f"{safe_text(group)[:_NAME_LENGTH]} {setting}",
        folders=tuple(map(safe_text, places)),
        config=_safe({**_flat("", _identity(spec)), **dict(_parameters(spec.recipe))}),
        provenance=_safe(kept),
        metrics=metrics_of(record),
        curves=curves_of(record, facts),
        status=record.status,
        reason=safe_text(record.reason),
        finished=_seconds(record.provenance.get("finished")),
    )


def _identity(spec: CellSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"schema_version"})


def _parameters(recipe: str) -> Iterator[tuple[str, Scalar]]:
    """Yield each parameter of a recipe with all of them: `lora.r` and 16."""
    for written in split_outside_brackets(recipe, "+"):
        part, parameters = parse_part(written)
        for name, value in parameters.items():
            yield f"{part}.{name}", _number(value)


def _number(written: str) -> Scalar:
    for kind in (int, float):
        try:
            number = kind(written)
        except ValueError:
            continue
        return number if math.isfinite(number) else written
    return written


def _flat(prefix: str, content: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return what is a number or a text, with nested names joined by dots; lists are left out."""
    found: dict[str, Scalar] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}{name}.", value)
        elif isinstance(value, str | int | float) and value != "":
            found[prefix + name] = value
    return found


def _safe(content: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {
        safe_text(name): safe_text(value, breaks=True) if isinstance(value, str) else value
        for name, value in content.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _seconds(finished: object) -> float:
    try:
        return datetime.fromisoformat(str(finished)).timestamp()
    except ValueError:  # of an older record, or of one from elsewhere
        return 0.0
