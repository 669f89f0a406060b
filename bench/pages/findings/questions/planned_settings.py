"""The settings that questions are asked in, and epochs to learn facts the base did not answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.config.types import Schedule
from bench.pages.findings.claim import Effect
from bench.pages.findings.effects import Flags, mean_of
from bench.pages.findings.evidence import Evidence, Setting, chosen, shared_seeds, values_of
from bench.pages.findings.planned import BAR, EPOCHS_COUNT
from bench.pages.findings.verdict import LEAST_SEEDS, Unit
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats
from tasks.context import Context, TrainPrompt

EPOCHS_BAR = BAR * EPOCHS_COUNT
"""The bar for epochs to learn."""

ASKS_FOR_YEAR = "_year"
"""How the relations of invented facts that ask for a year end, and so the ids of such facts."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the cells of a question have in common.

    Attributes:
        task: The facts.
        tuned: Whether each method was tuned on other facts of the task; else all have the rate
            that was chosen for LoRA.
        epochs, batch_size: How they were trained, at a constant rate; None for any.
        prompt: The contexts that training saw; None where the question compares them.
        base: The base; None for any.
        rate: The learning rate; None where each method has its own.
        seeds: How many the design has, from 0 on: others that were run are not looked at.
    """

    task: str = "fictional[n=2000]"
    tuned: bool = True
    epochs: int | None = 6
    batch_size: int = 4
    prompt: TrainPrompt | None = TrainPrompt.PLAIN
    base: str | None = None
    rate: float | None = None
    seeds: int = 12

    def of(self, setting: Setting) -> Setting:
        """Return a setting with the rows and the seeds of the design alone."""
        rows = {name: self._of(found) for name, found in setting.choices.items()}
        return replace(setting, rows={name: row for name, row in rows.items() if row is not None})

    def _of(self, rows: Sequence[Row]) -> Row | None:
        """Choose among a method's rows at the rate of the design; None if there is none."""
        found = [
            replace(row, cells=tuple(c for c in row.cells if c.record.spec.seed < self.seeds))
            for row in rows
            if self.rate in (None, row.spec.learning_rate)
        ]
        found = [row for row in found if row.cells]
        return chosen(found) if found else None

    def fits(self, setting: Setting) -> bool:
        """Return whether the cells of a setting were trained like this."""
        spec = setting.spec
        return (
            (spec.task, setting.tuned) == (self.task, self.tuned)
            and self.epochs in (None, spec.epochs)
            and spec.batch_size == self.batch_size
            and (spec.schedule, spec.warmup) == (Schedule.CONSTANT, WARMUP)
            and spec.accumulation == 1
            and self.prompt in (None, spec.train_prompt)
            and self.base in (None, spec.model)
        )


MAIN = Training()
"""The comparison of methods."""

SMALLER = replace(MAIN, base="smollm2-135m")
"""The same on the base that has all methods."""

WORLD = replace(SMALLER, task="countries", seeds=5)
"""The same on facts of the world: it is shown beside the invented ones and decides nothing."""

WARMUP = 0.1

RATE = 1e-3
"""The rate that was chosen for LoRA on the facts of `MAIN`."""

ONE_RATE = Training(task="fictional[n=2000,seed=1]", tuned=False, rate=RATE)
"""One adapter trained in several ways, on facts of another world."""

MANY = replace(ONE_RATE, epochs=4, seeds=6)
"""The same early in training, with 512 facts, for what differs between facts."""


def planned_settings(evidence: Evidence, training: Training = MAIN) -> list[Setting]:
    """Return the settings that were trained as the design says, with its seeds alone.

    Of those of a base and a training prompt, the one with most facts, and then with most methods:
    others were trials.
    """
    fitting = [training.of(one) for one in evidence.settings if training.fits(one)]
    largest: dict[tuple[str, TrainPrompt], Setting] = {}
    for setting in fitting:
        if setting.rows:
            key = setting.spec.model, setting.spec.train_prompt
            if key not in largest or _size(setting) > _size(largest[key]):
                largest[key] = setting
    return list(largest.values())


def _size(setting: Setting) -> tuple[int, int]:
    return setting.spec.facts, len(setting.rows)


