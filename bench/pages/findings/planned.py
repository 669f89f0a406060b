"""What the pre-registration fixes in numbers: components, layouts, effects that count, grids.

Standard deviations are root mean squares over three tasks, of cells that were committed before any
grid of these questions and removed in f5db1b7: adapters at tuned rates, 64 facts, three seeds, ten
epochs. `Components.of` estimates them from other cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from bench.pages.findings.power import Components, Layout
from bench.pages.findings.verdict import Needs, Unit

BAR = 0.7
"""The rule's margin, as a part of the smallest effect that counts: a little above half leaves room
for a yes above it and for a no below it, with errors of a quarter of the effect that counts."""

EPOCHS_COUNT = 0.5
POINTS_COUNT = 5.0
RATIO_COUNTS = -math.log(0.75)
"""A quarter less drift."""
CORRELATED = 0.9
"""The smallest correlation that counts; its bar is a part of r, not of Fisher's z."""


def smallest_that_counts(bar: float, unit: Unit) -> float:
    """Return the smallest effect that counts, in `unit`, where the rule's margin is `bar`."""
    return math.atanh(CORRELATED) if unit is Unit.CORRELATION else bar / BAR


class PlannedUnit(StrEnum):
    """What an effect is counted in."""

    EPOCHS = "epochs"
    POINTS = "points"
    LOG_RATIO = "log ratio"


@dataclass(frozen=True, slots=True)
class PlannedClaim:
    """The first claim of a question, which answers it.

    Attributes:
        number: Of the question.
        outcome: The primary outcome and the decisive effect, in a few words.
        unit: What the effect is counted in.
        counts: The smallest effect that counts, in this unit.
        components: Of one comparison, in this unit.
        layout: What the claim is decided from.
    """

    number: int
    outcome: str
    unit: PlannedUnit
    counts: float
    components: Components
    layout: Layout

    @property
    def bar(self) -> float:
        """The rule's margin."""
        return BAR * self.counts


EPOCHS_BETWEEN_METHODS = Components(0.34, 0.53, 1.50)
"""Epochs to learn, a method less lora at tuned rates, 12 pairs in three tasks."""

EPOCHS_OF_A_FACT = Components(0.34, 0.0, 1.59)
"""The same where each seed has facts of its own: what facts add is part of the rest."""

EPOCHS_BETWEEN_THIRDS = Components(0.16, 0.87, 1.36)
"""Epochs to learn within relations, an outer third of distance less the middle one: facts and the
rest from the candidates at 1e-3, two seeds of 256 and of 128 facts, where seeds added nothing;
seeds from 15 rows of cells that came before."""

EPOCHS_TOGETHER = Components(0.20, 0.90, 1.15)
"""Exposures to learn, among others less alone, of at most 6: that of facts and the rest together,
1.5, from 20 facts of the committed study, how it divides and seeds are assumed."""

DRIFT_RATIO = Components(0.16, 0.10, 0.15)
"""Log ratio of drift to lora's: seeds from the final drift of 12 pairs, blocks of facts assumed."""

STRAYED_BETWEEN_THIRDS = Components(6.3, 27.9, 51.7)
"""Facts that strayed in the end, nearest third less farthest, of fictional: five rows."""

CARRIED_OVER = Components(14.0, 11.4, 57.4)
"""Right after demonstrations, a method less lora, of fictional."""

FORGOTTEN_ITEMS = Components(1.7, 33.5, 39.7)
"""Forgotten elements, a rival less kpm."""

STARTS = 7
"""Adapters that are compared with lora: before all have run, a claim about any of them is open."""

PLANNED = (
    PlannedClaim(
        1,
        "epochs to learn within relations: nearest third and farthest third, each less the middle",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_BETWEEN_THIRDS,
        Layout(seeds=12, facts=85, rivals=2),
    ),
    PlannedClaim(
        2,
        "share that strayed after four epochs: nearest third less farthest",
        PlannedUnit.POINTS,
        POINTS_COUNT,
        STRAYED_BETWEEN_THIRDS,
        Layout(seeds=6, facts=341),
    ),
    PlannedClaim(
        3,
        "exposures to learn at 6 of each fact: among 64 less alone",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_TOGETHER,
        Layout(seeds=8, facts=128),
    ),
    PlannedClaim(
        4,
        "epochs to learn on facts that both train: random_filter less filter",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_OF_A_FACT,
        Layout(seeds=12, facts=82),
    ),
    PlannedClaim(
        5,
        "epochs to learn: a middle window and occlusion, each less freeze",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_BETWEEN_METHODS,
        Layout(seeds=12, facts=128, rivals=2),
    ),
    PlannedClaim(
        6,
        "log ratio of drift where 50% are learned: lora over corda (kpm)",
        PlannedUnit.LOG_RATIO,
        RATIO_COUNTS,
        DRIFT_RATIO,
        Layout(seeds=12, facts=16),
    ),
    PlannedClaim(
        7,
        "epochs to learn: lora less pissa",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_BETWEEN_METHODS,
        Layout(seeds=12, facts=128),
    ),
    PlannedClaim(
        9,
        "right in the bare context: trained on mixed prompts less trained on plain",
        PlannedUnit.POINTS,
        POINTS_COUNT,
        CARRIED_OVER,
        Layout(seeds=5, facts=128),
    ),
)
"""By number. Question 8 is about a correlation, see `bench.pages.findings.design`."""

