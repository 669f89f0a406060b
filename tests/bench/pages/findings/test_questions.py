"""The questions on cells with planted effects: a yes, a no, and what stays open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.pages.findings import tables
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.questions import (
    QUESTIONS,
    company,
    distance,
    forecast,
    keeping,
    layers,
    prompts,
    speed,
    strategies,
    straying,
)
from bench.pages.findings.verdict import Verdict
from bench.pages.findings.write import page_text, read_findings
from bench.store.records import Phase, PhaseName, Status
from bench.studies.interference.plan import TrainingSpec
from bench.studies.interference.store import FactOutcome, Said, Trained, TrainingRecord
from tests.bench.findings_cells import Plan, evidence_of
from tests.bench.report_cells import make_spec

TRAINED = {"epochs": 6, "batch_size": 4, "schedule": "constant", "task": "fictional[n=2000]"}
CORDA = "corda[calibration=countries]"
BASES = ("smollm2-135m", "gemma3-270m")


def plan(method="lora", n=64, **changes):
    settings = {"n": n, "seeds": tuple(range(12)), "tuned": (1e-3,), "known": False}
    spec = {**TRAINED, **changes.pop("spec", {})}
    return Plan(method, spec=spec, **{**settings, "epochs": 3, "drift": 0.4, **changes})


ONE_RATE = {"task": "fictional[n=2000,seed=1]"}
MANY = {**ONE_RATE, "epochs": 4}


def one_rate(method="lora", n=64, **changes):
    return plan(method, n, **{"tuned": (), "spec": ONE_RATE, **changes})


def many(**changes):
    return one_rate(**{"spec": MANY, **changes})


@pytest.mark.parametrize(
    ("epochs", "verdict"), [(2, Verdict.YES), (3, Verdict.NO), (4, Verdict.NO)]
)
def test_pissa_learns_sooner_by_an_epoch_or_not_at_all(epochs, verdict):
    found = speed.answer(evidence_of(plan(), plan("pissa", epochs=epochs)))
    assert found.verdict is verdict
    assert found.claims[1].verdict is Verdict.NOT_RUN, "one adapter says nothing of others"
    more = speed.answer(evidence_of(plan(), plan("pissa", epochs=epochs), plan("dora")))
    assert more.claims[1].verdict is Verdict.OPEN, "two of seven"


def test_that_some_start_differs_is_said_when_all_of_the_design_have_run():
    few = {"seeds": range(5)}
    others = [plan(name, **few) for name in ADAPTERS if name not in ("lora", "pissa")]
    made = [plan(**few), plan("pissa", epochs=1, drift=0.1, **few), *others]
    assert speed.answer(evidence_of(*made)).claims[1].verdict is Verdict.YES
    assert keeping.answer(evidence_of(*made)).claims[1].verdict is Verdict.YES
    assert speed.answer(evidence_of(*made[:-1])).claims[1].verdict is Verdict.OPEN
    one_less = keeping.answer(evidence_of(*made[:-1])).claims[1]
    assert one_less.verdict is Verdict.OPEN
    assert "6 of 7 comparisons measured" in tables.said(one_less)[-1]


def test_items_that_were_not_the_same_are_not_compared():
    made = [plan(lost={"countries": 0.4}), plan(CORDA, lost={"countries": 0.1})]
    evidence = evidence_of(*made)
    found = evidence.settings[0].rows["lora"].cells[3].record.forgetting
    found[0] = found[0].model_copy(update={"digest": "other"})
    assert not keeping.answer(evidence).claims[2].effects


def advice(*made):
    return speed.answer(evidence_of(*made)).primary.advice[Verdict.YES]


def sooner(**changes):
    return plan("pissa", epochs=2, n=256, **changes)


EXPECT = "but expect it to"


def test_advice_names_the_rates_that_it_was_found_at():
    slow = plan(epochs=4, tuned=(1e-3,))
    fast = plan("pissa", epochs=2, tuned=(3e-4,))
    said = advice(slow, fast)
    assert "use pissa at its own tuned learning rate (0.0003; that of lora is 0.001)" in said
    other = {"spec": {"model": BASES[1]}}
    two = [plan(epochs=4, **other), plan("pissa", epochs=2, **other)]
    assert "(" not in advice(slow, fast, *two), "the bases have not one rate"


def test_advice_to_learn_sooner_says_what_it_costs():
    slow = plan(epochs=4, n=256, bare=0.6, lost={"countries": 0.05})
    said = advice(slow, sooner(drift=1.6, bare=0.2, lost={"countries": 0.4}))
    assert "drift further" in said
    assert "forget more of countries" in said
    assert "fewer right answers" in said
    assert EXPECT not in advice(slow, sooner(bare=0.6, lost={"countries": 0.05}))


def test_answers_that_only_say_more_than_the_right_one_are_no_cost():
    made = [plan(epochs=4, n=256, bare=0.6), sooner(bare=0.2, contained=0.6)]
    found = speed.answer(evidence_of(*made))
    assert EXPECT not in found.primary.advice[Verdict.YES]
    by_name = {effect.name: effect.value for effect in found.details}
    assert by_name["pissa - lora, asked the bare question"] < -0.2
    contained = by_name["pissa - lora, asked the bare question, right answer contained"]
    assert contained == pytest.approx(0, abs=0.05)


def test_a_cost_on_one_base_is_named_unless_another_has_the_opposite():
    def on(base, *, bare):
        spec = {"model": base}
        return [plan(epochs=4, n=256, bare=0.6, spec=spec), sooner(bare=bare, spec=spec)]

    one = on(BASES[0], bare=0.2)
    assert "fewer right answers" in advice(*one, *on(BASES[1], bare=0.6))
    assert EXPECT not in advice(*one, *on(BASES[1], bare=0.9))


def test_a_seed_that_was_not_asked_takes_no_cost_away():
    seeds = {"seeds": range(11)}
    slow = [plan(epochs=4, n=256, bare=0.6, **seeds), plan(epochs=4, n=256, seeds=(11,))]
    found = speed.answer(evidence_of(*slow, sooner(bare=0.2)))
    assert "fewer right answers" in found.primary.advice[Verdict.YES]
    by_name = {effect.name: effect for effect in found.details}
    assert by_name["pissa - lora, asked the bare question"].seeds == 12
    assert by_name["pissa - lora, asked the bare question, right answer contained"].seeds == 11


def test_without_drift_nothing_is_said_of_it():
    made = [plan(epochs=4, drift=0.0), plan("pissa", epochs=2, drift=0.0)]
    assert EXPECT not in advice(*made)


def test_each_adapter_has_values_of_its_own_beside_comparisons():
    plain, other = ({"n": 512, "csd": 0.1, "lost": {"countries": lost}} for lost in (0.1, 0.4))
    made = [plan(bare=0.2, **plain), plan("pissa", epochs=2, bare=0.6, drift=0.8, **other)]
    evidence = evidence_of(*made)
    of_speed, of_keeping = (
        {effect.name: effect.value for effect in ask(evidence).measured}
        for ask in (speed.answer, keeping.answer)
    )
    compared = {
        effect.name: effect.value
        for claim in speed.answer(evidence).claims
        for effect in claim.effects
    }
    differ = of_speed["epochs to learn, lora"] - of_speed["epochs to learn, pissa"]
    assert compared["lora - pissa"] == pytest.approx(differ)
    [setting] = evidence.settings
    for name, row in setting.rows.items():
        epochs = np.stack([cell.rows["epochs_to_learn"] for cell in row.cells])
        assert of_speed[f"learned, {name}"] == pytest.approx(np.mean(epochs <= 6))
        answered = np.stack([cell.rows["correct.bare"] for cell in row.cells])
        assert of_speed[f"asked the bare question, {name}"] == pytest.approx(np.mean(answered))
        last = [f.tuned for c in row.cells for f in c.record.forgetting if f.task == "drift"]
        assert of_keeping[f"drift after the last epoch, {name}"] == pytest.approx(np.mean(last))
        right = [f for c in row.cells for f in c.record.forgetting if f.task == "countries"]
        assert of_keeping[f"countries, {name}"] == pytest.approx(np.mean([f.tuned for f in right]))
        assert of_keeping["countries, the untrained base"] == pytest.approx(right[0].base)
    half = [of_keeping[f"drift with 50% learned, {name}"] for name in ("lora", "pissa")]
    assert 0 < half[0] < half[1]


def test_what_is_carried_over_is_shown_beside_how_soon_it_is_learned():
    found = speed.answer(evidence_of(plan(n=512, bare=0.2), plan("pissa", n=512, bare=0.6)))
    by_name = {effect.name: effect.value for effect in found.details}
    assert by_name["pissa - lora, asked the bare question"] == pytest.approx(0.4, abs=0.06)


def test_facts_of_the_world_stand_beside_and_decide_nothing():
    world = {"spec": {"task": "countries"}, "seeds": range(5)}
    invented = [plan(epochs=3), plan("pissa", epochs=3)]
    found = speed.answer(
        evidence_of(*invented, plan(epochs=4, **world), plan("pissa", epochs=2, **world))
    )
    assert found.verdict is Verdict.NO
    assert len(found.claims[0].settings) == 1
    [beside] = [effect for effect in found.details if effect.name == "lora - pissa"]
    assert "countries" in beside.setting
    assert beside.value == pytest.approx(2, abs=0.2)


def test_facts_that_the_base_knows_do_not_count():
    known = np.arange(64) < 32
    pissa = plan("pissa", epochs=np.where(known, 1, 3), known=known)
    found = speed.answer(evidence_of(plan(known=known), pissa))
    assert found.verdict is Verdict.NO
    assert found.claims[0].effects[0].facts == 32


@pytest.mark.parametrize("seeds", [range(4), range(11)])
def test_before_all_seeds_of_the_design_have_run_nothing_is_decided(seeds):
    few = [plan(m, epochs=e, seeds=s) for m, e, s in (("lora", 4, range(12)), ("pissa", 2, seeds))]
    found = speed.answer(evidence_of(*few))
    assert found.verdict is Verdict.OPEN
    [said] = tables.said(found.primary)
    assert f"{len(seeds)} of 12 seeds measured" in said


def test_seeds_beyond_the_design_are_not_looked_at():
    more = [plan(m, epochs=e, seeds=range(15)) for m, e in (("lora", 4), ("pissa", 2))]
    found = speed.answer(evidence_of(*more))
    assert found.claims[0].effects[0].seeds == 12


def test_a_fact_that_the_base_knows_in_some_cells_is_not_counted():
    known = {"lora": np.arange(64) < 4, "pissa": (np.arange(64) >= 2) & (np.arange(64) < 8)}
    found = speed.answer(evidence_of(*(plan(m, known=k) for m, k in known.items())))
    assert found.claims[0].effects[0].facts == 64 - 8


def test_methods_that_were_not_tuned_leave_those_that_were():
    made = [plan(epochs=4), plan("pissa", epochs=2), plan("dora", tuned=())]
    assert speed.answer(evidence_of(*made)).verdict is Verdict.YES


def test_trials_with_fewer_facts_or_another_warm_up_are_not_looked_at():
    made = [plan(m, epochs=e) for m, e in (("lora", 4), ("pissa", 2))]
    few = [plan(m, n=20, seeds=(0, 1), spec={"facts_digest": "few"}) for m in ("lora", "pissa")]
    other = [plan(m, spec={"warmup": 0.2}) for m in ("lora", "pissa")]
    found = speed.answer(evidence_of(*made, *few, *other))
    assert found.verdict is Verdict.YES
    assert len(found.claims[0].settings) == 1


def test_an_old_version_with_seeds_beyond_the_design_hides_nothing():
    made = [plan(m, epochs=e) for m, e in (("lora", 4), ("pissa", 2))]
    old = plan("pissa", seeds=range(20, 40), spec={"source_digest": "old"})
    assert speed.answer(evidence_of(*made, old)).verdict is Verdict.YES


def test_other_trainings_are_not_asked():
    cosine = [plan(m, spec={"schedule": "cosine"}) for m in ("lora", "pissa")]
    assert speed.answer(evidence_of(*cosine)).verdict is Verdict.NOT_RUN


RELATIONS = [f"relation {i % 4}" for i in range(512)]


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(2, 2, Verdict.YES), (2, 0, Verdict.NO), (0, 0, Verdict.NO)],
)
def test_both_ends_must_be_slower_than_the_middle(near, far, verdict):
    distances = np.linspace(0.1, 1.0, 512)
    epochs = 3 + np.where(distances < 0.4, near, np.where(distances > 0.7, far, 0))
    made = plan(n=512, distances=distances, relations=RELATIONS, epochs=epochs)
    assert distance.answer(evidence_of(made)).verdict is verdict


def test_thirds_are_those_of_each_relation():
    # Names differ in distance and years do not: thirds of all facts would have years between.
    names = np.arange(512) % 2 == 0
    distances = np.where(names, np.linspace(0.1, 1.0, 512), np.linspace(0.05, 0.06, 512))
    place = np.linspace(0, 1, 512)
    epochs = 3 + 2 * ((place < 1 / 3) | (place > 2 / 3))
    relations = np.where(names, "name", "year").tolist()
    made = plan(n=512, distances=distances, relations=relations, epochs=epochs)
    found = distance.answer(evidence_of(made))
    assert found.verdict is Verdict.YES
    assert [effect.value for effect in found.claims[0].effects] == pytest.approx([2, 2], abs=0.2)


def test_distance_among_facts_of_the_world_stands_beside():
    distances = np.linspace(0.1, 1.0, 512)
    ends = 3 + 2 * ((distances < 0.4) | (distances > 0.7))
    made = {"n": 512, "distances": distances, "relations": RELATIONS}
    world = plan(epochs=ends, spec={"task": "countries"}, seeds=range(5), **made)
    found = distance.answer(evidence_of(plan(epochs=3, **made), world))
    assert found.verdict is Verdict.NO
    beside = [effect for effect in found.details if "countries" in effect.setting]
    assert [effect.value for effect in beside] == pytest.approx([2, 2], abs=0.2)


def test_a_difference_between_relations_is_none_of_distance():
    relation = np.arange(512) * 3 // 512
    distances = 0.2 + 0.3 * relation + np.tile(np.linspace(0, 0.05, 512 // 64), 64)
    made = plan(
        n=512,
        distances=distances,
        relations=[f"relation {i}" for i in relation],
        epochs=np.array([5, 2, 5])[relation],
    )
    found = distance.answer(evidence_of(made))
    assert found.verdict is Verdict.NO
    mixed = [effect.value for effect in found.details if "mixed" in effect.name]
    assert min(mixed) > 2, "with relations mixed it looks so"


@pytest.mark.parametrize(
    ("drift", "verdict"), [(0.2, Verdict.YES), (0.4, Verdict.NO), (0.6, Verdict.NO)]
)
def test_drift_is_compared_at_equal_learning(drift, verdict):
    found = keeping.answer(evidence_of(plan(), plan(CORDA, drift=drift)))
    assert found.verdict is verdict
    expected = np.log(0.4 / drift)
    assert found.claims[0].effects[0].value == pytest.approx(expected, abs=0.12)


def test_a_start_that_one_base_lacks_is_still_compared_on_the_other():
    both = [plan(m, spec={"model": b}) for m in ("lora", CORDA) for b in BASES]
    found = keeping.answer(evidence_of(*both, plan("milora", drift=0.2)))
    assert len(found.claims[0].settings) == len(BASES)
    assert found.claims[1].verdict is Verdict.OPEN, "others of the design have not run"


def test_a_seed_that_does_not_reach_half_is_left_out_and_missed():
    late = [plan(CORDA, seeds=range(11), drift=0.2), plan(CORDA, seeds=(11,), epochs=9)]
    found = keeping.answer(evidence_of(plan(), *late))
    assert found.verdict is Verdict.OPEN
    assert found.claims[0].effects[0].value > 0.5
    assert "11 of 12 seeds" in tables.said(found.primary)[0]


@pytest.mark.parametrize("different", [(0, 4), (2, 8)], ids=["in one method", "in both"])
def test_drift_is_compared_on_facts_that_the_base_knows_in_no_cell(different):
    known = [np.arange(64) < 4, (np.arange(64) >= different[0]) & (np.arange(64) < different[1])]
    one, other = known
    made = [
        plan(known=one),
        plan(CORDA, drift=0.2, known=other, seeds=range(11)),
        plan(CORDA, drift=0.2, known=one, seeds=(11,)),
    ]
    found = keeping.answer(evidence_of(*made))
    assert found.verdict is Verdict.YES
    assert found.claims[0].effects[0].seeds == 12


def test_countries_are_compared_item_by_item():
    lost = [plan(drift=0, lost={"countries": 0.4}), plan(CORDA, drift=0, lost={"countries": 0.05})]
    found = keeping.answer(evidence_of(*lost))
    [effect] = found.claims[2].effects
    assert effect.value == pytest.approx(0.35, abs=0.06)


def test_drift_after_the_last_epoch_is_a_ratio_of_each_seed():
    made = [plan(drift=0.4, csd=1.0), plan(CORDA, drift=0.2, csd=1.0)]
    found = {effect.name: effect for effect in keeping.answer(evidence_of(*made)).details}
    last = found[f"lora / {CORDA}, drift after the last epoch"]
    assert last.value == pytest.approx(np.log(2), abs=1e-9)
    assert (last.seeds, last.facts) == (12, 32), "texts"


def test_learning_less_is_no_keeping():
    slow = plan(CORDA, drift=0.4, epochs=5)
    found = keeping.answer(evidence_of(plan(), slow))
    assert found.verdict is Verdict.NO
    assert found.claims[0].effects[0].value < 0, "by then it has drifted more"


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.36, 0.03, Verdict.YES), (0.2, 0.2, Verdict.NO), (0.03, 0.36, Verdict.NO)],
)
def test_near_facts_stray_or_no_third_does(near, far, verdict):
    n = 4096  # no study has as many: the power for 5 points is that of the design
    distances = np.linspace(0.1, 1.0, n)
    away = np.where(distances < 0.4, near, np.where(distances > 0.7, far, 0.1))
    relations = [f"relation {i % 4}" for i in range(n)]
    made = many(n=n, distances=distances, relations=relations, away=away)
    found = straying.answer(evidence_of(made))
    assert found.verdict is verdict
    shares = [effect.value for effect in found.measured]
    assert shares[0] == pytest.approx(near, abs=0.03)
    assert shares[2] == pytest.approx(far, abs=0.03)


def test_what_any_change_of_answers_would_do_is_taken_out():
    # Each answer ends at the same distance, whatever it was before: near facts all moved away.
    distances = np.linspace(0.1, 1.0, 512)
    after = np.full(512, 0.55)
    made = many(n=512, distances=distances, relations=RELATIONS, few_shot=after)
    found = straying.answer(evidence_of(made))
    assert found.claims[0].effects[0].value == pytest.approx(1)
    assert found.details[0].value == pytest.approx(0, abs=0.01)
    assert "no more than chance" in found.primary.advice[Verdict.YES]


def test_straying_beyond_chance_is_not_called_chance():
    # Near facts move away although as many answers end near their targets as began there.
    distances = np.linspace(0.1, 1.0, 512)
    moved = many(n=512, distances=distances, relations=RELATIONS, few_shot=distances[::-1].copy())
    found = straying.answer(evidence_of(moved))
    assert found.details[0].value > 0.1
    assert "beyond what is chance" in found.primary.advice[Verdict.YES]


def test_straying_less_than_by_chance_is_not_called_more():
    distances = np.linspace(0.1, 1.0, 512)
    some = (distances < 0.4) & (np.arange(512) % 3 == 0)
    stayed = many(
        n=512, distances=distances, relations=RELATIONS, few_shot=np.where(some, 1.0, distances)
    )
    found = straying.answer(evidence_of(stayed))
    assert found.details[0].value < -0.1
    assert found.details[0].p < 0.05
    assert "no more than chance" in found.primary.advice[Verdict.YES]


def test_facts_without_a_distance_are_left_out():
    distances = np.linspace(0.1, 1.0, 512)
    after = np.where(np.arange(512) % 2, 0.55, np.nan)
    distances[:8] = np.nan
    made = many(n=512, distances=distances, relations=RELATIONS, few_shot=after)
    found = straying.answer(evidence_of(made))
    assert found.claims[0].effects[0].value == pytest.approx(1)
    assert sum(effect.facts for effect in found.measured[:3]) == 252


def test_straying_is_not_asked_of_few_facts_or_another_dose():
    few = many(n=256, away=0.5, relations=RELATIONS[:256])
    longer = many(n=512, away=0.5, relations=RELATIONS, spec=ONE_RATE)
    assert straying.answer(evidence_of(few, longer)).verdict is Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("distances", "known"),
    [(0.5, False), (np.linspace(0.1, 1, 512), True), (0.5, np.arange(512) > 0)],
    ids=["equal distances", "no unknown fact", "one unknown fact"],
)
def test_without_three_thirds_nothing_is_compared(distances, known):
    distances = np.broadcast_to(distances, 512)
    made = {"n": 512, "distances": distances, "relations": ["one"] * 512, "known": known}
    assert distance.answer(evidence_of(many(**made))).verdict is Verdict.NOT_RUN
    half = one_rate(**made, away=0.5, spec={**MANY, "epochs": 2})
    assert straying.answer(evidence_of(half)).verdict is Verdict.NOT_RUN


def test_where_the_base_knows_every_fact_no_method_is_compared():
    known = {"known": True, "bare": 0.5}
    made = evidence_of(*(plan(m, **known) for m in ("lora", "pissa")))
    assert speed.answer(made).verdict is Verdict.NOT_RUN
    mixed = evidence_of(plan(**known), plan(**known, spec={"train_prompt": "mixed"}))
    assert prompts.answer(mixed).verdict is Verdict.NOT_RUN


KEPT, BY_CHANCE = np.arange(64) < 48, np.arange(64) >= 16


def chosen_facts(epochs_by_chance):
    return (
        one_rate(epochs=3),
        one_rate("lora+filter", epochs=3, kept=KEPT),
        one_rate("lora+random_filter", epochs=epochs_by_chance, kept=BY_CHANCE),
    )


@pytest.mark.parametrize(("by_chance", "verdict"), [(4, Verdict.YES), (3, Verdict.NO)])
def test_the_filter_is_compared_on_facts_that_both_train(by_chance, verdict):
    # What only one of them trains would turn the answer round.
    epochs = np.where(KEPT & BY_CHANCE, by_chance, 1)
    found = strategies.answer(evidence_of(*chosen_facts(epochs)))
    assert found.verdict is verdict
    assert found.claims[0].effects[0].facts == 32


def test_strategies_are_compared_at_the_rate_of_the_design_alone():
    plain, chosen, by_chance = chosen_facts(4)
    other = replace(by_chance, spec={**by_chance.spec, "learning_rate": 3e-4})
    assert strategies.answer(evidence_of(plain, chosen, other)).verdict is Verdict.NOT_RUN
    both = strategies.answer(evidence_of(plain, chosen, by_chance, other))
    assert both.verdict is Verdict.YES


def test_what_is_learned_is_counted_among_what_is_trained():
    fast = np.where(np.arange(64) % 4 == 0, 2, 9)  # a quarter, of any run of facts
    made = [
        one_rate("lora+filter", epochs=fast, kept=KEPT),
        one_rate("lora+random_filter", epochs=9, kept=BY_CHANCE),
    ]
    found = strategies.answer(evidence_of(*made))
    assert {effect.name: (effect.value, effect.facts) for effect in found.measured} == {
        "learned in the end, of what lora+filter trains": (0.25, 48),
        "learned in the end, of what lora+random_filter trains": (0.0, 48),
    }
    [shared] = [effect for effect in found.details if "both train" in effect.name]
    assert shared.name.endswith("lora+filter - lora+random_filter")
    assert (shared.value, shared.facts) == (0.25, 32)


def test_a_weight_counts_only_against_its_control():
    made = [one_rate(), one_rate("lora+reweight", epochs=2), one_rate("lora+uniform", epochs=2)]
    second = strategies.answer(evidence_of(*made)).claims[1]
    assert second.verdict is Verdict.NO


def placements(**epochs):
    names = {
        "everywhere": "lora",
        "freeze": "lora[r=4,spread=true]+freeze",
        "window": "lora[r=4,spread=true]+window[first=11,last=20]",
        "occlusion": "lora[r=4,spread=true]+occlusion",
    }
    return [plan(names[key], epochs=value, flops=4e12 / value) for key, value in epochs.items()]


@pytest.mark.parametrize(
    ("window", "occlusion", "verdict"),
    [(3, 3, Verdict.YES), (3, 2, Verdict.NO), (2, 2, Verdict.NO)],
)
def test_freeze_must_beat_both_other_placements(window, occlusion, verdict):
    made = placements(everywhere=3, freeze=2, window=window, occlusion=occlusion)
    found = layers.answer(evidence_of(*made))
    assert found.verdict is verdict
    measured = {effect.name: effect.value for effect in found.measured}
    flops = measured["FLOPs of training, lora[r=4,spread=true]+freeze / lora"]
    assert flops == pytest.approx(np.log(1.5))
    assert "-%" not in tables.details_table(found.measured, tested=False)
    assert measured["epochs to learn, lora"] == pytest.approx(3, abs=0.2)
    assert "drift with 50% learned, lora[r=4,spread=true]+occlusion" in measured


def test_costs_are_paired_by_seed_and_leave_no_preparation_out():
    evidence = evidence_of(*placements(everywhere=3, freeze=2, window=3, occlusion=3))
    [setting] = evidence.settings
    for place, (name, row) in enumerate(setting.rows.items()):
        kept = []
        for cell in (one for one in row.cells if one.record.spec.seed != place):
            share = 0.5 if name.endswith("freeze") else 1.0
            flops = share * 1e12 * (1 + cell.record.spec.seed)
            prepare = 300.0 if name.endswith("occlusion") else 0.0
            phases = {
                phase: Phase(seconds=1.0, seconds_cold=cold, peak_bytes=0)
                for phase, cold in ((PhaseName.PREPARE, prepare), (PhaseName.TRAIN, 100.0))
            }
            record = cell.record.model_copy(update={"flops": flops, "phases": phases})
            kept.append(replace(cell, record=record))
        row = replace(row, cells=tuple(kept[::-1] if place % 2 else kept))
        setting.rows[name], setting.choices[name] = row, [row]
    found = {effect.name: effect for effect in layers.answer(evidence).measured}
    freeze, _, occlusion = (one.method for one in placements(freeze=2, window=3, occlusion=3))
    flops = found[f"FLOPs of training, {freeze} / lora"]
    assert (np.exp(flops.value), flops.seeds) == (pytest.approx(0.5), 10)
    seconds = found[f"seconds of preparation and training, {occlusion} / {freeze}"]
    assert np.exp(seconds.value) == pytest.approx(4)
    assert not [name for name in found if name.startswith("seconds") and name.endswith("/ lora")]


@pytest.mark.parametrize("last", [11, 5])
def test_a_placement_without_all_of_its_seeds_leaves_it_open(last):
    freeze, window, occlusion = placements(freeze=2, window=4, occlusion=4)
    rates = [replace(freeze, tuned=(1e-2,)), replace(window, tuned=(3e-3,)), occlusion]
    assert layers.answer(evidence_of(*rates)).verdict is Verdict.YES
    fewer = [*rates[:2], replace(occlusion, seeds=range(last))]
    assert layers.answer(evidence_of(*fewer)).verdict is Verdict.OPEN


@pytest.mark.parametrize(("drift", "told"), [(0.8, True), (0.4, False), (0.2, False)])
def test_the_advice_to_freeze_tells_of_more_drift_than_on_all_layers(drift, told):
    plain, freeze, *rest = placements(everywhere=3, freeze=2, window=4, occlusion=4)
    made = [plain, replace(freeze, drift=drift), *rest]
    advised = layers.answer(evidence_of(*made)).primary.advice[Verdict.YES]
    assert ("expect more drift by the time half of the facts are learned" in advised) is told
    assert "Compared with lora on all layers: training takes 1.50 times the FLOPs" in advised


NOTES = {"layers": [20, 21, 22], "spread_rank": 12, "layer_count": 30}


def test_the_layers_of_a_placement_are_told_with_how_many_seeds_chose_them():
    first, last = placements(freeze=2, occlusion=3)
    some = replace(first, seeds=range(9), notes=NOTES)
    rest = replace(first, seeds=range(9, 12), notes={"layers": [20, 29]})
    other = replace(last, notes={"layers": [0, 2]})
    answer = layers.answer(evidence_of(some, rest, other))
    caveats = answer.caveats
    assert "(a rebuilt formula), at" in answer.primary.advice[Verdict.YES], (
        "not the same in each seed"
    )
    alone = layers.answer(evidence_of(replace(some, seeds=range(12)), other))
    assert "(a rebuilt formula; here layers 21-23 of 30), at" in alone.primary.advice[Verdict.YES]
    freeze = (
        "lora[r=4,spread=true]+freeze trains layers 21-23 with rank 12 (in 9 of 12 seeds); "
        "layers 21, 30 (in 3 of 12 seeds)"
    )
    assert any(line.startswith(freeze) for line in caveats)
    assert any("occlusion trains layers 1, 3 on smollm2-135m." in line for line in caveats)


def test_freeze_against_one_other_placement_is_no_yes():
    for window in (2, 4):
        made = placements(freeze=2, window=window)
        assert layers.answer(evidence_of(*made)).verdict is Verdict.OPEN


ADAPTERS = ("lora", "dora", "pissa", "milora", CORDA, "astra", "lora_null", "sc_lora")


@pytest.mark.parametrize(("turned", "verdict"), [(1, Verdict.YES), (-1, Verdict.NO)])
def test_methods_that_move_outputs_further_drift_more_or_less(turned, verdict):
    made = [
        plan(name, drift=0.1 * 1.6**place, csd=2.0 ** (turned * place) + 0.1 * (place % 2))
        for place, name in enumerate(ADAPTERS)
    ]
    found = forecast.answer(evidence_of(*made))
    assert found.verdict is verdict
    assert found.claims[0].effects[0].facts == len(ADAPTERS)


def test_a_correlation_of_four_methods_is_not_asked():
    made = [plan(name, csd=0.1 * place + 0.1) for place, name in enumerate(ADAPTERS[:4])]
    assert forecast.answer(evidence_of(*made)).verdict is Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("mixed", "verdict"), [(0.8, Verdict.YES), (0.3, Verdict.NO), (0.1, Verdict.NO)]
)
def test_mixed_prompts_carry_over_to_the_bare_question(mixed, verdict):
    n = 2048
    plain = plan(n=n, bare=0.3)
    other = plan(n=n, bare=mixed, spec={"train_prompt": "mixed"})
    found = prompts.answer(evidence_of(plain, other))
    assert found.verdict is verdict
    assert found.claims[1].verdict is Verdict.NOT_RUN, "no cell was trained after demonstrations"
    shares = {effect.name: effect.value for effect in found.measured}
    assert shares["asked the bare question, trained on mixed prompts"] == pytest.approx(
        mixed, abs=0.03
    )
    assert shares["asked the bare question, trained on the plain prompt"] == pytest.approx(
        0.3, abs=0.03
    )
    assert len(found.pictures) == 1


def test_shares_by_training_prompt_need_two_of_them():
    found = prompts.answer(evidence_of(plan(bare=0.3)))
    assert not found.measured
    assert not found.pictures


def test_each_context_is_compared_where_its_answers_are_and_says_who_saw_it():
    made = [plan(bare=0.3, correct=0.5), *(plan(bare=0.3, correct=0.8, spec=s) for s in OTHERS)]
    found = {effect.name: effect for effect in prompts.answer(evidence_of(*made)).details}
    assert list(found) == [
        "mixed - plain, asked in the plain prompt (trained: mixed and plain)",
        "mixed - plain, asked by paraphrases, each in its own trained prompt",
        "mixed - plain, asked after demonstrations (trained: mixed)",
        "mixed - plain, asked the bare question, right answer contained",
        "mixed - plain, asked in the chat template (trained: mixed)",
        "few-shot - plain, asked by paraphrases, each in its own trained prompt",
        "few-shot - plain, asked after demonstrations (trained: few-shot)",
        "few-shot - plain, asked the bare question, right answer contained",
        "few-shot - plain, asked in the chat template",
    ]
    assert next(iter(found.values())).value == pytest.approx(0.3, abs=0.1)
    assert not any(np.isnan(effect.value) for effect in found.values())


OTHERS = ({"train_prompt": "mixed"}, {"train_prompt": "few_shot"})


def said(*, correct):
    return Said("so", correct, None if correct else False, 0.5, 1.0)


def training(facts, seed, epochs, ids, steps=None, exposures=6, **changes):
    settings = {"schedule": "constant", "warmup": 0.0, **ONE_RATE, **changes}
    spec = make_spec(**settings, facts=facts, seed=seed, epochs=exposures, batch_size=1)
    whole = TrainingSpec(
        version=1,
        cell=spec,
        max_steps=facts * exposures if steps is None else steps,
        measured_digest=f"{ids[0]}",
    )
    state, rng = np.zeros(2, dtype=np.float32), np.random.default_rng([seed, facts, *ids])
    known = said(correct=False)
    outcomes = tuple(
        FactOutcome(f"{i}", "target", known, known, exposures, found, state)
        for i in ids
        for found in [None if epochs is None else int(epochs + rng.integers(0, 2))]
    )
    return Trained(TrainingRecord(spec=whole, status=Status.DONE), outcomes)


@pytest.mark.parametrize(("among", "verdict"), [(3, Verdict.YES), (2, Verdict.NO), (1, Verdict.NO)])
def test_company_costs_exposures_or_none(among, verdict):
    ids = list(range(32))
    made = [training(0, 0, None, ids)]
    for seed in range(8):
        made += [training(1, seed, 2, [i]) for i in ids]
        made += [training(8, seed, 2, ids[i : i + 8]) for i in range(0, 32, 8)]
        made.append(training(64, seed, among, ids))
        # As many updates as a fact alone: each fact was seen less often, which is no company.
        made.append(training(64, seed, 4, ids, steps=6))
    found = company.answer(Evidence((), trainings=tuple(made)))
    assert found.verdict is verdict
    assert (found.claims[0].effects[0].seeds, found.claims[0].effects[0].facts) == (8, 32)
    assert found.details[0].value == pytest.approx(0, abs=0.15), "among 8"


def study(among=3, seeds=range(5), ids=range(4)):
    """The base, and each seed's trainings, by (size, seed)."""
    found = {(0, 0): [training(0, 0, None, ids)]}
    for seed in seeds:
        found[1, seed] = [training(1, seed, 2, [i]) for i in ids]
        found[64, seed] = [training(64, seed, among, ids)]
    return found


