"""Question 5: are the layers that freezing chooses the right ones?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import mean_of
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.levels import drifted, learned
from bench.pages.findings.questions.planned_settings import (
    EPOCHS_BAR,
    epochs_of,
    epochs_saved,
    planned_seeds,
    planned_settings,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats
from bench.store.records import PhaseName
from methods.notes import layer_ranges

QUESTION = Question(
    key="layers",
    title="Which layers to train",
    asks="Do the layers that freezing leaves trainable learn facts sooner than other layers with "
    "as many trained parameters?",
    compared="Epochs to learn of facts that the base did not answer: a window of as many middle "
    "layers, and the layers that occlusion finds, each less freeze, with as many trained "
    "parameters and each at its own learning rate. A yes needs both.",
    source="2406.11753: semantic layer freezing chooses where to fine-tune",
    expected=Verdict.YES,
    grids=("layers", "lora"),
)
SPREAD = "lora[r=4,spread=true]"
EVERYWHERE, FREEZE, SEEDS = "lora", f"{SPREAD}+freeze", 12
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
                    Verdict.YES: "If you train a third of the layers, train those that freeze "
                    "leaves, and not as many in the middle or those that occlusion finds",
                    Verdict.NO: "Do not count on freeze to find the best layers for facts: "
                    "other layers, with as many trained parameters, learn them about as fast",
                },
            ),
        ),
        details=tuple(epochs_saved(settings, EVERYWHERE, FREEZE)),
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
            "FLOPs are counted. Seconds depend on the machine and on what ran beside: LoRA's "
            "trainings and those of the placements ran at different times.",
            "A fact that is not learned counts as if it were learned one epoch after the last.",
        ),
        pictures=tuple(_curves(setting) for setting in settings),
    )


def _placed(setting: Setting) -> dict[str, Row]:
    """Return the rows of LoRA on all layers and of the placements."""
    names = (EVERYWHERE, FREEZE, *RIVALS)
    return {name: setting.rows[name] for name in names if name in setting.rows}


def _layers(setting: Setting) -> Iterator[str]:
    """Say which layers a placement trains, which calibration may choose anew with each seed."""
    for name, row in _placed(setting).items():
        chosen = Counter(tuple(cell.record.notes.get("layers") or ()) for cell in row.cells)
        chosen.pop((), None)
        if chosen:
            said = [
                layer_ranges(layers)
                + (f" (in {n} of {len(row.cells)} seeds)" if n < len(row.cells) else "")
                for layers, n in chosen.most_common()
            ]
            yield f"{name} trains layers {'; '.join(said)} on {setting.spec.model}"


def _curves(setting: Setting) -> Picture:
    rows = _placed(setting)
    groups = {name: epochs_of(row, row.seeds) for name, row in rows.items()}
    heading = "Learning by trained layers"
    return learning("layers", heading, setting.title, groups, setting.spec.epochs)


def _costs(setting: Setting) -> Iterator[Effect]:
    """Yield the FLOPs and the seconds of training of each placement, in percent of all layers'."""
    others = _placed(setting)
    everywhere = others.pop(EVERYWHERE, None)
    for name, row in others.items() if everywhere else ():
        assert everywhere is not None
        seeds = shared_seeds([row, everywhere])
        for what, of in (("FLOPs", _flops), ("seconds", _seconds)):
            share = of(row, seeds) / of(everywhere, seeds)
            if seeds and not np.isnan(share).any():
                about = f"{what} of {name} / {EVERYWHERE}"
                yield mean_of(about, setting.title, share[:, None], Unit.PERCENT)


def _flops(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return the operations of training, `[seeds]`; NaN where they were not counted."""
    return np.array([c.record.flops or np.nan for c in row.cells if c.record.spec.seed in seeds])


def _seconds(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return the wall time of training, `[seeds]`."""
    cells = [cell for cell in row.cells if cell.record.spec.seed in seeds]
    return np.array([cell.record.phases[PhaseName.TRAIN].seconds for cell in cells])
