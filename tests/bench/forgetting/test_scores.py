import pytest

from bench.forgetting.scores import ItemScores, at_floor, compare
from tasks.fact import FactPart


def scores(items, *, floor=0.25, metric="acc", digest="d"):
    return ItemScores("elements", metric, tuple(map(float, items)), floor, digest)


def test_forgetting_is_base_minus_tuned_per_item():
    found = compare(scores([1, 1, 1, 0]), scores([1, 0, 0, 0]), limit=200)
    assert (found.base, found.tuned, found.forgetting) == (0.75, 0.25, 0.5)
    assert found.tuned_items == [1.0, 0.0, 0.0, 0.0]
    assert (found.task, found.limit) == ("elements", 200)


def test_drift_is_the_tuned_divergence_itself():
    base = scores([0, 0], floor=None, metric="kl")
    found = compare(base, scores([0.2, 0.4], floor=None, metric="kl"), limit=200)
    assert found.forgetting == pytest.approx(0.3)
    assert not found.at_floor


def test_improving_is_negative_forgetting():
    assert compare(scores([0, 1]), scores([1, 1]), limit=2).forgetting == -0.5


def test_other_items_are_never_paired():
    with pytest.raises(ValueError, match="items differ"):
        compare(scores([1, 0]), scores([1, 0], digest="other"), limit=2)


# binom.sf(hits - 1, 100, 0.25): 0.054 at 33 hits, 0.034 at 34... the line lies between.
@pytest.mark.parametrize(("hits", "floor"), [(25, True), (32, True), (34, False), (60, False)])
def test_at_floor_is_a_one_sided_test_against_chance(hits, floor):
    assert at_floor(scores([1] * hits + [0] * (100 - hits))) is floor


def test_generated_answers_are_at_floor_only_without_any_hit():
    assert at_floor(scores([0, 0, 0], floor=0.0))
    assert not at_floor(scores([0, 1, 0], floor=0.0))


class Counting:
    """A forgetting task that counts how often it is run."""

    name, notes = "elements", ("a note",)

    def __init__(self):
        self.models = []

    def shared(self, base):
        return None

    def score(self, base, model):
        self.models.append(model)
        return scores([1, 1] if model is base.model else [1, 0])

    def score_together(self, base, model):
        return [self.score(base, model)]


def test_a_suite_scores_the_base_once(tiny_base, make_tiny):
    from bench.forgetting.suite import ForgettingSuite
    from bench.store.cost_cache import CostCache

    task, cache = Counting(), CostCache()
    tuned = make_tiny(seed=1)
    found = [ForgettingSuite([task], tiny_base, 200, cache).measure(tuned) for _ in range(2)]
    assert task.models == [tiny_base.model, tuned, tuned]
    assert [f.forgetting for [f] in found] == [0.5, 0.5]


def test_forget_facts_are_neither_seen_nor_shown():
    from bench.forgetting.suite import Seen, forget_facts
    from tasks.base import DataAccess
    from tasks.resolve import resolve_task

    task = resolve_task("elements", trained=False, forgotten=True)
    rows = task.load(DataAccess())
    seen = [row for row in rows if task.part_of(row) is FactPart.FORGET][:3]
    _, plain, _ = forget_facts("elements", DataAccess(), 200)
    shown = {question for question, _ in plain.demonstrations}
    trained = tuple(row for row in rows if row.question in shown)
    facts, prompt, dropped = forget_facts(
        "elements", DataAccess(), 200, Seen((*seen, *trained), ())
    )
    assert dropped == 3
    assert not {fact.id for fact in facts} & {fact.id for fact in seen}
    assert all(task.part_of(fact) is FactPart.FORGET for fact in facts)
    assert not {question for question, _ in prompt.demonstrations} & shown
    shown = {question for question, _ in prompt.demonstrations}
    assert len(shown) == 4
    assert not shown & {f.question for f in rows if task.part_of(f) is FactPart.FORGET}


def test_what_is_calibrated_on_changes_no_question():
    from bench.forgetting.suite import Seen, forget_facts
    from tasks.base import DataAccess
    from tasks.resolve import resolve_task

    task = resolve_task("elements", trained=False, forgotten=True)
    rows = task.load(DataAccess())
    calibrated = tuple(row for row in rows if task.part_of(row) is FactPart.CALIBRATION)
    plain = forget_facts("elements", DataAccess(), 200)
    assert forget_facts("elements", DataAccess(), 200, Seen(calibrated=calibrated)) == plain


def test_nothing_left_is_one_clear_line():
    from bench.forgetting.suite import Seen, forget_facts
    from tasks.base import DataAccess
    from tasks.errors import UsageError
    from tasks.resolve import resolve_task

    rows = resolve_task("elements", trained=False, forgotten=True).load(DataAccess())
    with pytest.raises(UsageError, match="no facts left"):
        forget_facts("elements", DataAccess(), 200, Seen(tuple(rows)))


def test_a_suite_measures_what_was_named(tiny_base):
    from bench.forgetting.suite import ForgettingTasks
    from tasks.base import DataAccess
    from tasks.forgetting.names import parse_forgetting

    builder = ForgettingTasks(DataAccess(), limit=8)
    tasks = builder.build(parse_forgetting("elements"))
    assert builder.build(parse_forgetting("elements")) == tasks, "built once"
    [found] = builder.on(tiny_base, tasks).measure(tiny_base.model)
    assert (found.task, found.metric, found.forgetting) == ("elements", "acc", 0.0)
    assert len(found.base_items) == 8
