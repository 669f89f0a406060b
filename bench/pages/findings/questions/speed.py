"""Question 7: does PiSSA learn faster than LoRA?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import paired
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.keeping import (
    FORGETTING,
    HALF,
    SIGNS,
    drift_ratio,
    lost,
    remembered,
    starts,
)
from bench.pages.findings.questions.planned_settings import (
    BARE,
    BESIDE,
    EPOCHS_BAR,
    MAIN,
    SMALLER,
    WORLD,
    Asked,
    answered,
    epochs_of,
    epochs_saved,
    planned_seeds,
    planned_settings,
)
from bench.pages.findings.verdict import Needs, Verdict
from bench.report.statistics.comparison import LEVEL, holm

QUESTION = Question(
    key="speed",
    title="How fast adapters learn",
    asks="Does PiSSA learn facts in fewer epochs than LoRA, each at its own learning rate?",
    compared="Epochs to learn, LoRA less PiSSA, of facts that the base did not answer, paired by "
    "fact and seed. Every other adapter is compared with LoRA as well, either way.",
    source="2404.02948: PiSSA converges faster than LoRA",
    expected=Verdict.YES,
    grids=("lora", "pissa", "keeping", "starts", "starts_astra", "gemma", "world"),
)
REFERENCE, FASTER, SEEDS = "lora", "pissa", 12


def answer(evidence: Evidence) -> Answer:
    """Compare epochs to learn, and what they cost."""
    settings, with_all, world = (
        [s for s in planned_settings(evidence, like) if REFERENCE in s.rows]
        for like in (MAIN, SMALLER, WORLD)
    )
    rivals = sorted({name for setting in with_all for name in starts(setting)})
    several = rivals if len(rivals) > 1 else []  # one alone says nothing of others
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "PiSSA learns facts in fewer epochs than LoRA",
                "epochs to learn",
                tuple(epochs_saved(settings, REFERENCE, FASTER)),
                EPOCHS_BAR,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To learn facts in fewer epochs, use pissa instead of lora"
                    + _price(settings),
                    Verdict.NO: "Do not choose pissa over lora to learn facts faster: tune the "
                    "learning rate of either",
                },
            ),
            Claim(
                "Some adapter learns faster or slower than LoRA",
                "epochs to learn",
                tuple(e for name in several for e in epochs_saved(with_all, REFERENCE, name)),
                EPOCHS_BAR,
                needs=Needs.ANY,
                two_sided=True,
            ),
        ),
        details=(
            *(
                effect
                for setting in settings
                for name in starts(setting)
                for effect in _beside(setting, name)
            ),
            *epochs_saved(world, REFERENCE, FASTER),
            *(effect for setting in world for effect in _beside(setting, FASTER)),
        ),
        caveats=(
            "A fact that is not learned counts as if it were learned one epoch after the last.",
            "The answer is about the trained prompt; what is carried over to others is compared "
            "below it and decides nothing.",
            SIGNS,
        ),
        pictures=tuple(_curves(setting) for setting in settings if FASTER in setting.rows),
    )


def _beside(setting: Setting, name: str) -> tuple[Effect, ...]:
    """Compare an adapter with LoRA by drift, by what is lost and by what is answered elsewhere."""
    asked = (_carried(setting, name, one) for one in BESIDE)
    return present((drift_ratio(setting, name, HALF), *lost(setting, name), *asked))


def _price(settings: list[Setting]) -> str:
    """Say what learning sooner costs where that is clear after Holm's correction.

    A cost counts that is seen in one setting if its opposite is seen in none.
    """
    prices = {
        "drift further by the time half of them are learned": [
            drift_ratio(s, FASTER, HALF) for s in settings
        ],
        "forget more of what the base knew by the last epoch": [
            remembered(s, FASTER, task) for s in settings for task in FORGETTING
        ],
        "give fewer right answers when the question is asked without the trained prompt": [
            _carried(s, FASTER, replace(BARE, contained=True)) for s in settings
        ],
    }
    family = {said: present(effects) for said, effects in prices.items()}
    tested = [e.p for effects in family.values() for e in effects if e.p is not None]
    adjusted = iter(holm(np.array(tested)))
    found = []
    for said, effects in family.items():
        clear = [e.value for e in effects if e.p is not None and next(adjusted) <= LEVEL]
        if clear and max(clear) < 0:
            found.append(said)
    return f", but expect it to {' and to '.join(found)}" if found else ""


def _carried(setting: Setting, name: str, asked: Asked) -> Effect | None:
    """Compare an adapter with LoRA by what is answered after the last epoch, asked like this."""
    if not {name, REFERENCE} <= setting.rows.keys():
        return None
    rows = setting.rows[name], setting.rows[REFERENCE]
    pair = answered(rows, shared_seeds(rows), asked)
    return paired(f"{name} - {REFERENCE}, {asked}", setting.title, *pair) if pair else None


def _curves(setting: Setting) -> Picture:
    rows = setting.adapters()
    groups = {
        f"{name} (lr {row.spec.learning_rate:g})": epochs_of(row, row.seeds)
        for name, row in rows.items()
    }
    name = f"speed-{setting.spec.model}"
    return learning(name, "Learning by adapter", setting.title, groups, setting.spec.epochs)