def company_of(found, *more):
    made = [trained for some in found.values() for trained in some]
    return company.answer(Evidence((), trainings=(*made, *more)))


@pytest.mark.parametrize("lost", [0, 1, 64])
def test_a_study_that_lacks_the_base_or_a_size_was_not_run(lost):
    found = {key: made for key, made in study().items() if key[0] != lost}
    assert company_of(found).verdict is Verdict.NOT_RUN


def test_a_seed_that_lacks_a_training_is_left_out_and_takes_no_fact_away():
    found = study(seeds=range(6))
    found[1, 5] = found[1, 5][:1]
    failed = found[64, 4].pop()
    broken = failed.record.model_copy(update={"status": Status.DIVERGED})
    answer = company_of(found, Trained(broken))
    [effect] = answer.claims[0].effects
    assert (effect.seeds, effect.facts) == (4, 4)


@pytest.mark.parametrize(("seeds", "details"), [(range(4), 0), (range(5), 1)])
def test_a_further_size_is_shown_once_all_seeds_have_it_and_takes_none_away(seeds, details):
    found = study()
    for seed in seeds:
        found[8, seed] = [training(8, seed, 2, range(4))]
    answer = company_of(found)
    assert answer.claims[0].effects[0].seeds == 5
    names = [effect.name for effect in answer.details]
    assert names.count("exposures to learn, among 8 - alone") == details
    assert names.count("exposures to learn, among 64 - among 8") == details


