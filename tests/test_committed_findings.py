"""The page of findings says what its committed cells say, word for word and picture for picture."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from bench.forgetting.suite import ForgettingTasks, Seen
from bench.pages.findings.checks import checks
from bench.pages.findings.design import power_of
from bench.pages.findings.planned import BAR, EPOCHS_COUNT, PLANNED, POINTS_COUNT
from bench.pages.findings.power import Components
from bench.pages.findings.questions import QUESTIONS, distance
from bench.pages.findings.questions.company import AWAY, RIGHT, SHOWN, TO_LEARN
from bench.pages.findings.questions.company_facts import companies
from bench.pages.findings.questions.planned_settings import (
    MAIN,
    SMALLER,
    epochs_of,
    planned_settings,
)
from bench.pages.findings.questions.straying import ANEW
from bench.pages.findings.readme import findings_block
from bench.pages.findings.verdict import LEAST_SEEDS, Verdict
from bench.pages.findings.write import page_text, read_findings
from bench.report.plots._style import settings
from tasks.base import DataAccess
from tasks.forgetting.names import forgetting_names

FOLDER, DOCS = Path("results/findings"), Path("docs")
DESIGN = "docs/findings/design.md"
MOST_SECONDS = 180


@pytest.fixture(scope="module")
def found():
    return read_findings(FOLDER, QUESTIONS)


@pytest.fixture(scope="module")
def page(found):
    return page_text(found, FOLDER, DOCS)


def test_the_page_is_computed_from_its_cells(page):
    written = (DOCS / "findings.md").read_text(encoding="utf-8")
    assert page == written, "run nox -s findings"


def test_each_picture_of_the_page_is_there_and_can_be_drawn_in_time(found):
    start = time.monotonic()
    names = set()
    with settings():
        for picture in (one for of_answer in found.pictures for one in of_answer):
            assert picture.draw().axes
            names.add(f"{picture.name}.png")
    assert names == {path.name for path in (DOCS / "findings").glob("*.png")}
    assert time.monotonic() - start < MOST_SECONDS


def test_the_readme_leads_with_what_is_decided(found):
    readme = Path("README.md").read_text(encoding="utf-8")
    assert findings_block(found.answers, "docs/findings.md") in readme, "run nox -s findings"


NOTES = sorted((FOLDER / "notes").glob("*.md"))


@pytest.mark.parametrize("note", NOTES, ids=lambda path: path.stem)
def test_each_interval_of_a_note_stands_in_the_tables(page, note):
    tables = page.replace(note.read_text(encoding="utf-8").strip(), "")
    intervals = re.findall(r"(?:-?[\d.]+ )?\[[-+\d., ]+\](?!\()", note.read_text(encoding="utf-8"))
    assert intervals
    for interval in intervals:
        assert f" {interval}".replace("+", "") in tables.replace("+", ""), interval


def test_what_the_notes_count_is_so(found):
    texts = {note.stem: " ".join(note.read_text(encoding="utf-8").split()) for note in NOTES}
    [setting] = planned_settings(found.evidence, SMALLER)
    row = setting.rows["lora"]
    near = distance.raw_thirds(row)[0]
    years = distance.relations_of(row).str.endswith("_year").to_numpy()
    assert f"{(near & years).sum()} of the {near.sum()} nearest facts" in texts["distance"]
    assert near[years].all()
    nearest = distance.distances_of(row)[~years].min()
    assert f"no fact of another kind lies nearer than {nearest:.2f}." in texts["distance"]
    ends = [f"{effect.value:.2f}" for effect in found.answers[0].primary.effects]
    assert (
        "nearest third takes {} epochs longer and the farthest {},".format(*ends)
        in texts["distance"]
    )
    for rate, said in ((3e-4, "3e-4"), (1e-3, "1e-3"), (3e-3, "3e-3")):
        learned = np.mean(_learned(found, "lora", rate))
        assert f"{100 * learned:.0f}% at {said}" in texts["distance"]
    of_lora, of_pissa = (
        np.mean(_learned(found, method, rate, "learned_half"))
        for method, rate in (("lora", 1e-3), ("pissa", 3e-4))
    )
    half = f"{100 * of_lora:.0f}% for LoRA and {100 * of_pissa:.0f}% for PiSSA"
    assert half in texts["speed"]
    saved = (_sooner(found, rate) for rate in (3e-4, 1e-3, 3e-3))
    sooner, later, much_later = (f"{abs(epochs):.1f}" for epochs in saved)
    assert (
        f"PiSSA was {sooner} epochs sooner at 3e-4, {later} later at 1e-3 and {much_later} later "
        "at 3e-3"
    ) in texts["speed"]
    late = [100 * np.mean(epochs_of(setting.rows[m], range(12)) > 6) for m in ("lora", "pissa")]
    assert "{:.0f}% of LoRA's and {:.0f}% of PiSSA's".format(*late) in texts["speed"]
    for words, method, rate, share in (
        ("LoRA at 3e-4 had drifted by {} nats where 30%", "lora", 3e-4, 0.3),
        ("where half were learned it had drifted by {} nats, and", CORDA, 1e-4, 0.5),
        ("and LoRA by {}.", "lora", 1e-3, 0.5),
    ):
        said = words.format(f"{_drift_at(found, method, rate, share):.2f}")
        assert said in texts["keeping"], said
    assert abs(_drift_at(found, CORDA, 3e-4, 0.3) - _drift_at(found, "lora", 3e-4, 0.3)) < 0.01
    assert (
        f"drifted by {_drift_at(found, 'pissa', 1e-4, 0.5):.2f} nats where half" in texts["speed"]
    )
    steps = [_drift_at(found, "lora", rate, 0.3) for rate in (1e-3, 3e-4)]
    assert f"{steps[0] / steps[1]:.1f} times for LoRA where 30%" in texts["keeping"]
    epochs = (_epochs(found, CORDA, 1e-4), _epochs(found, "lora", 1e-3))
    assert "(in {:.1f} and {:.1f} epochs)".format(*epochs) in texts["keeping"]
    base, *tuned = (100 * share for share in _countries(setting))
    shares = "the base answers {:.0f}%, LoRA {:.0f}% after the last epoch and CorDA {:.0f}%"
    assert shares.format(base, *tuned) in texts["keeping"]
    drifts = [_last_drift(setting.rows[method]) for method in ("lora", CORDA)]
    further = (drifts[0] > drifts[1]).sum()
    assert f"on {further} of the {len(drifts[0])}," in texts["keeping"]
    ratios = [_ratio_at(setting, share) for share in (0.1, 0.3, 0.65)]
    assert (
        "{:.2f} where 10% are, {:.2f} where 30% are and {:.2f} where 65%".format(*ratios)
        in texts["keeping"]
    )
    continent = _continents()
    own, plain = (_answered(setting.rows[method]) for method in (CORDA, "lora"))
    shares = [100 * items[continent].mean() for items in (own, plain)]
    assert (
        "CorDA answers {:.0f}%, about as many as the base, and LoRA {:.0f}%".format(*shares)
        in texts["keeping"]
    )
    assert abs(_asked_of_base(setting)[continent].mean() - own[continent].mean()) < 0.02
    assert f"of {len(continent)} questions about other countries" in texts["keeping"]
    rest = 100 * (own - plain)[~continent].mean()
    assert (
        f"these {continent.sum()} questions the difference is {rest:.1f} points" in texts["keeping"]
    )
    _check_the_filter(found, texts["strategies"])
    _check_the_prompts(found, texts["prompts"])
    _check_the_company(found, texts["company"])
    _check_the_layers(found, setting, texts["layers"])
    straying = {e.name: e.value for a in found.answers for e in a.measured if "third" in e.name}
    differ = straying[f"{ANEW}, nearest third"] - straying[f"{ANEW}, farthest third"]
    assert f"would differ by {100 * differ:.1f} points" in texts["straying"]


CORDA = "corda[calibration=countries]"


def _sooner(found, rate):
    """By how many epochs PiSSA learned the tuning facts sooner than LoRA at one rate."""
    return _epochs(found, "lora", rate) - _epochs(found, "pissa", rate)


def _epochs(found, method, rate):
    """Mean epochs to learn the tuning facts at one rate."""
    return np.mean([epochs.mean() for _, epochs in _candidates(found, method, rate)])


def _drift_at(found, method, rate, share):
    """Mean drift where a share of the tuning facts is learned, between checkpoints on a line."""
    drifts = []
    for record, epochs in _candidates(found, method, rate):
        learned = [np.mean(epochs <= epoch) for epoch in range(len(record.path) + 1)]
        assert learned[-1] >= share
        drifts.append(np.interp(share, learned, [0.0, *(point.drift for point in record.path)]))
    return np.mean(drifts)


def _candidates(found, method, rate):
    facts = pd.read_parquet(FOLDER / "facts.parquet", columns=["cell_id", "epochs_to_learn"])
    for record in _tried(found, method, rate):
        own = facts.loc[facts["cell_id"] == record.cell_id, "epochs_to_learn"]
        yield record, own.to_numpy(dtype=float)


def _ratio_at(setting, share):
    """LoRA's drift over CorDA's where a share is learned, between checkpoints on a line."""
    logs = []
    for method in ("lora", CORDA):
        row = setting.rows[method]
        learned = [np.mean(epochs_of(row, row.seeds) <= end, axis=1) for end in range(7)]
        drifts = [[0.0, *(point.drift for point in cell.record.path)] for cell in row.cells]
        at = [
            np.interp(share, one, drift)
            for one, drift in zip(np.transpose(learned), drifts, strict=True)
        ]
        logs.append(np.log(at))
    return np.exp(np.mean(logs[0] - logs[1]))


def _answered(row):
    """Mean score of each question about countries after training, `[questions]`."""
    lists = [found for cell in row.cells for found in cell.record.forgetting]
    return np.mean([found.tuned_items for found in lists if found.task == "countries"], axis=0)


def _asked_of_base(setting):
    """Mean score of each question about countries before training, `[questions]`."""
    lists = [found for cell in setting.rows["lora"].cells for found in cell.record.forgetting]
    return np.mean([found.base_items for found in lists if found.task == "countries"], axis=0)


def _continents():
    """Which of these questions ask for a continent, `[questions]`."""
    tasks = ForgettingTasks(DataAccess(None), 450)
    [task] = tasks.build(forgetting_names(["countries"]), Seen((), ()))
    return np.array(["continent" in document["question"] for document in task.task.eval_docs])


def _check_the_filter(found, text):
    """What the note says of the facts that the filter leaves out, and of those it shares."""
    [(ours, chance)] = [
        [setting.rows[name] for name in ("lora+filter", "lora+random_filter")]
        for setting in found.evidence.settings
        if "lora+filter" in setting.rows
    ]
    kept, kept_by_chance = (
        np.stack([cell.rows["kept"] for cell in row.cells]).astype(bool) for row in (ours, chance)
    )
    assert (kept == kept[0]).all()
    away = np.asarray(distance.distances_of(ours))
    low, high = away[~kept[0]].min(), away[~kept[0]].max()
    assert f"without {(~kept[0]).sum()} whose distances are {low:.2f} to {high:.2f}" in text
    near, far = (kept[0] & (away <= low)).sum(), (kept[0] & (away >= high)).sum()
    assert f"the {near} nearest and the {far} farthest in every seed" in text
    assert near + far == kept[0].sum()
    years = distance.relations_of(ours).str.endswith("_year").to_numpy()
    assert f"All {years.sum()} facts that ask for years stay" in text
    assert kept[0][years].all()
    epochs = np.stack([cell.rows["epochs_to_learn"] for cell in chance.cells]).astype(float)
    of_chance = [
        100 * np.mean(epochs[kept_by_chance & chosen] <= 6) for chosen in (~kept[0], kept[0])
    ]
    said = "{:.0f}% of what the filter leaves out is learned, and {:.0f}% of what it keeps"
    assert said.format(*of_chance) in text
    assert f"Of these {kept.shape[1]} facts those are" in text
    shared = (kept & kept_by_chance).sum(axis=1).mean()
    assert f"share about {shared:.0f} of their {kept[0].sum()} facts" in text


def _last_drift(row):
    """Mean drift of each text after the last epoch, `[texts]`."""
    lists = [found for cell in row.cells for found in cell.record.forgetting]
    return np.mean([found.tuned_items for found in lists if found.task == "drift"], axis=0)


def _countries(setting):
    """The mean share of countries that the base, LoRA and CorDA answer."""
    of = {
        method: [f for cell in setting.rows[method].cells for f in cell.record.forgetting]
        for method in ("lora", CORDA)
    }
    tuned = {m: [f.tuned for f in found if f.task == "countries"] for m, found in of.items()}
    base = [f.base for f in of["lora"] if f.task == "countries"]
    return np.mean(base), np.mean(tuned["lora"]), np.mean(tuned[CORDA])


def _learned(found, method, rate, measure="reliability"):
    return [getattr(record.metrics, measure) for record in _tried(found, method, rate)]


def _check_the_prompts(found, text):
    """What the note says of bare answers to facts that are answered in the plain prompt."""
    [effect] = found.answers[8].primary.effects
    assert found.answers[8].question.key == "prompts"
    bare: dict[str, np.ndarray] = {}
    again: dict[str, dict[str, float]] = {}
    for setting in planned_settings(found.evidence, replace(MAIN, prompt=None)):
        row = setting.rows.get("lora")
        if row is not None:
            seeds = [cell.rows for cell in row.cells if cell.record.spec.seed < 5]
            trained = [rows["correct_after"].to_numpy(dtype=float) for rows in seeds]
            prompt = str(row.spec.train_prompt)
            again[prompt] = {}
            for context in ("bare", "few_shot", "chat"):
                asked = [rows[f"correct.{context}"].to_numpy(dtype=float) for rows in seeds]
                pairs = zip(asked, trained, strict=True)
                also = [right[plain == 1].mean() for right, plain in pairs]
                again[prompt][context] = 100 * np.mean(also)
                if context == "bare":
                    bare[prompt] = np.mean(asked, axis=1)
    mixed, plain = again["mixed"], again["plain"]
    for said, *shares in (
        (
            "{:.0f}% are answered to the bare question after mixed prompts and {:.0f}% after the "
            "plain one",
            mixed["bare"],
            plain["bare"],
        ),
        (
            "{:.0f}% are also answered after demonstrations and {:.0f}% in the chat template, "
            "where training on the plain prompt has {:.0f}% and {:.0f}%",
            *(mixed["few_shot"], mixed["chat"], plain["few_shot"], plain["chat"]),
        ),
    ):
        assert said.format(*shares) in text
    ends = {
        rate: 100 * np.mean([r.metrics.reliability for r in _tried(found, "lora", rate, "mixed")])
        for rate in (3e-4, 1e-3, 3e-3)
    }
    said = "{:.0f}% of the tuning facts at 3e-4, {:.0f}% at 1e-3 and {:.0f}% at 3e-3"
    assert said.format(*ends.values()) in text
    differences = bare["mixed"] - bare["plain"]
    assert differences.mean() == pytest.approx(effect.value)
    assert (np.abs(differences) < 0.01).sum() == 2
    fewer = [np.delete(differences, seed) for seed in range(5)]
    p = [ttest_1samp(some, BAR * POINTS_COUNT / 100, alternative="less").pvalue for some in fewer]
    assert [seed for seed in range(5) if p[seed] > 0.025] == [0, 1, 3]
    assert "without seed 0, 1 or 3 it would be open" in text
    assert "in two of five there is hardly a difference" in text


def _check_the_company(found, text):
    """What the note says of facts that ask for years, alone and among others."""
    assert found.answers[2].question.key == "company"
    [one] = companies(found.evidence.trainings)
    relations = np.array([fact.rpartition("/")[2] for fact in one.facts])
    years = np.char.endswith(relations, "_year")
    assert f"The {years.sum()} that ask for years" in text
    assert f"For the {(~years).sum()} of other kinds" in text
    more = TO_LEARN.table(one, 64) - TO_LEARN.table(one, 1)
    assert found.answers[2].primary.effects[0].value == pytest.approx(more.mean())
    assert BAR * EPOCHS_COUNT <= more.mean() < EPOCHS_COUNT
    design = " ".join(Path(DESIGN).read_text(encoding="utf-8").split())
    seen = Components.of(more)
    assert f"The spread over facts is {seen.fact:.2f} epochs" in design
    [planned] = [claim for claim in PLANNED if claim.number == 3]
    power = power_of(replace(planned, components=seen))
    said = f"as they were seen the power is {power.yes:.2f} for a yes and {power.no:.2f} for a no"
    assert said in design
    grown = TO_LEARN.table(one, 64) - TO_LEARN.table(one, 8)
    assert all(grown[:, relations == relation].mean() > 0 for relation in {*relations})
    assert "From 8 to 64, facts of every relation take longer" in text
    sooner = [(TO_LEARN.table(one, 1) - TO_LEARN.table(one, n))[:, ~years].mean() for n in (8, 64)]
    said = "learned {:.2f} exposures sooner among 8 than alone, and {:.2f} sooner among 64"
    assert said.format(*sooner) in text
    away = np.mean([one.before[fact].few_shot.distance for fact in np.array(one.facts)[years]])
    assert f"lie as near ({away:.2f} from their targets)" in text
    late = 100 * np.mean(TO_LEARN.table(one, 64, years) == 7)
    assert f"{late:.0f}% of them are not learned among 64, which counts as seven" in text
    of_founder = more[:, relations == "founder"].sum() / more[:, ~years].sum()
    assert 1 / 3 < of_founder < 1 / 2
    assert "more than a third of it comes from one relation, `founder`" in text
    for relation in {*relations[years]}:
        assert more[:, relations != relation].mean() < BAR * EPOCHS_COUNT
    assert len({*relations[years]}) == 3
    assert "any one of the three relations that ask for years" in text
    assert RIGHT.table(one, 1, years).all()
    assert SHOWN.table(one, 1, years).all()
    assert not AWAY.table(one, 1, years).any()
    assert "of years 0% alone and" in text
    _check_the_groups(found, text)


def _check_the_layers(found, setting, text):
    """What the note says of the layers that are trained, of years, and of the rates."""
    freeze, occlusion = (f"lora[r=4,spread=true]+{name}" for name in ("freeze", "occlusion"))
    window = "lora[r=4,spread=true]+window[first=11,last=20]"
    rows = [setting.rows[name] for name in (freeze, window, occlusion)]
    epochs = [epochs_of(row, range(12)) for row in rows]
    late = [100 * np.mean(table > 6) for table in epochs]
    said = "{:.0f}% with `freeze`, {:.0f}% with the window and {:.0f}% with occlusion"
    assert said.format(*late) in text
    years = distance.relations_of(rows[0]).str.endswith("_year").to_numpy()
    assert all(np.mean(table[:, years] <= 6) < 0.5 for table in epochs)
    assert "years, of which every placement learns less than half, differ by" in text
    later = [
        (table - epochs[0])[:, kind].mean() for kind in (years, ~years) for table in epochs[1:]
    ]
    said = "differ by {:.2f} and {:.2f} epochs, and others by {:.2f} and {:.2f}."
    assert said.format(*later) in text
    notes = [[cell.record.notes for cell in row.cells] for row in rows]
    assert all(one["layers"] == [*range(20, 30)] for one in notes[0])
    assert all(one["layers"] == [*range(10, 20)] for one in notes[1])
    assert all(len(one["layers"]) == 8 and {0, 29} <= {*one["layers"]} for one in notes[2])
    assert "the ten layers that `freeze` leaves" in text
    assert "the eight that occlusion finds" in text
    away, gain = (np.array(notes[0][0][name]) for name in ("layer_deviation", "gain"))
    assert f"it is {away[1:-1].min():.2f} to {away[1:-1].max():.2f} after each" in text
    falls = np.sort(gain[:-1])[::-1]
    assert gain[:-1].argmax() == 19
    assert f"by {falls[0]:.3f} at layer 20; the next fall is {falls[1]:.3f}." in text
    assert {one["cut_stability"] for one in notes[0]} == {1.0}
    assert "the cut stays the same" in text
    at_half = [_drift_at(found, name, 1e-3, 0.5) for name in (freeze, "lora")]
    assert (
        "drifted by {:.2f} nats where half were learned, and LoRA by {:.2f},".format(*at_half)
        in text
    )
    slow = [_epochs(found, name, 1e-3) for name in (freeze, "lora")]
    assert "it took {:.1f} epochs, and LoRA {:.1f}.".format(*slow) in text
    assert [row.spec.learning_rate for row in rows] == [3e-3] * 3
    names = freeze, window, occlusion
    for name in names:
        assert np.mean(_learned(found, name, 1e-2)) < 0.01
        half = {
            rate: np.mean(_learned(found, name, rate, "learned_half"))
            for rate in (3e-4, 1e-3, 3e-3, 1e-2)
        }
        assert max(half.values()) < 0.1
    at = {(name, rate): _epochs(found, name, rate) for name in names for rate in (1e-3, 3e-3)}
    more = at[occlusion, 1e-3] - at[freeze, 1e-3]
    assert f"as soon as `freeze` (it took {more:.2f} epochs more)" in text
    ends = [100 * np.mean(_learned(found, name, 1e-3)) for name in (occlusion, freeze)]
    assert "fewer, {:.0f}% against {:.0f}%;".format(*ends) in text
    later = [at[occlusion, 3e-3] - at[freeze, 3e-3]]
    later += [at[window, rate] - at[freeze, rate] for rate in (1e-3, 3e-3)]
    said = "at 3e-3 it took {:.2f} epochs more there. The window took {:.2f} and {:.2f} more."
    assert said.format(*later) in text
    by_old_rule = at[freeze, 1e-3] - at[occlusion, 3e-3]
    assert f"occlusion was {by_old_rule:.2f} epochs sooner on the tuning facts" in text
    tuned = _tried(found, occlusion, 3e-3)[0].notes["layers"]
    assert ({*tuned} - {*notes[2][0]["layers"]}, {*notes[2][0]["layers"]} - {*tuned}) == (
        {19},
        {27},
    )
    assert "it had found layer 20 instead of 28" in text
    for table in epochs[1:]:
        more = table - epochs[0]
        assert all(np.delete(more, seed, axis=0).mean() > 0.7 for seed in range(12))
        relations = distance.relations_of(rows[0]).to_numpy()
        assert all(more[:, relations != one].mean() > 0.6 for one in {*relations})
    last = [_last_drift(row).mean() for row in rows]
    assert last[0] < min(last[1:])
    parameters = {row.cells[0].record.parameters for row in rows}
    [trained] = parameters
    assert setting.rows["lora"].cells[0].record.parameters == 4 * trained


def _check_the_groups(found, text):
    """What the note says of wrong answers to facts that ask for years, in groups of 64."""
    groups = [t for t in found.evidence.trainings if t.record.spec.cell.facts == 64]
    asked = {
        trained.record.spec.digest: [o for o in trained.outcomes if o.fact_id.endswith("_year")]
        for trained in groups
    }
    sizes = [len(outcomes) for outcomes in asked.values()]
    assert f"Each group of 64 has {min(sizes)} to {max(sizes)} years" in text
    wrong = Counter()
    for trained in groups:
        seed = trained.record.spec.cell.seed
        [apart] = [t for t in groups if t.record.spec.cell.seed == seed and t is not trained]
        targets = [{o.target: o.fact_id for o in t.outcomes} for t in (trained, apart)]
        for outcome in asked[trained.record.spec.digest]:
            with_it, elsewhere = (of.get(outcome.plain.answer) for of in targets)
            if not outcome.plain.correct:
                wrong["all"] += 1
                wrong["with it"] += with_it is not None
                relation = outcome.fact_id.rpartition("/")[2]
                wrong["same relation"] += with_it is not None and with_it.endswith(relation)
                wrong["elsewhere"] += with_it is None and elsewhere is not None
    shares = [100 * wrong[where] / wrong["all"] for where in ("with it", "elsewhere")]
    assert f"{shares[0]:.0f}% are the target of another fact in the same group" in text
    assert "nearly always of the same relation" in text
    assert wrong["same relation"] > 0.95 * wrong["with it"]
    assert f"{shares[1]:.0f}% are a target of the other group only" in text
    steps = {
        size: {
            trained.record.updates
            for trained in found.evidence.trainings
            if trained.record.spec.cell.facts == size
        }
        for size in (1, 8, 64)
    }
    assert steps == {1: {6}, 8: {48}, 64: {384}}
    assert "the steps in all (6, 48 and 384)" in text


def _tried(found, method, rate, prompt="plain"):
    """The candidates of a method at a rate, trained on a prompt."""
    specs = ((record, record.spec) for record in found.evidence.records)
    return [
        record
        for record, spec in specs
        if spec.is_candidate
        and (spec.asked, spec.learning_rate, spec.train_prompt) == (method, rate, prompt)
    ]


def test_a_question_about_facts_checks_the_rate_of_its_method_alone(found):
    lines = [line for line in checks(found.answers[0], found.evidence) if "rate" in line]
    assert any("lora lr 0.001" in line for line in lines)
    assert not any("pissa" in line for line in lines)


def test_nothing_is_decided_by_few_seeds(found):
    decided = [a for a in found.answers if a.verdict in (Verdict.YES, Verdict.NO)]
    assert decided
    for answer in decided:
        assert min(rival.seeds for rival in answer.primary.rivals) >= LEAST_SEEDS


def test_the_design_was_committed_before_the_cells_that_it_plans(found):
    reported = [one for one in found.evidence.records if not one.spec.is_candidate]
    trained = [one.record for one in found.evidence.trainings]
    commits = {str(one.provenance["git_commit"]) for one in (*reported, *trained)}
    assert reported
    assert trained
    assert not any(one.provenance["git_dirty"] for one in (*reported, *trained))
    for commit in commits:
        shown = subprocess.run(
            ["git", "show", f"{commit}:{DESIGN}"], capture_output=True, text=True, check=False
        )
        if shown.returncode:
            pytest.skip("the history is not here")
        assert re.search(r"^### 9\.", shown.stdout, re.MULTILINE)
