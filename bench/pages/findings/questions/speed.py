"""Question 7: does PiSSA learn faster than LoRA?"""

from __future__ import annotations

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.planned_settings import (
    EPOCHS_BAR,
    SMALLER,
    epochs_of,
    epochs_saved,
    planned_settings,
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
    grids=("adapters", "keeping", "starts", "starts_astra", "gemma"),
)
REFERENCE, FASTER = "lora", "pissa"


def answer(evidence: Evidence) -> Answer:
    """Compare epochs to learn."""
    settings = planned_settings(evidence)
    with_all = planned_settings(evidence, SMALLER)
    rivals = sorted({name for s in with_all for name in s.adapters()} - {REFERENCE})
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "PiSSA learns facts in fewer epochs than LoRA",
                tuple(epochs_saved(settings, REFERENCE, FASTER)),
                EPOCHS_BAR,
                advice={
                    Verdict.YES: "To learn facts in fewer epochs, use pissa instead of lora",
                    Verdict.NO: "Do not choose pissa over lora to learn facts faster: tune the "
                    "learning rate of either",
                },
            ),
            Claim(
                "Some adapter learns faster or slower than LoRA",
                tuple(e for name in rivals for e in epochs_saved(with_all, REFERENCE, name)),
                EPOCHS_BAR,
                needs=Needs.ANY,
                two_sided=True,
            ),
        ),
        caveats=(
            "A fact that is not learned counts as if it were learned one epoch after the last.",
            "The answer is about the trained prompt, not about what is carried over.",
        ),
        pictures=tuple(_curves(setting) for setting in settings if FASTER in setting.rows),
    )


def _curves(setting: Setting) -> Picture:
    rows = setting.adapters()
    groups = {name: epochs_of(row, row.seeds) for name, row in rows.items()}
    name = f"speed-{setting.spec.model}"
    return learning(name, "Learning by adapter", setting.title, groups, setting.spec.epochs)