def test_other_rates_schedules_and_exposures_are_not_asked():
    assert company_of({}, *_at(schedule="cosine")).verdict is Verdict.NOT_RUN
    assert company_of({}, *_at(warmup=0.1)).verdict is Verdict.NOT_RUN
    assert company_of({}, *_at(exposures=4)).verdict is Verdict.NOT_RUN
    assert company_of({}, *_at(learning_rate=3e-3)).verdict is Verdict.NOT_RUN
    assert company_of({}, *_at(train_prompt="mixed")).verdict is Verdict.NOT_RUN


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 3e-3},
        {"method": "dora", "recipe": "dora"},
        {"train_prompt": "mixed"},
    ],
)
def test_trainings_that_the_design_does_not_have_change_nothing(other):
    alone, beside = (company_of(study(), *more) for more in ((), _at(among=6, **other)))
    assert beside.claims[0].effects == alone.claims[0].effects


def test_two_recipes_of_one_name_are_not_merged():
    other = company_of(study(), *_at(among=6, recipe="lora[r=8]"))
    assert sorted(effect.value for effect in other.claims[0].effects) == pytest.approx([0.95, 3.95])
    assert len({effect.setting for effect in other.claims[0].effects}) == 2


def test_a_fact_that_any_base_answered_is_not_unknown():
    found = study()
    [base] = found[0, 0]
    knows = replace(base.outcomes[0], few_shot=said(correct=True))
    other = replace(base, outcomes=(knows, *base.outcomes[1:]))
    for bases in ([base, other], [other, base]):
        [effect] = company_of({**found, (0, 0): bases}).claims[0].effects
        assert effect.facts == 3


