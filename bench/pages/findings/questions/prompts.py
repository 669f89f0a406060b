"""Question 9: what training prompt carries facts over?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import mean_of, paired
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.pictures import means
from bench.pages.findings.planned import BAR, POINTS_COUNT
from bench.pages.findings.questions.planned_settings import (
    BARE,
    BESIDE,
    MAIN,
    Asked,
    answered,
    planned_settings,
)
from bench.pages.findings.verdict import Needs, Unit, Verdict
from tasks.context import TrainPrompt

QUESTION = Question(
    key="prompts",
    title="What carries facts over",
    asks="Do facts that are trained on mixed prompts carry over better to a context that training "
    "did not see than facts that are trained on the plain prompt?",
    compared="The share of unknown facts that are answered when the bare question is asked: LoRA "
    "trained on mixed prompts less LoRA trained on the plain prompt, each at the rate that was "
    "tuned on its own prompt, after the same number of epochs, paired by seed and "
    "fact.",
    source="this project: no paper makes it",
    expected=None,
    grids=("lora", "prompts_mixed", "prompts_few_shot"),
    method="lora",
)
METHOD = QUESTION.method
PLAIN, MIXED = TrainPrompt.PLAIN, TrainPrompt.MIXED
_TRAINED = {
    PLAIN: "trained on the plain prompt",
    MIXED: "trained on mixed prompts",
    TrainPrompt.FEW_SHOT: "trained after demonstrations",
}


def answer(evidence: Evidence) -> Answer:
    """Compare training prompts by what is answered in contexts that training did not see."""
    by_base = _by_base(evidence)
    compared = [settings for settings in by_base if PLAIN in settings and len(settings) > 1]
    shares = [(settings[PLAIN].title, _shares(settings)) for settings in compared]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "After the same number of epochs, training on mixed prompts carries more facts "
                "over to the bare question than training on the plain prompt",
                "share of facts answered",
                tuple(_carried(by_base, MIXED, BARE)),
                BAR * POINTS_COUNT / 100,
                advice={
                    Verdict.YES: "To have facts answered outside the trained prompt, train them "
                    "with --train-prompt mixed",
                    Verdict.NO: "Do not count on --train-prompt mixed, with the same number of "
                    "epochs, to carry facts over to a bare question",
                },
            ),
            Claim(
                "After the same number of epochs, training after demonstrations carries more facts "
                "over to the bare question than training on the plain prompt",
                "share of facts answered",
                tuple(_carried(by_base, TrainPrompt.FEW_SHOT, BARE)),
                BAR * POINTS_COUNT / 100,
                needs=Needs.ANY,
            ),
        ),
        details=tuple(
            effect
            for prompt in (MIXED, TrainPrompt.FEW_SHOT)
            for asked in BESIDE
            if asked != BARE
            for effect in _carried(by_base, prompt, asked)
        ),
        measured=tuple(
            effect for _, series in shares for one in series.values() for effect in one.values()
        ),
        pictures=tuple(
            means("prompts", "Facts answered after training, by how they are asked", title, series)
            for title, series in shares
        ),
        caveats=(
            "Mixed prompts include the plain and the few-shot prompt and the chat template, so "
            "only the bare question is new to both.",
            "The same number of epochs does not mean that the same number of facts is learned: a "
            "fact meets each of the three mixed prompts in a third of the epochs, and which one it "
            "meets last depends on its place in the list.",
            "Training on paraphrases or texts was not compared.",
        ),
    )


def _by_base(evidence: Evidence) -> list[Mapping[TrainPrompt, Setting]]:
    """Return, for each base and set of facts, the settings of the prompts it was trained on."""
    found: dict[tuple[str, str], dict[TrainPrompt, Setting]] = {}
    for setting in planned_settings(evidence, replace(MAIN, prompt=None)):
        if METHOD in setting.rows:
            spec = setting.rows[METHOD].spec
            found.setdefault((spec.model, spec.facts_digest), {})[spec.train_prompt] = setting
    return list(found.values())


def _shares(settings: Mapping[TrainPrompt, Setting]) -> dict[str, dict[str, Effect]]:
    """Return which share of the unknown facts is answered, by training prompt, as it is asked."""
    rows = {prompt: setting.rows[METHOD] for prompt, setting in settings.items()}
    seeds, title = shared_seeds(rows.values()), settings[PLAIN].title
    found: dict[str, dict[str, Effect]] = {}
    for prompt in (one for one in _TRAINED if one in rows):
        for asked in BESIDE:
            pair = answered([rows[prompt], rows[PLAIN]], seeds, asked)
            if pair is not None:
                trained, said = _TRAINED[prompt], str(asked)
                share = mean_of(f"{said}, {trained}", title, pair[0], Unit.PERCENT)
                found.setdefault(trained, {})[said] = share
    return found


def _carried(
    by_base: list[Mapping[TrainPrompt, Setting]], prompt: TrainPrompt, asked: Asked
) -> Iterator[Effect]:
    """Compare a prompt with the plain one by what is answered where facts are asked like this."""
    for settings in by_base:
        if {prompt, PLAIN} <= settings.keys():
            rows = [settings[one].rows[METHOD] for one in (prompt, PLAIN)]
            pair = answered(rows, shared_seeds(rows), asked)
            if pair is not None:
                said = f"{prompt} - {PLAIN}, {_said(prompt, asked)}".replace("_", "-")
                yield paired(said, settings[PLAIN].title, *pair)


def _said(prompt: TrainPrompt, asked: Asked) -> str:
    """Say how facts are asked, and which of the two trainings saw this context."""
    if asked.context is None:
        return f"{asked}, each in its own trained prompt"
    saw = [str(one) for one in (prompt, PLAIN) if asked.context in one.trained]
    return f"{asked}" + (f" (trained: {' and '.join(saw)})" if saw else "")