def planned_seeds(settings: Iterable[Setting], seeds: int) -> dict[str, int]:
    """Return how many seeds a claim needs, by title: a second base has the fewest."""
    return {
        setting.title: seeds if setting.spec.model == SMALLER.base else LEAST_SEEDS
        for setting in settings
    }


def unknown(*rows: Row) -> Flags:
    """Return which facts the base answered in no cell of these rows, `[facts]`.

    Another processor may give another answer to some of them, so cells that were run on several
    machines can differ.
    """
    known = [cell.rows["correct_before"].to_numpy(dtype=np.bool_) for r in rows for cell in r.cells]
    return np.asarray(~np.any(known, axis=0))


@dataclass(frozen=True, slots=True)
class Asked:
    """How facts are asked after training, and what counts as an answer.

    Attributes:
        context: The context; None for paraphrases of the question, in the trained prompt.
        contained: Whether an answer counts that contains a right one among other words; else it
            must be the right one alone.
    """

    context: Context | None
    contained: bool = False

    def __str__(self) -> str:
        said = _SAID[self.context]
        return f"{said}, right answer contained" if self.contained else said

    def column(self, row: Row) -> str:
        """Return where the answers are; those on the trained prompt have a column of their own."""
        if self.context is None:
            return "generality"
        if self.contained:
            return f"contained.{self.context}"
        trained = self.context is row.spec.train_prompt.asked
        return "correct_after" if trained else f"correct.{self.context}"


_SAID = {
    Context.BARE: "asked the bare question",
    Context.PLAIN: "asked in the plain prompt",
    Context.FEW_SHOT: "asked after demonstrations",
    Context.CHAT: "asked in the chat template",
    None: "asked by paraphrases",
}

BARE = Asked(Context.BARE)
BESIDE = (
    Asked(Context.PLAIN),
    Asked(None),
    Asked(Context.FEW_SHOT),
    BARE,
    replace(BARE, contained=True),
    Asked(Context.CHAT),
    Asked(Context.CHAT, contained=True),
)
"""Everything that is asked of a fact after training, the trained prompt first."""


def answered(
    rows: Sequence[Row], seeds: Sequence[int], asked: Asked
) -> tuple[Floats, Floats] | None:
    """Return which unknown facts two rows answer after training, `[seeds, facts]` each.

    Args:
        rows: Two, of the same facts.
        seeds: Those that both have. One in which nothing was asked like this is left out.
        asked: How facts are asked.

    Returns:
        None if no fact has a value in both; facts without paraphrases have none.
    """
    if not seeds:
        return None
    first, second = (_asked_of(row, seeds, asked.column(row)) for row in rows)
    missing = np.isnan(first - second)
    there = ~missing.all(axis=1)
    counted = unknown(*rows) & ~missing[there].any(axis=0)
    if not (there.any() and counted.any()):
        return None
    return first[there][:, counted], second[there][:, counted]


def _asked_of(row: Row, seeds: Sequence[int], column: str) -> Floats:
    """Return one column `[seeds, facts]`, NaN in cells that lack it."""
    there = {c.record.spec.seed for c in row.cells if column in c.rows}
    nothing = np.full(row.spec.facts, np.nan)
    found = [values_of(row, [s], column)[0] if s in there else nothing for s in seeds]
    return np.stack(found)


def epochs_of(row: Row, seeds: Sequence[int], facts: Flags | None = None) -> Floats:
    """Return the epochs after which facts are learned, `[seeds, chosen facts]`.

    Args:
        row: A method.
        seeds: Of its seeds.
        facts: Which are chosen, `[facts]`; those that the base does not know if None.
    """
    return values_of(row, seeds, "epochs_to_learn")[:, unknown(row) if facts is None else facts]


def epochs_saved(settings: Iterable[Setting], slow: str, fast: str) -> Iterator[Effect]:
    """Compare two methods by epochs to learn, `slow - fast`, in every setting that has both."""
    for setting in settings:
        if {slow, fast} <= set(setting.rows):
            rows = setting.rows[slow], setting.rows[fast]
            seeds = shared_seeds(rows)
            facts = unknown(*rows)
            if seeds and facts.any():
                one, other = (epochs_of(row, seeds, facts) for row in rows)
                yield mean_of(f"{slow} - {fast}", setting.title, one - other, Unit.EPOCHS)
