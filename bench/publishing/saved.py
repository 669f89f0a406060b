"""Find what a cell has saved, without importing torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.store.records import CellRecord, CellSpec, Status
from bench.store.store import ID_SHOWN, ResultsStore
from methods.peft_config import FILE
from tasks.errors import UsageError

CARD = "README.md"
"""The model card of a saved adapter, which the hub shows as the page of its repository."""


@dataclass(frozen=True)
class SavedAdapter:
    """What a cell has saved.

    Attributes:
        record: The cell's record.
        folder: An adapter in PEFT's format, or a transformers folder with all weights.
    """

    record: CellRecord
    folder: Path

    @property
    def spec(self) -> CellSpec:
        """What identifies the cell."""
        return self.record.spec

    @property
    def holds_all_weights(self) -> bool:
        """Whether the folder is a whole model, as `full` saves it."""
        return not (self.folder / FILE).is_file()

    @cached_property
    def config(self) -> dict[str, Any]:
        """PEFT's configuration as it is stored; empty for a whole model.

        Raises:
            UsageError: It cannot be read.
        """
        if self.holds_all_weights:
            return {}
        try:
            content: dict[str, Any] = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"'{self.folder / FILE}' cannot be read ({error}): run the cell again with "
                "--save-adapters --rerun all"
            ) from error
        return content


def find_saved(results: Path, prefix: str) -> SavedAdapter:
    """Return what the cell whose id starts with `prefix` has saved.

    Raises:
        UsageError: No cell or several begin so, or it has saved nothing.
    """
    record = ResultsStore(results).find(prefix)
    named = f"cell {record.cell_id[:ID_SHOWN]} ({record.spec.method} on {record.spec.task})"
    if record.status is not Status.DONE:
        raise UsageError(f"{named} has no adapter: it ended as {record.status.value}")
    if not record.adapter_path:
        why = next((line for line in record.warnings if "was not saved" in line), "")
        how = why or "run the same grid once more with --save-adapters"
        raise UsageError(f"{named} has no saved adapter: {how}")
    folder = results / record.adapter_path
    if not folder.is_dir():
        raise UsageError(
            f"{named} has saved its adapter to '{folder}', which is gone: copy it back, or run the "
            "grid again with --save-adapters --rerun all"
        )
    return SavedAdapter(record, folder)


def all_saved(results: Path) -> list[SavedAdapter]:
    """Return every adapter of a results folder that is there.

    Raises:
        UsageError: There is none.
    """
    records = ResultsStore(results).records().records
    done = [record for record in records if record.status is Status.DONE and record.adapter_path]
    found = [SavedAdapter(record, results / record.adapter_path) for record in done]
    found = [saved for saved in found if saved.folder.is_dir()]
    if not found:
        raise UsageError(
            f"no saved adapter in '{results}': run a grid with --save-adapters, or give --out"
        )
    return found
