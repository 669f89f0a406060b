"""The settings that questions are asked in, and epochs to learn facts the base did not answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bench.pages.findings.claim import Effect
from bench.pages.findings.effects import Flags, mean_of
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds, values_of
from bench.pages.findings.planned import BAR, EPOCHS_COUNT
from bench.pages.findings.verdict import Unit
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats

EPOCHS_BAR = BAR * EPOCHS_COUNT
"""The rule's margin for epochs to learn."""

TASK = "fictional"
EPOCHS, BATCH, SCHEDULE, PROMPT = 6, 8, "constant", "plain"


def planned_settings(evidence: Evidence) -> list[Setting]:
    """Return the settings of the design: invented facts, tuned, trained as it says."""
    return [setting for setting in evidence.settings if _is_planned(setting)]


def _is_planned(setting: Setting) -> bool:
    spec = setting.spec
    trained = (spec.epochs, spec.batch_size, spec.schedule, spec.train_prompt)
    asked = setting.tuned and spec.task.split("[")[0] == TASK
    return asked and trained == (EPOCHS, BATCH, SCHEDULE, PROMPT)


def unknown(row: Row) -> Flags:
    """Return which facts the base did not answer, `[facts]`; it is the same in every cell."""
    return ~row.cells[0].rows["correct_before"].to_numpy(dtype=np.bool_)


def epochs_of(row: Row, seeds: Sequence[int]) -> Floats:
    """Return the epochs after which unknown facts are learned, `[seeds, unknown facts]`."""
    return values_of(row, seeds, "epochs_to_learn")[:, unknown(row)]


def epochs_saved(settings: Iterable[Setting], slow: str, fast: str) -> Iterator[Effect]:
    """Compare two methods by epochs to learn, `slow - fast`, in every setting that has both."""
    for setting in settings:
        if {slow, fast} <= set(setting.rows):
            rows = setting.rows[slow], setting.rows[fast]
            seeds = shared_seeds(rows)
            if seeds:
                one, other = (epochs_of(row, seeds) for row in rows)
                yield mean_of(f"{slow} - {fast}", setting.title, one - other, Unit.EPOCHS)