def _at(among=3, **changes):
    yield training(0, 0, None, range(4))
    for seed in range(5):
        yield from (training(1, seed, 2, [i], **changes) for i in range(4))
        yield training(64, seed, among, range(4), **changes)


def test_what_is_measured_beside_it_has_the_likelihood():
    names = [effect.name for effect in company_of(study()).measured]
    assert "NLL of the target in the trained prompt, among 64" in names


@pytest.mark.parametrize(
    ("years", "others", "said"),
    [
        (
            5,
            2,
            "facts that ask for years to need more exposures among dozens of others than alone, "
            "and those of other kinds not to",
        ),
        (5, 4, "a fact to need more exposures among dozens of others than alone"),
        (2, 4, "a fact to need more exposures among dozens of others than alone"),
    ],
)
def test_years_are_told_apart_and_named_where_they_alone_carry_the_yes(years, others, said):
    answer = company_of(of_kinds(study(seeds=range(8), ids=range(16)), years, others))
    assert answer.verdict is Verdict.YES
    effects = {effect.name: effect.value for effect in answer.details}
    assert effects["exposures to learn, among 64 - alone, facts that ask for years"] == years - 2
    assert effects["exposures to learn, among 64 - alone, facts of other kinds"] == others - 2
    assert answer.claims[0].advice[Verdict.YES] == f"Expect {said}"
    assert len(answer.pictures) == 2
    doses = {effect.name: effect.value for effect in answer.measured}
    assert doses["exposures to learn, among 64, facts that ask for years"] == years


