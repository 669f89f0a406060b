"""Does accuracy fall at short and at long target distance?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.findings import pictures
from bench.findings.answer import (
    WIDE_POINTS,
    Answer,
    Claim,
    Effect,
    Question,
    Verdict,
    present,
)
from bench.findings.effects import Flags, between
from bench.findings.evidence import Evidence, Setting, most_complete, shared_seeds, told, values
from bench.report.board import Row
from bench.report.buckets import bucket_of, edges_of, quantile_buckets
from bench.report.statistics import Floats

QUESTION = Question(
    key="distance",
    title="Accuracy against target distance",
    asks="Does accuracy fall at short and at long target distance? For which methods, and does it "
    "survive among facts the base did not know?",
    compared="Facts lie in up to five buckets of equal size by the distance of the base's answer "
    "to the target. The buckets between the ends are compared with the nearest and with the "
    "farthest, on the mean over all adapters; adapter by adapter the same below. The first claim "
    "needs both.",
    source="2405.18292, figure 3: accuracy falls at both ends for every method and model",
    expected=Verdict.YES,
    grids=("adapters", "fictional", "nq_open", "gemma"),
)

LEAST_BUCKETS = 3
NEAREST, FARTHEST = ENDS = ("nearest", "farthest")


@dataclass(frozen=True)
class Ends:
    """Which facts `[facts]` lie in the nearest bucket, the farthest, and between."""

    near: Flags
    far: Flags
    middle: Flags


def answer(evidence: Evidence) -> Answer:
    """Compare the ends with the middle, for all facts and for those the base did not answer."""
    found = told(setting for setting in evidence.settings if setting.adapters())
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Accuracy is lower at both ends of target distance than between them",
                _pooled(found, ENDS),
                WIDE_POINTS,
                least_effects=len(ENDS),
            ),
            # Among all facts the nearest are those that the base knows: no ground for advice.
            *(
                Claim(
                    f"Of the facts that the base did not answer, the {end} are answered less often "
                    "than those between",
                    _pooled(found, (end,), unknown_only=True),
                    WIDE_POINTS,
                    advice=_advice(end),
                )
                for end in ENDS
            ),
        ),
        details=tuple(_per_adapter(found)),
        caveats=tuple(_caveats(found)),
        pictures=tuple(pictures.of_sections("distance-buckets", found)),
    )


def _advice(end: str) -> dict[Verdict, str]:
    where = f"{end} {'to' if end == NEAREST else 'from'} what the model says now"
    return {
        Verdict.YES: f"Expect the facts {where} to be learned worst, and check those first",
        Verdict.NO: f"Do not leave out the facts {where} for being hard: they are not learned "
        "worse than those between by what counts",
    }


def _pooled(
    settings: list[Setting], ends: Sequence[str], *, unknown_only: bool = False
) -> tuple[Effect, ...]:
    return tuple(
        effect
        for setting in settings
        for effect in _effects(setting, setting.adapters(), "all adapters", ends, unknown_only)
    )


def _per_adapter(settings: list[Setting]) -> Iterator[Effect]:
    for setting in settings:
        for method, row in setting.adapters().items():
            for unknown_only in (False, True):
                yield from _effects(setting, {method: row}, method, ENDS, unknown_only)


def _effects(
    setting: Setting, rows: Mapping[str, Row], who: str, ends: Sequence[str], unknown_only: bool
) -> tuple[Effect, ...]:
    """Return the middle minus each of some ends, of the mean over some rows."""
    pooled = most_complete(rows.values())
    seeds = shared_seeds(pooled)
    places = ends_of(pooled[0], unknown_only=unknown_only)
    if places is None or not seeds:
        return ()
    correct: Floats = np.mean([values(row, seeds) for row in pooled], axis=0)
    facts = "facts the base did not answer" if unknown_only else "all facts"
    sides = {NEAREST: places.near, FARTHEST: places.far}
    return present(
        between(
            f"{who}, {facts}: middle - {end}", setting.title, correct, places.middle, sides[end]
        )
        for end in ends
    )


def ends_of(row: Row, *, unknown_only: bool) -> Ends | None:
    """Divide a row's facts by distance; None where there are fewer than three buckets."""
    rows = row.cells[0].rows
    distances = rows["distance_before"].to_numpy(dtype=np.float64)
    counted = np.isfinite(distances)
    if unknown_only:
        counted = counted & ~rows["correct_before"].to_numpy(dtype=np.bool_)
    buckets = quantile_buckets(distances[counted])
    if len(buckets) < LEAST_BUCKETS:
        return None
    places = bucket_of(distances, edges_of(buckets))
    last = len(buckets) - 1
    return Ends(
        near=counted & (places == 0),
        far=counted & (places == last),
        middle=counted & (places > 0) & (places < last),
    )


def _caveats(settings: list[Setting]) -> Iterator[str]:
    for setting in settings:
        rows = list(setting.adapters().values())
        known = values(rows[0], rows[0].seeds[:1], "correct_before")[0]
        yield (
            f"{setting.title}: the base answers {100 * known.mean():.0f} % of the facts, whose "
            "distance is 0; they are most of the nearest bucket of all facts where they are a "
            "fifth or more."
        )
        learned = [100 * values(row, row.seeds).mean() for row in rows]
        yield (
            f"{setting.title}: after training adapters answer {min(learned):.0f} to "
            f"{max(learned):.0f} % of the facts; where nearly all are learned, little is left for "
            "distance to explain."
        )
        if ends_of(rows[0], unknown_only=True) is None:
            yield f"{setting.title}: too few distinct distances among unknown facts for buckets."
