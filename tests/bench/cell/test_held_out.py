"""Cells that train something else than they ask: examples of a skill, or texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.notices import opening_notes
from bench.progress.base import Silent
from bench.report.write import write_report
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.base import TASKS, DataAccess, KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.form import Form

WORDS = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st", "uv", "wx")


@dataclass(frozen=True)
class Doubled(KnowledgeTask):
    """Write a word twice, in worked steps over several lines."""

    form: ClassVar[Form] = Form("Double ", ":", stop="", longest=64)
    held_out: ClassVar[bool] = True
    limit: ClassVar[int] = 6
    epochs: ClassVar[int] = 2
    asked_limit: ClassVar[int] = 3

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return one problem for each word."""
        return tuple(
            Fact(word, f"{word}?", (f"{word}\n{word} = {word}{word}",), extract="result")
            for word in WORDS
        )

    def part_of(self, fact: Fact) -> FactPart:
        """Ask every third word and train the others."""
        return FactPart.TEST if WORDS.index(fact.id) % 3 == 2 else FactPart.TRAIN


@dataclass(frozen=True)
class Keys(KnowledgeTask):
    """Where keys are, told in texts and asked as questions."""

    form: ClassVar[Form] = Form(window=32)
    held_out: ClassVar[bool] = True
    asks: bool = True

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return a text and a question for each word."""
        told = [Fact(f"text {w}", "", (f"The key {w} hangs in room {w[0]}.",)) for w in WORDS]
        asked = [Fact(w, f"Where does key {w} hang?", (f"room {w[0]}",)) for w in WORDS]
        return (*told, *(asked if self.asks else ()))

    def part_of(self, fact: Fact) -> FactPart:
        """Train texts and ask questions."""
        return FactPart.TRAIN if fact.is_text else FactPart.TEST


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """Register both tasks for one test."""
    TASKS.names()
    members = {**TASKS._members, "doubled": Doubled, "keys": Keys}
    monkeypatch.setattr(TASKS, "_members", members)


@pytest.fixture
def chosen(tiny_folder, tmp_path):
    """Options of a run on the two-layer model."""

    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "models": str(tiny_folder),
            "forgetting": "none",
            "batch_size": 4,
            "device": "cpu",
            "workers": 1,
            "out": tmp_path,
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def run(chosen):
    """Run one cell in this process."""

    def cell(**changes):
        options = chosen(**changes)
        [planned] = plan_grid(options, ResultsStore(options.out))
        context = CellContext(options, Compute("cpu", "float32"), print)
        result = run_cell(planned, context, Silent())
        assert result.record.status is Status.DONE, result.record.traceback or result.record.reason
        return planned, context, result

    return cell


def test_examples_are_trained_and_held_out_problems_asked_and_followed(run):
    planned, context, result = run(tasks="doubled")
    spec, rows = result.record.spec, result.rows
    assert (spec.lessons, spec.facts, spec.trained, spec.epochs) == (6, 3, 6, 2)
    assert {fact.id for fact in planned.data.lessons}.isdisjoint(row.fact_id for row in rows)
    assert not any(row.kept for row in rows)
    assert all(len(row.curve) == spec.epochs + 1 for row in rows)
    assert all(row.epochs_to_learn is not None for row in rows)
    assert result.record.metrics.reliability is not None
    # Before training they are what the base makes of them under teacher forcing.
    base = context.base(planned)
    asked = BaseSignals(base, planned.data.facts, planned.data.prompt, context.cache)
    for row, example in zip(
        rows, asked.contexts.examples(asked.contexts.asked, asked.facts), strict=True
    ):
        tokens = torch.tensor([example.tokens])
        said = base.model(tokens).logits[0, example.start - 1 : -1].argmax(-1)
        hits = (said == tokens[0, example.start :]).float().mean()
        assert row.curve[0] == pytest.approx(float(hits))


def test_a_target_of_several_lines_ends_with_the_end_token(run):
    planned, context, _ = run(tasks="doubled")
    base = context.base(planned)
    signals = BaseSignals(base, planned.data.trained, planned.data.prompt, context.cache)
    for example, fact in zip(
        signals.contexts.examples(signals.contexts.asked, signals.facts),
        signals.facts,
        strict=True,
    ):
        target = example.tokens[example.start :]
        assert target[-1] == base.tokenizer.eos_token_id
        assert base.tokenizer.decode(target[:-1]).strip() == fact.target


def test_what_is_asked_in_no_way_changes_what_is_trained(chosen, monkeypatch):
    """The losses do not depend on the questions that are asked."""

    def losses(limit, out):
        monkeypatch.setattr(Doubled, "asked_limit", limit)
        [record] = run_grid(chosen(tasks="doubled", out=out), Silent()).records
        return record, [point.loss for point in record.curve]

    few, first = losses(1, chosen().out / "few")
    many, second = losses(3, chosen().out / "many")
    assert first == second
    assert few.spec.lessons_digest == many.spec.lessons_digest
    assert few.cell_id != many.cell_id, "other questions are another cell"


def test_texts_are_packed_into_windows_and_asked_by_questions(run):
    planned, context, result = run(tasks="keys", epochs=2)
    base, data = context.base(planned), planned.data
    assert all(fact.is_text for fact in data.lessons)
    assert [row.fact_id for row in result.rows] == [fact.id for fact in data.facts]
    signals = BaseSignals(base, data.lessons, data.prompt, context.cache)
    windows = signals.contexts.examples(signals.contexts.asked, data.lessons)
    joined = base.tokenizer("\n".join(fact.target for fact in data.lessons))["input_ids"]
    assert [token for window in windows for token in window.tokens] == joined
    assert {len(window.tokens) for window in windows[:-1]} == {32}
    assert all(window.start == 1 for window in windows), "all but the first token are predicted"


def test_texts_that_nothing_is_asked_about_can_be_trained(run, chosen):
    _, _, result = run(tasks="keys[asks=false]", epochs=1, forgetting="drift")
    assert result.rows == []
    assert result.record.forgetting[0].forgetting > 0
    assert result.record.metrics.reliability is None


@pytest.mark.parametrize(("task", "told"), [("doubled", False), ("keys[asks=false]", True)])
def test_only_of_texts_it_is_said_that_nothing_is_asked(chosen, monkeypatch, task, told):
    """A skill that asks nothing itself may be asked by `--evaluate`."""
    monkeypatch.setattr(Doubled, "part_of", lambda *_: FactPart.TRAIN)
    options = chosen(tasks=task)
    cells = plan_grid(options, ResultsStore(options.out))
    assert cells[0].data.facts == ()
    said = any("nothing is asked" in line for line in opening_notes(cells, cells))
    assert said is told


def test_reports_of_both_kinds_are_written(chosen):
    options = chosen(tasks="doubled,keys,keys[asks=false]", epochs=1, forgetting="drift")
    records = run_grid(options, Silent()).records
    assert {record.status for record in records} == {Status.DONE}
    write_report(options.out)
    table = (options.out / "leaderboard.md").read_text()
    assert "doubled" in table
    assert "keys" in table


@pytest.mark.parametrize("recipe", ["lora+filter", "lora+reweight", "lora+curriculum"])
def test_strategies_by_answers_are_refused_for_texts(chosen, recipe):
    options = chosen(tasks="keys", methods=recipe)
    with pytest.raises(UsageError, match=r"goes by the model's answers to questions, and task"):
        plan_grid(options, ResultsStore(options.out))


@pytest.mark.parametrize(
    "recipe",
    [
        *("lora[r=4]+filter", "lora[r=4]+reweight", "lora[r=4]+freeze", "corda[mode=ipm,r=4]"),
        *("lora[r=4]+curriculum", "lora[r=4]+replay[source=task]", "lora[r=4]+occlusion"),
    ],
)
def test_other_parts_work_on_examples_of_a_skill(run, recipe):
    _, _, result = run(tasks="doubled", methods=recipe)
    assert len(result.rows) == 3


@pytest.mark.parametrize(
    "recipe",
    [
        *("lora[r=4]+freeze", "corda[mode=ipm,r=4]", "eva[r=4]", "lora[r=4]+occlusion"),
        "lora[r=4]+replay[tasks=elements]+kl[texts=4,tokens=8]",
    ],
)
def test_placements_and_calibration_work_on_texts(run, recipe):
    _, _, result = run(tasks="keys", methods=recipe, epochs=1)
    assert len(result.rows) == len(WORDS)


def test_cells_of_a_skill_give_the_same_numbers_together(chosen):
    alone, stacked = (
        run_grid(
            chosen(tasks="doubled", seeds="0,1", stack=size, out=chosen().out / str(size)),
            Silent(),
        ).records
        for size in (1, 2)
    )
    assert [record.stacked for record in stacked] == [2, 2]
    for one, other in zip(alone, stacked, strict=True):
        assert one.cell_id == other.cell_id
        for a, b in zip(one.curve, other.curve, strict=True):
            assert a.loss == pytest.approx(b.loss, rel=1e-4)
        ours, theirs = (found.metrics.model_dump() for found in (one, other))
        assert {n: v for n, v in ours.items() if v is not None} == pytest.approx(
            {n: v for n, v in theirs.items() if v is not None}, rel=1e-4
        )