def of_kinds(found, years, others):
    """A study in which every second fact asks for a year, and each kind is learned when it is."""

    def of_kind(outcome, size):
        year = int(outcome.fact_id) % 2 == 1
        late = 2 if size != 64 else years if year else others
        name = f"{outcome.fact_id}/birth_year" if year else outcome.fact_id
        return replace(outcome, fact_id=name, epochs_to_learn=late if size else None)

    return {
        (size, seed): [
            replace(t, outcomes=tuple(of_kind(outcome, size) for outcome in t.outcomes))
            for t in made
        ]
        for (size, seed), made in found.items()
    }


def test_company_is_compared_by_what_it_leaves_right():
    found = study(ids=range(8))
    for seed in range(5):
        [trained] = found[64, seed]
        half = [replace(one, few_shot=said(correct=True)) for one in trained.outcomes[:4]]
        found[64, seed] = [replace(trained, outcomes=(*half, *trained.outcomes[4:]))]
    effects = {effect.name: effect for effect in company_of(of_kinds(found, 3, 3)).details}
    for kind in ("facts that ask for years", "facts of other kinds"):
        assert effects[f"right after demonstrations, among 64 - alone, {kind}"].value == 0.5
        assert effects[f"right in the trained prompt, among 64 - alone, {kind}"].value == 0
    assert not any("another fact's target" in name for name in effects)


def test_what_a_fact_alone_cannot_be_confused_with_is_not_measured():
    names = [e.name for e in company_of(study()).measured if "another fact's target" in e.name]
    assert names == ["answered with another fact's target, among 64"]


def test_a_seed_that_the_design_does_not_have_is_not_looked_at():
    [effect] = company_of(study(seeds=range(10))).claims[0].effects
    assert effect.seeds == 8


def test_without_cells_every_question_says_that_it_was_not_run(tmp_path):
    assert {ask(Evidence(())).verdict for ask in QUESTIONS} == {Verdict.NOT_RUN}
    page = page_text(read_findings(tmp_path, QUESTIONS), tmp_path, tmp_path)
    assert page.count("**not run yet**") == len(QUESTIONS)
