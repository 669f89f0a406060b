"""The page of findings: reading, writing, the README's block, and what is committed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.pages.findings.beside import against_reference
from bench.pages.findings.effects import paired
from bench.pages.findings.evidence import read_evidence, shared_seeds, values
from bench.pages.findings.grids import found_grids, took
from bench.pages.findings.readme import BEGIN, END, findings_block, with_findings
from bench.pages.findings.verdict import Answer, Claim, Question, Verdict
from bench.pages.findings.write import page_text, read_findings, write_findings
from bench.store.records import Phase, PhaseName, Status, Tuned
from bench.studies.interference.plan import TrainingSpec
from bench.studies.interference.store import FactOutcome, Trained, TrainingRecord, TrainingStore
from tests.bench.findings_cells import Plan, record_and_rows
from tests.bench.report_cells import fill, make_cell, make_spec

QUESTION = Question(
    key="adapters",
    title="Differences between adapters",
    asks="Does an adapter differ from lora?",
    compared="Every adapter with lora, paired by fact and seed.",
    source="a paper",
    expected=Verdict.NO,
    grids=("adapters", "interference"),
)


def ask(evidence):
    """A made question: adapters, and what freezing loses."""
    settings = evidence.settings
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Freezing loses facts",
                tuple(_freezing(settings)),
                advice={Verdict.YES: "Do not freeze"},
            ),
            Claim(
                "An adapter differs from lora",
                tuple(against_reference(settings)),
                two_sided=True,
                advice={Verdict.NO: "Any adapter will do"},
            ),
        ),
        caveats=("One base was asked.",),
    )


def _freezing(settings):
    for setting in settings:
        if {"lora", "lora+freeze"} <= set(setting.rows):
            both = [setting.rows[method] for method in ("lora", "lora+freeze")]
            seeds = shared_seeds(both)
            if seeds:
                pair = [values(row, seeds) for row in both]
                yield paired("lora - lora+freeze", setting.title, *pair)


def training(size, seed, right, steps, n=40):
    """A training of the study in batches of 8 with 20 exposures, all of `n` facts measured."""
    cell = make_spec(facts=size, seed=seed, epochs=20, batch_size=8, facts_digest=f"{size}-{seed}")
    if size == 0:
        cell = cell.model_copy(update={"recipe": "", "epochs": 0, "batch_size": 0, "seed": 0})
    spec = TrainingSpec(cell=cell, max_steps=steps, measured_digest="all")
    outcomes = tuple(
        FactOutcome(f"f{i:02d}", "a", "a", bool(ok), 0.0 if ok else 0.6, 0.1, np.zeros(2, "f4"))
        for i, ok in enumerate(np.broadcast_to(right, n))
    )
    return Trained(TrainingRecord(spec=spec, status=Status.DONE, seconds=2.0), outcomes)


KEPT = np.arange(40) % 5 > 0
LAYERS = {"layers": list(range(20, 30)), "cut": 20, "cut_stability": 0.8}
PLANS = (
    Plan("lora", 0.95, n=40),
    Plan("pissa", 0.95, n=40, luck="lora"),
    Plan("corda[calibration=elements]", 0.9, n=40),
    Plan("lora+freeze", 0.2, n=40, notes=LAYERS),
    Plan("lora+filter", 0.6, n=40, kept=KEPT),
    Plan("lora+random_filter", 0.9, n=40, kept=~KEPT | (np.arange(40) % 5 > 1)),
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("bench.report.statistics.intervals.RESAMPLES", 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Cells in two folders, one cell in both, trainings of the study and a grid file."""
    root = tmp_path_factory.mktemp("findings")
    cells = [record_and_rows(plan, seed) for plan in PLANS for seed in plan.seeds]
    fill(root, cells[:10])
    fill(root / "more", cells[9:])
    store = TrainingStore(root / "studies" / "interference")
    for seed in (0, 1, 2):
        for size, right, steps in ((1, True, 20), (32, True, 80), (32, False, 20)):
            store.write(training(size, seed, right, steps))
    store.write(training(0, 0, False, 0))
    (root / "grids").mkdir()
    (root / "grids" / "adapters.yaml").write_text(
        "# Question 1: adapters\n# at default rates.\nmethods: lora,pissa\nseeds: 0-2\n"
        "limit: 40\nepochs: 8\n"
    )
    return root


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\n## Rest\n")
    return tmp_path / "docs"


def test_cells_of_all_folders_count_once_and_trainings_are_found(folder):
    evidence = read_evidence(folder)
    assert len(evidence.records) == 18
    [setting] = evidence.settings
    assert set(setting.adapters()) == {"lora", "pissa", "corda[calibration=elements]"}
    [company] = evidence.companies
    assert (company.sizes, company.seeds, company.seconds) == ((32,), (0, 1, 2), 18.0)
    assert len(company.before) == 40
    assert not evidence.problems