BESIDE = (
    PlannedClaim(
        6,
        "points of countries forgotten at the end: lora less corda (kpm)",
        PlannedUnit.POINTS,
        POINTS_COUNT,
        FORGOTTEN_ITEMS,
        Layout(seeds=12, facts=203),
    ),
    PlannedClaim(
        7,
        "epochs to learn: any of seven adapters against lora, either way",
        PlannedUnit.EPOCHS,
        EPOCHS_COUNT,
        EPOCHS_BETWEEN_METHODS,
        Layout(seeds=5, facts=128, rivals=STARTS, needs=Needs.ANY, two_sided=True),
    ),
)
"""Second claims whose power decided what the first one is."""


@dataclass(frozen=True, slots=True)
class PlannedGrid:
    """What a grid file, or a study, costs.

    Attributes:
        name: The file's name without ending, or the study's.
        questions: Which it serves.
        reported, tried: Cells that are reported, and candidates.
        facts: Facts of each.
        epochs: How often each is trained.
        items: Items of forgetting tasks that a reported cell asks.
        size: How much longer a cell takes than on the smaller base with plain prompts.
        drift: Whether drift is measured at every checkpoint.
        trained: The share of the work of an exposure, where layers or facts are left out.
    """

    name: str
    questions: str
    reported: int
    tried: int
    facts: int
    epochs: int
    items: int = 0
    size: float = 1.0
    drift: bool = True
    trained: float = 1.0

    @property
    def minutes(self) -> float:
        """Core-minutes, one core for a cell and two cells at a time."""
        train = self.facts * self.epochs * TRAIN * self.trained
        train += self.epochs * DRIFT if self.drift else 0.0
        reported = train + self.facts * ASK + self.items * ITEM
        tried = train + self.facts * ASK_TRIED
        return self.size * (self.reported * reported + self.tried * tried) / 60


TRAIN, ASK, ASK_TRIED, DRIFT, ITEM = 0.33, 1.1, 0.5, 9.0, 0.37
"""Seconds of a core: an exposure, all that is asked of a reported fact and of a candidate's, drift
at a checkpoint, an item. Means of six reported cells of straying.yaml, four of lora.yaml, and 14
candidates."""

ITEMS = 203 + 164
"""Items that the forgetting parts of countries and elements have."""

STUDY = "study interference"

GRIDS = (
    PlannedGrid("straying", "2", 6, 0, 512, 4, drift=False),
    PlannedGrid("lora", "1, 6, 7, 8, 9", 12, 6, 128, 6, items=ITEMS),
    PlannedGrid("pissa", "6, 7, 8", 12, 8, 128, 6, items=ITEMS),
    PlannedGrid("keeping", "6, 7, 8", 12, 6, 128, 6, items=ITEMS),
    PlannedGrid("strategies", "4", 24, 0, 128, 6, drift=False, trained=0.64),
    PlannedGrid("prompts_mixed", "9", 5, 6, 128, 6, size=1.3),
    PlannedGrid(STUDY, "3, 2", 8, 0, 384, 6, drift=False, size=1.75),
    PlannedGrid("layers", "5", 36, 24, 128, 6, trained=0.7),
    PlannedGrid("starts_astra", "6, 7, 8", 5, 6, 128, 6, items=ITEMS),
    PlannedGrid("starts", "6, 7, 8", 20, 24, 128, 6, items=ITEMS),
    PlannedGrid("prompts_few_shot", "9", 5, 6, 128, 6, size=1.7),
    PlannedGrid("strategies_more", "4", 30, 0, 128, 6, drift=False),
    PlannedGrid("world", "1, 7", 10, 16, 128, 6),
    PlannedGrid("gemma", "6, 7", 15, 18, 128, 6, items=ITEMS, size=2.0),
)
"""In the order in which they are run."""

BUDGET = 24.0
"""Core-hours for all."""
