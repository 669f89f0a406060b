"""Question 7: does PiSSA learn faster than LoRA?"""

from __future__ import annotations

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.pictures import learning
from bench.pages.findings.planned import STARTS
from bench.pages.findings.questions.against_lora import (
    DRIFTS,
    REFERENCE,
    SIGNS,
    at_own_rate,
    carried,
    drift_ratio,
    lost,
    price,
    several,
    starts,
    with_lora,
)
from bench.pages.findings.questions.keeping import KEEPS
from bench.pages.findings.questions.levels import HALF, learned
from bench.pages.findings.questions.planned_settings import (
    BESIDE,
    EPOCHS_BAR,
    MAIN,
    SMALLER,
    WORLD,
    epochs_of,
    epochs_saved,
    planned_seeds,
)
from bench.pages.findings.verdict import Needs, Verdict

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
FASTER, SEEDS = "pissa", 12


def answer(evidence: Evidence) -> Answer:
    """Compare epochs to learn, and what they cost."""
    settings, with_all, world = (with_lora(evidence, like) for like in (MAIN, SMALLER, WORLD))
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
                    Verdict.YES: "To learn facts in fewer epochs than lora, use pissa "
                    + at_own_rate(settings, FASTER)
                    + price(settings, FASTER),
                    Verdict.NO: "Do not choose pissa over lora to learn facts faster: tune the "
                    "learning rate of either",
                },
            ),
            Claim(
                "Some adapter learns faster or slower than LoRA",
                "epochs to learn",
                tuple(
                    e for name in several(with_all) for e in epochs_saved(with_all, REFERENCE, name)
                ),
                EPOCHS_BAR,
                needs=Needs.ANY,
                two_sided=True,
                least_rivals=STARTS,
            ),
        ),
        details=(
            *(
                effect
                for setting in settings
                for name in starts(setting)
                if name != KEEPS
                for effect in _beside(setting, name)
            ),
            *epochs_saved(settings, FASTER, KEEPS),
            *epochs_saved(world, REFERENCE, FASTER),
            *(effect for setting in world for effect in _beside(setting, FASTER)),
        ),
        measured=tuple(
            effect for setting in settings for effect in learned(setting, setting.adapters())
        ),
        caveats=(
            "A fact that is not learned counts as if it were learned one epoch after the last.",
            "The answer is about the trained prompt; what is carried over to others is compared "
            "below it and decides nothing.",
            "What a training takes in time and memory is not compared: not all ran on one kind of "
            "machine.",
            SIGNS,
            DRIFTS,
        ),
        pictures=tuple(_curves(setting) for setting in settings if FASTER in setting.rows),
    )


def _beside(setting: Setting, name: str) -> tuple[Effect, ...]:
    """Compare an adapter with LoRA by drift, by what is lost and by what is answered elsewhere."""
    asked = (carried(setting, name, one) for one in BESIDE)
    return present((drift_ratio(setting, name, HALF), *lost(setting, name), *asked))


def _curves(setting: Setting) -> Picture:
    rows = setting.adapters()
    groups = {
        f"{name} (lr {row.spec.learning_rate:g})": epochs_of(row, row.seeds)
        for name, row in rows.items()
    }
    name = f"speed-{setting.spec.model}"
    return learning(name, "Learning by adapter", setting.title, groups, setting.spec.epochs)
