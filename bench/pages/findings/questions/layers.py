"""Question 5: are the layers that freezing chooses the right ones?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import over_seeds
from bench.pages.findings.evidence import Evidence, Setting, cells_of, shared_seeds
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.against_lora import (
    DRIFTS,
    at_own_rate,
    carried,
    drift_ratio,
)
from bench.pages.findings.questions.levels import HALF, drifted, learned
from bench.pages.findings.questions.planned_settings import (
    BESIDE,
    EPOCHS_BAR,
    epochs_of,
    epochs_saved,
    planned_seeds,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Cell, Row
from bench.report.statistics.comparison import LEVEL
from bench.store.records import PhaseName
from methods.notes import layer_ranges

QUESTION = Question(
    key="layers",
    title="Which layers to train",
    asks="Do the layers that freezing leaves trainable learn facts sooner than middle layers and "
    "than those that occlusion finds, with as many trained parameters?",
    compared="Epochs to learn of facts that the base did not answer: a window of as many middle "
    "layers, and the layers that occlusion finds, each less freeze, with as many trained "
    "parameters and each at its own learning rate. A yes needs both.",
    source="2406.11753: semantic layer freezing chooses where to fine-tune",
    expected=Verdict.YES,
    grids=("layers", "lora"),
)
SPREAD = "lora[r=4,spread=true]"
EVERYWHERE, FREEZE, SEEDS = "lora", f"{SPREAD}+freeze", 12
_FLOPS = "FLOPs of training, {} / {}"
RIVALS = (f"{SPREAD}+window[first=11,last=20]", f"{SPREAD}+occlusion")


def answer(evidence: Evidence) -> Answer:
    """Compare placements by epochs to learn, and by what they cost."""
    settings = [s for s in planned_settings(evidence) if FREEZE in s.rows]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "The layers above the cut of freezing learn facts sooner than a middle window and "
                "than the layers that occlusion finds",
                "epochs to learn",
                tuple(e for rival in RIVALS for e in epochs_saved(settings, rival, FREEZE)),
                EPOCHS_BAR,
                planned=planned_seeds(settings, SEEDS),
                least_rivals=len(RIVALS),
                advice={
                    Verdict.YES: "If you train a third of the layers, let freeze choose them (a "
                    f"rebuilt formula{_here(settings)}), {at_own_rate(settings, FREEZE)}: they "
                    "learn facts sooner than as many in the middle and, at these rates, than those "
                    "that occlusion finds" + _against_all(settings),
                    Verdict.NO: "Do not count on freeze to find the best layers for facts: "
                    "some others, with as many trained parameters, learn them about as fast, or "
                    "faster",
                },
            ),
        ),
        details=(
            *epochs_saved(settings, EVERYWHERE, FREEZE),
            *(effect for setting in settings for effect in _beside(setting)),
        ),
        measured=tuple(
            effect
            for setting in settings
            for effect in (
                *learned(setting, _placed(setting)),
                *drifted(setting, _placed(setting)),
                *_costs(setting),
            )
        ),
        caveats=(
            *(f"{line}." for setting in settings for line in _layers(setting)),
            "The three placements have as many trained parameters as LoRA of rank 4 on all layers; "
            "LoRA, beside them, has rank 16.",
            "FLOPs are those of training, without what finding the layers takes, and are counted. "
            "Seconds are those of preparation, as if nothing had been cached, and of training. The "
            "placements ran one after another, and LoRA ran at another time, so seconds are "
            "compared among the placements only; other load on the machine is included.",
            "Above zero, or a ratio above 1, is better than lora in every comparison with it, but "
            "for FLOPs, of which fewer is better.",
            DRIFTS,
            "Drift with 50% learned is that of the seeds that reached it.",
            "A fact that is not learned counts as if it were learned one epoch after the last.",
        ),
        pictures=tuple(_curves(setting) for setting in settings),
    )


def _placed(setting: Setting) -> dict[str, Row]:
    """Return the rows of LoRA on all layers and of the placements."""
    names = (EVERYWHERE, FREEZE, *RIVALS)
    return {name: setting.rows[name] for name in names if name in setting.rows}


def _beside(setting: Setting) -> tuple[Effect, ...]:
    """Compare freeze with LoRA on all layers by drift, and by what is answered elsewhere."""
    asked = (carried(setting, FREEZE, one) for one in BESIDE)
    return present((drift_ratio(setting, FREEZE, HALF), *asked))


def _against_all(settings: list[Setting]) -> str:
    """Say what freeze saves of LoRA's FLOPs, and that it drifts further.

    More drift counts that is clear on one base if the opposite is clear on none.
    """
    name = _FLOPS.format(FREEZE, EVERYWHERE)
    saved = [e.value for s in settings for e in _costs(s) if e.name == name]
    found = present(drift_ratio(setting, FREEZE, HALF) for setting in settings)
    clear = [e.value < 0 for e in found if e.p is not None and e.p <= LEVEL]
    said = []
    if saved:
        said.append(f"training takes {np.exp(np.mean(saved)):.2f} times the FLOPs")
    if clear and all(clear):
        said.append("expect more drift by the time half of the facts are learned")
    return f". Compared with lora on all layers: {'; '.join(said)}" if said else ""


def _chosen(row: Row) -> Counter[tuple[tuple[int, ...], int | None]]:
    """Return in how many seeds which layers were trained, and with what rank."""
    return Counter(
        (tuple(notes.get("layers") or ()), notes.get("spread_rank"))
        for notes in (cell.record.notes for cell in row.cells)
    )


def _here(settings: list[Setting]) -> str:
    """Name the layers that freeze leaves, if they are the same in every cell."""
    found = {layers for s in settings for layers, _ in _chosen(s.rows[FREEZE])}
    counts = {c.record.notes.get("layer_count") for s in settings for c in s.rows[FREEZE].cells}
    if len(found) > 1 or len(counts) > 1 or not any(found) or None in counts:
        return ""
    return f"; here layers {layer_ranges(*found)} of {counts.pop()}"


def _layers(setting: Setting) -> Iterator[str]:
    """Say which layers a placement trains, which each seed may choose anew, and with what rank."""
    for name, row in _placed(setting).items():
        found = _chosen(row)
        chosen = [(layers, rank, n) for (layers, rank), n in found.most_common() if layers]
        said = [
            f"layers {layer_ranges(layers)}"
            + (f" with rank {rank}" if rank else "")
            + (f" (in {n} of {len(row.cells)} seeds)" if n < len(row.cells) else "")
            for layers, rank, n in chosen
        ]
        if said:
            yield f"{name} trains {'; '.join(said)} on {setting.spec.model}"


def _curves(setting: Setting) -> Picture:
    rows = _placed(setting)
    facts = unknown(*rows.values())
    groups = {
        f"{name} (lr {row.spec.learning_rate:g})": epochs_of(row, row.seeds, facts)
        for name, row in rows.items()
    }
    heading = "Learning by trained layers"
    return learning("layers", heading, setting.title, groups, setting.spec.epochs)


def _costs(setting: Setting) -> Iterator[Effect]:
    """Yield what training costs: FLOPs over those of all layers, seconds over those of freeze."""
    placed = _placed(setting)
    for names, base, what, of in (
        ((FREEZE, *RIVALS), EVERYWHERE, _FLOPS, _flops),
        (RIVALS, FREEZE, "seconds of preparation and training, {} / {}", _seconds),
    ):
        for name in names:
            if {name, base} <= placed.keys():
                seeds = shared_seeds([placed[name], placed[base]])
                own, other = (
                    np.array([*map(of, cells_of(placed[n], seeds))]) for n in (name, base)
                )
                ratios = [np.full(setting.spec.facts, np.log(r)) for r in own / other]
                if ratios and not np.isnan(ratios).any():
                    about = what.format(name, base)
                    yield over_seeds(about, setting.title, ratios, Unit.LOG_RATIO)


def _flops(cell: Cell) -> float:
    """Return the operations of training; NaN where they were not counted."""
    return cell.record.flops or np.nan


def _seconds(cell: Cell) -> float:
    """Return the wall time of preparation and training, as if nothing had been cached."""
    counted = PhaseName.PREPARE, PhaseName.TRAIN
    return sum(one.seconds_cold for name, one in cell.record.phases.items() if name in counted)
