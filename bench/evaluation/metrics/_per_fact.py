"""What is computed of every fact; the name of a function is the column of fact rows it fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import TYPE_CHECKING

from tasks.context import Context
from tasks.fact import ConsequenceKind
from tasks.scoring import exact_match, normalise, token_f1

if TYPE_CHECKING:
    from bench.evaluation.metrics import MeasuredFact
    from bench.evaluation.responses import Response


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, None when there are none."""
    present = [float(value) for value in values if value is not None]
    return fmean(present) if present else None


def correct_in(context: Context) -> Callable[[MeasuredFact], bool | None]:
    """Return the metric `correct.<context>`: answered correctly in a context of its own.

    None in the context in which reliability is asked, which is the same question.
    """

    def correct(measured: MeasuredFact) -> bool | None:
        answer = measured.after.answers.get(context)
        if answer is None or context is measured.after.asked:
            return None
        return measured.fact.accepts(answer)

    correct.__name__ = f"correct.{context}"
    return correct


def contained_in(context: Context) -> Callable[[MeasuredFact], bool | None]:
    """Return the metric `contained.<context>`: the answer contains an accepted one as whole words.

    A chat model may say the right thing in a sentence, which `correct.<context>` does not count.
    """

    def contained(measured: MeasuredFact) -> bool | None:
        answer = measured.after.answers.get(context)
        if answer is None or context is measured.after.asked:
            return None
        said = f" {' '.join(map(normalise, answer.split()))} "
        return any(
            f" {' '.join(map(normalise, accepted.split()))} " in said
            for accepted in measured.fact.answers
        ) or measured.fact.accepts(answer)

    contained.__name__ = f"contained.{context}"
    return contained


def confused_in(context: Context) -> Callable[[MeasuredFact], bool | None]:
    """Return the metric `confusion.<context>`: a wrong answer is another trained fact's target.

    None where the answer is right, so that the mean is a share of the wrong answers, and where
    what is asked was not trained.
    """

    def confused(measured: MeasuredFact) -> bool | None:
        answer = measured.after.answers.get(context)
        if answer is None or not measured.targets or measured.fact.accepts(answer):
            return None
        return normalise(answer) in measured.targets

    confused.__name__ = f"confusion.{context}"
    return confused


def correct_before(measured: MeasuredFact) -> bool:
    """Return whether the base answered after demonstrations."""
    return measured.fact.accepts(measured.before.few_shot)


def correct_after(measured: MeasuredFact) -> bool:
    """Return whether the trained model answered on the trained prompt."""
    return measured.fact.accepts(measured.after.trained)


def f1_after(measured: MeasuredFact) -> float:
    """Return how many words the answer on the trained prompt shares with the nearest target."""
    return token_f1(measured.after.trained, measured.fact.answers)


def epochs_to_learn(measured: MeasuredFact) -> int | None:
    """Return after how many epochs the fact was learned and stayed so; None if not followed.

    The smallest number of epochs after which all target tokens are right under teacher forcing on
    the trained prompt, and stay right; one more than all epochs if they are wrong at the end.
    """
    if not measured.curve:
        return None
    wrong = [epoch for epoch, accuracy in enumerate(measured.curve) if accuracy < 1]
    return wrong[-1] + 1 if wrong else 0


def learned_half(measured: MeasuredFact) -> bool | None:
    """Return whether the fact was learned within half of the epochs, and stayed so."""
    epochs = epochs_to_learn(measured)
    return None if epochs is None else epochs <= (len(measured.curve) - 1) / 2


def generality(measured: MeasuredFact) -> float | None:
    """Return the share of paraphrases that were answered in the trained prompt."""
    return mean_or_none(measured.after.paraphrases)


def locality(measured: MeasuredFact) -> float | None:
    """Return the share of the neighbours answered before that still are."""
    pairs = zip(measured.before.neighbours, measured.after.neighbours, strict=True)
    return mean_or_none(now for was, now in pairs if was)


def portability(measured: MeasuredFact) -> float | None:
    """Return the share of the fact's consequences that the trained model answered."""
    return _share(measured, measured.after)


def portability_before(measured: MeasuredFact) -> float | None:
    """Return the share of the fact's consequences that the base answered, on the same prompt."""
    return _share(measured, measured.before)


def portability_of(kind: ConsequenceKind) -> Callable[[MeasuredFact], float | None]:
    """Return the metric `portability.<kind>`: the share of one kind of consequences."""

    def share(measured: MeasuredFact) -> float | None:
        return _share(measured, measured.after, kind)

    share.__name__ = f"portability.{kind}"
    return share


def all_hops(measured: MeasuredFact) -> float | None:
    """Return the share of multi-hop questions of which every single question was answered."""
    followed = measured.after.consequences
    return mean_or_none(None if one is None else one.hops for one in followed)


def _share(
    measured: MeasuredFact, said: Response, kind: ConsequenceKind | None = None
) -> float | None:
    if not said.consequences:
        return None
    pairs = zip(measured.fact.consequences, said.consequences, strict=True)
    return mean_or_none(
        found.right for one, found in pairs if found is not None and kind in (None, one.kind)
    )


def nll_before(measured: MeasuredFact) -> float:
    """Return the target's negative log-likelihood to the base, nats per token."""
    return measured.before.nll


def nll_after(measured: MeasuredFact) -> float:
    """Return the target's negative log-likelihood after training, nats per token."""
    return measured.after.nll


def distance_before(measured: MeasuredFact) -> float:
    """Return the distance of the base's answer, with demonstrations, to the nearest target."""
    return measured.space.distance(measured.before.few_shot, measured.fact.answers)


def distance_few_shot(measured: MeasuredFact) -> float:
    """Return the distance of the trained model's answer with demonstrations."""
    return measured.space.distance(measured.after.few_shot, measured.fact.answers)


def distance_after(measured: MeasuredFact) -> float:
    """Return the distance of the trained model's answer on the trained prompt."""
    return measured.space.distance(measured.after.trained, measured.fact.answers)


def old_before(measured: MeasuredFact) -> bool | None:
    """Return whether the base gave an old answer; None for a fact that is no update."""
    old = measured.fact.old_answers
    return exact_match(measured.before.few_shot, old) if old else None


def old_after(measured: MeasuredFact) -> bool | None:
    """Return whether the trained model gave an old answer on the trained prompt."""
    old = measured.fact.old_answers
    return exact_match(measured.after.trained, old) if old else None


def updated(measured: MeasuredFact) -> bool | None:
    """Return whether the trained model gave a new answer and no old one."""
    still_old = old_after(measured)
    return None if still_old is None else correct_after(measured) and not still_old


def prefers_new_after(measured: MeasuredFact) -> bool | None:
    """Return whether the new answer is likelier per token than the old one."""
    old = measured.after.old_nll
    return None if old is None else measured.after.nll < old