def test_a_grid_knows_its_cells_and_what_they_took(folder):
    [grid] = read_evidence(folder).grids
    found = took(grid, read_evidence(folder).records)
    assert (found.ran, found.done, found.seconds) == (6, 6, 240.0)
    assert grid.cells == 6
    assert grid.about == "Question 1: adapters at default rates."
    lora = make_spec(facts=40, epochs=8)
    assert grid.holds(lora)
    for change in ({"method": "dora"}, {"seed": 3}, {"facts": 64}, {"epochs": 3}, {"task": "x"}):
        assert not grid.holds(lora.model_copy(update=change))


def test_a_tuned_grid_counts_the_cells_of_its_best_candidates(tmp_path):
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "rates.yaml").write_text("methods: lora\nseeds: 0-2\nlr: 1e-3,1e-2\n")
    [grid] = found_grids(tmp_path)

    def done(rate, seed, fact_set, accuracy=0.9):
        roles = {"fact_set": fact_set, "other_digest": "o", "other_facts": 64}
        tuned = Tuned(method="lora", over=("lr",), **roles)
        spec = {"learning_rate": rate, "seed": seed, "tuned": tuned, "epochs": 10}
        phases = {PhaseName.TRAIN: Phase(seconds=1.0, seconds_cold=1.0, peak_bytes=1)}
        return make_cell(accuracy=accuracy, spec=spec, phases=phases)[0]

    tried = [done(1e-3, 0, "tuning", accuracy=0.5), done(1e-2, 0, "tuning")]
    reported = [done(rate, seed, "reporting") for rate in (1e-3, 1e-2) for seed in range(3)]
    assert took(grid, tried[:1]).ran == 1
    assert took(grid, [*tried, *reported[:3]]).ran == 2, "of the rate that was best of fewer"
    found = took(grid, [*tried, *reported])
    assert (found.ran, found.done, found.seconds) == (grid.cells, grid.cells, 5.0)


def test_the_page_is_written_with_its_pictures_and_the_readme(folder, docs):
    (docs / "findings").mkdir(parents=True)
    (docs / "findings" / "old.png").write_bytes(b"")
    write_findings(folder, docs, [ask])
    page = (docs / "findings.md").read_text()
    pictures = set(re.findall(r"\(findings/([^)]+)\)", page))
    assert pictures
    written = {path.name for path in (docs / "findings").iterdir()}
    assert written == pictures | {name.replace(".png", ".svg") for name in pictures}
    readme = (docs.parent / "README.md").read_text()
    assert "Do not freeze" in readme
    assert "old" not in readme
    assert readme.startswith("# Title\n")
    assert readme.endswith("\n\n## Rest\n")
    assert page_text(read_findings(folder, [ask]), folder, docs) == page


def test_every_link_of_the_page_leads_to_a_heading(folder, docs):
    page = page_text(read_findings(folder, [ask]), folder, docs)
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.casefold()).replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]+)\)", page)
    assert len(links) == 1
    assert set(links) <= anchors


def test_without_results_the_page_says_so_and_how_to_run(tmp_path):
    page = page_text(read_findings(tmp_path, [ask]), tmp_path, tmp_path)
    assert "No results are committed yet" in page
    assert page.count("**not run yet**") == 1
    assert "study interference --task countries" in page


def test_a_note_is_put_into_its_section(folder, docs):
    notes = folder / "notes"
    notes.mkdir()
    (notes / "adapters.md").write_text("The depth was checked by hand.\n")
    page = page_text(read_findings(folder, [ask]), folder, docs)
    (notes / "adapters.md").unlink()
    section = page.index("## 1.")
    assert section < page.index("The depth was checked by hand.") < page.index("## The grids")


def test_the_readme_keeps_its_text_without_a_block_and_is_empty_without_findings():
    assert with_findings("# Title\n", (), "docs/findings.md") == "# Title\n"
    block = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert with_findings(block, (), "docs/findings.md") == f"a\n{BEGIN}\n{END}\nb\n"
    assert findings_block((), "docs/findings.md") == ""


def test_the_readme_hears_a_question_once_and_a_yes_first(folder):
    answers = read_findings(folder, [ask]).answers
    assert answers[0].claims[0].verdict is Verdict.YES
    block = findings_block(answers, "docs/findings.md")
    assert "**Do not freeze.**" in block
    assert "Any adapter will do" not in block


def test_one_seed_gives_the_readme_nothing(tmp_path):
    fill(tmp_path, [record_and_rows(plan, 0) for plan in PLANS])
    assert findings_block(read_findings(tmp_path, [ask]).answers, "docs/findings.md") == ""


def test_a_damaged_file_is_named_and_not_counted(folder, docs):
    broken = folder / "more" / "cells" / "0123456789abcdef.json"
    broken.write_text("{}")
    page = page_text(read_findings(folder, [ask]), folder, docs)
    broken.unlink()
    assert "## Files that could not be read" in page
    assert "0123456789abcdef" in page


def test_trainings_that_cannot_be_read_are_absent(tmp_path):
    store = TrainingStore(tmp_path / "interference")
    spec = TrainingSpec(cell=make_spec(), max_steps=20, measured_digest="m")
    store.write(Trained(TrainingRecord(spec=spec, status="failed")))
    (store.folder / "broken.parquet").write_bytes(b"PAR1")
    assert not read_evidence(tmp_path).companies
    assert store.read(spec) is not None
