"""The page of findings says what its committed cells say, word for word and picture for picture."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.pages.findings.checks import checks
from bench.pages.findings.questions import QUESTIONS, distance
from bench.pages.findings.questions.planned_settings import SMALLER, epochs_of, planned_settings
from bench.pages.findings.readme import findings_block
from bench.pages.findings.verdict import LEAST_SEEDS, Verdict
from bench.pages.findings.write import page_text, read_findings
from bench.report.plots._style import settings

FOLDER, DOCS = Path("results/findings"), Path("docs")
DESIGN = "docs/findings/design.md"
MOST_SECONDS = 180


@pytest.fixture(scope="module")
def found():
    return read_findings(FOLDER, QUESTIONS)


def test_the_page_is_computed_from_its_cells(found):
    written = (DOCS / "findings.md").read_text(encoding="utf-8")
    assert page_text(found, FOLDER, DOCS) == written, "run nox -s findings"


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
def test_each_interval_of_a_note_stands_in_the_tables(found, note):
    tables = page_text(found, FOLDER, DOCS).replace(note.read_text(encoding="utf-8").strip(), "")
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
    details = [effect for answer in found.answers for effect in answer.details]
    ratios = {e.name: f"{np.exp(-e.value):.2f}" for e in details if "drift" in e.name}
    last, half = (
        ratios[f"lora / pissa, drift {at}"] for at in ("after the last epoch", "with 50% learned")
    )
    assert f"a factor of {last}. " in texts["speed"]
    assert f"the factor is {half}, " in texts["speed"]
    late = [100 * np.mean(epochs_of(setting.rows[m], range(12)) > 6) for m in ("lora", "pissa")]
    assert "{:.0f}% of LoRA's and {:.0f}% of PiSSA's".format(*late) in texts["speed"]
    straying = {e.name: e.value for a in found.answers for e in a.measured if "third" in e.name}
    anew = "expected if distances were shared out anew, {} third"
    differ = straying[anew.format("nearest")] - straying[anew.format("farthest")]
    assert f"would differ by {100 * differ:.1f} points" in texts["straying"]


def _sooner(found, rate):
    """By how many epochs PiSSA learned the tuning facts sooner than LoRA at one rate."""
    facts = pd.read_parquet(FOLDER / "facts.parquet", columns=["cell_id", "epochs_to_learn"])
    means = facts.groupby("cell_id")["epochs_to_learn"].mean()
    of_lora, of_pissa = (
        np.mean([means[record.cell_id] for record in _tried(found, method, rate)])
        for method in ("lora", "pissa")
    )
    return of_lora - of_pissa


def _learned(found, method, rate, measure="reliability"):
    return [getattr(record.metrics, measure) for record in _tried(found, method, rate)]


def _tried(found, method, rate):
    """The candidates of a method at a rate."""
    specs = ((record, record.spec) for record in found.evidence.records)
    return [
        record
        for record, spec in specs
        if spec.is_candidate and (spec.asked, spec.learning_rate) == (method, rate)
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
    commits = {str(record.provenance["git_commit"]) for record in reported}
    assert reported
    assert not any(record.provenance["git_dirty"] for record in reported)
    for commit in commits:
        shown = subprocess.run(
            ["git", "show", f"{commit}:{DESIGN}"], capture_output=True, text=True, check=False
        )
        if shown.returncode:
            pytest.skip("the history is not here")
        assert re.search(r"^### 9\.", shown.stdout, re.MULTILINE)
