"""The rows of the calibration study, and what each of them calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.leaderboard.board import Row, Section
from bench.studies.calibration.study import CalibrationOptions
from methods.adapters.corda import Corda
from methods.recipe import parse_recipe


@dataclass(frozen=True)
class Calibrated:
    """A row with what it calibrated on; mode and source are empty for the reference.

    What was measured is None without a finished cell.

    Attributes:
        row: The row of the leaderboard.
        mode, source: CorDA's parameters.
        samples: The largest number of calibration facts; None also where it is not limited.
        pack: Tokens per window; 0 where each text is a sample.
        windows: The number of samples: windows, or texts.
        tokens: Tokens of the calibration facts.
        low_rank: How many of the layer inputs have fewer calibration tokens than dimensions.
        inputs: The number of layer inputs.
        condition: The largest condition number of W C over the target modules.
        balance: ||A|| / ||B|| before training, the median over the target modules.
        balance_extreme: The same of the target module where it is farthest from 1.
    """

    row: Row
    mode: str
    source: str
    samples: int | None
    pack: int | None
    windows: int | None
    tokens: int | None
    low_rank: int | None
    inputs: int | None
    condition: float | None
    balance: float | None
    balance_extreme: float | None

    @property
    def label(self) -> str:
        """What it calibrated on, in two lines."""
        facts = "" if self.samples is None else f", {self.samples} facts"
        return f"{self.mode} on {self.source}{facts}\n{self.kind}"

    @property
    def kind(self) -> str | None:
        """What its samples are; None for the reference."""
        if self.pack is None:
            return None
        return f"windows of {self.pack:,}" if self.pack else "single texts"


def calibrated_rows(options: CalibrationOptions, section: Section) -> list[Calibrated]:
    """Return the rows in the order of the options; the reference comes first."""
    rows = [_calibrated(row) for row in section.rows]
    modes, sources = ("", *options.modes), ("", *options.sources)
    return sorted(
        rows,
        key=lambda r: (
            modes.index(r.mode),
            sources.index(r.source),
            r.samples or 0,
            options.packs.index(r.pack) if r.pack in options.packs else -1,
        ),
    )


def _calibrated(row: Row) -> Calibrated:
    adapter = parse_recipe(row.spec.method).adapter
    corda = adapter if isinstance(adapter, Corda) else None
    notes = next((cell.record.notes for cell in row.cells), {})
    return Calibrated(
        row=row,
        mode=corda.mode if corda else "",
        source=corda.calibration if corda else "",
        samples=corda.samples if corda else None,
        pack=corda.pack if corda else None,
        windows=notes.get("calibration_samples"),
        tokens=notes.get("calibration_tokens"),
        low_rank=notes.get("calibration_low_rank"),
        inputs=notes.get("calibration_inputs"),
        condition=notes.get("condition_largest"),
        balance=notes.get("balance_median"),
        balance_extreme=notes.get("balance_extreme"),
    )
