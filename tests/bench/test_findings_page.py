"""The page of findings: reading, writing, the README's block, and what is committed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.findings.answer import Verdict
from bench.findings.evidence import read_evidence
from bench.findings.grids import found_grids, took
from bench.findings.questions import QUESTIONS
from bench.findings.readme import BEGIN, END, findings_block, with_findings
from bench.findings.studies import STUDIES
from bench.findings.tables import anchor
from bench.findings.write import page_text, read_findings
from bench.records import Phase, PhaseName, Tuned
from bench.studies.interference_plan import TrainingSpec
from bench.studies.interference_store import Trained, TrainingRecord, TrainingStore
from tests.bench.findings_cells import Plan, record_and_rows
from tests.bench.report_cells import fill, make_cell, make_spec
from tests.bench.test_findings_questions import training

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "findings"
MOST_BYTES = 60 * 2**20

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
    monkeypatch.setattr("bench.report.statistics.RESAMPLES", 100)


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


def test_a_tuned_grid_asks_for_each_candidate_once_and_for_each_seed():
    [grid] = [grid for grid in found_grids(COMMITTED) if grid.name == "adapters"]
    assert grid.cells == 6 * (len(grid.options.lr) + 3)


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


def test_the_page_is_written_with_its_pictures_and_the_readme(folder, docs, capsys):
    (docs / "findings").mkdir(parents=True)
    (docs / "findings" / "old.png").write_bytes(b"")
    assert main(["findings", "--out", str(folder), "--docs", str(docs)]) == 0
    page = (docs / "findings.md").read_text()
    pictures = set(re.findall(r"\(findings/([^)]+)\)", page))
    assert pictures
    written = {path.name for path in (docs / "findings").iterdir()}
    assert written == pictures | {name.replace(".png", ".svg") for name in pictures}
    assert "5. Semantic layer freezing: no: lora - lora+freeze" in capsys.readouterr().out
    readme = (docs.parent / "README.md").read_text()
    assert "Count training in epochs" in readme
    assert "old" not in readme
    assert readme.startswith("# Title\n")
    assert readme.endswith("\n\n## Rest\n")
    assert page_text(read_findings(folder), folder, docs) == page


def test_every_link_of_the_page_leads_to_a_heading(folder, docs):
    page = page_text(read_findings(folder), folder, docs)
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.casefold()).replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]+)\)", page)
    assert len(links) == len(QUESTIONS)
    assert set(links) <= anchors


def test_without_results_the_page_says_so_and_how_to_run(tmp_path):
    page = page_text(read_findings(tmp_path), tmp_path, tmp_path)
    assert "No results are committed yet" in page
    assert page.count("**not run yet**") == len(QUESTIONS)
    assert "study interference --task countries" in page


def test_a_note_is_put_into_its_section(folder, docs):
    notes = folder / "notes"
    notes.mkdir()
    (notes / "layers.md").write_text("The depth was checked by hand.\n")
    page = page_text(read_findings(folder), folder, docs)
    (notes / "layers.md").unlink()
    section = page.index("## 5.")
    assert section < page.index("The depth was checked by hand.") < page.index("## 6.")


def test_a_missing_folder_is_told_in_one_line(tmp_path, capsys):
    assert main(["findings", "--out", str(tmp_path / "none")]) == 2
    assert "give the folder of findings with --out" in capsys.readouterr().err


def test_the_readme_keeps_its_text_without_a_block_and_is_empty_without_findings():
    assert with_findings("# Title\n", (), "docs/findings.md") == "# Title\n"
    block = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert with_findings(block, (), "docs/findings.md") == f"a\n{BEGIN}\n{END}\nb\n"
    assert findings_block((), "docs/findings.md") == ""


def test_the_readme_begins_with_what_was_found_and_hears_a_question_once(folder):
    answers = read_findings(folder).answers
    block = findings_block(answers, "docs/findings.md")
    told = {
        advice: (claim.verdict, answer.question.key)
        for answer in answers
        for claim in answer.claims
        for advice in claim.advice.values()
        if f"**{advice}.**" in block
    }
    in_order = [told[advice] for advice in sorted(told, key=block.index)]
    assert [verdict for verdict, _ in in_order] == [Verdict.YES, Verdict.NO, Verdict.NO]
    assert len({key for _, key in in_order}) == 3


def test_one_seed_gives_the_readme_nothing(tmp_path):
    fill(tmp_path, [record_and_rows(plan, 0) for plan in PLANS])
    assert findings_block(read_findings(tmp_path).answers, "docs/findings.md") == ""


def test_a_damaged_file_is_named_and_not_counted(folder, docs):
    broken = folder / "more" / "cells" / "0123456789abcdef.json"
    broken.write_text("{}")
    page = page_text(read_findings(folder), folder, docs)
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


# What is committed.


def test_the_committed_page_and_readme_are_what_the_committed_files_give(monkeypatch):
    monkeypatch.undo()  # the numbers of the page are those of all resamples
    monkeypatch.chdir(ROOT)
    folder, docs = Path("results/findings"), Path("docs")
    found = read_findings(folder)
    page = page_text(found, folder, docs)
    assert (docs / "findings.md").read_text(encoding="utf-8") == page
    readme = Path("README.md").read_text(encoding="utf-8")
    assert with_findings(readme, found.answers, "docs/findings.md") == readme
    pictures = {f"{name}.{form}" for name in _pictures(found) for form in ("png", "svg")}
    committed = docs / "findings"
    assert {p.name for p in committed.iterdir()} == pictures if pictures else True


def _pictures(found):
    return [picture.name for group in found.pictures for picture in group]


def test_committed_results_stay_small():
    size = sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file())
    assert size < MOST_BYTES


def test_every_question_has_its_grids_and_every_grid_its_question():
    grids = {grid.name for grid in found_grids(COMMITTED)}
    studies = {study.name for study in STUDIES}
    empty = read_findings(COMMITTED.parent / "findings").answers
    asked = {name for answer in empty for name in answer.question.grids}
    assert asked == grids | studies
    assert len({anchor(1, answer) for answer in empty}) == len(QUESTIONS)
    for grid in found_grids(COMMITTED):
        assert grid.about
        assert grid.options.out == Path("results/findings")
        assert len(grid.options.seeds) >= 3


def test_every_number_of_the_committed_notes_is_in_a_committed_table():
    notes = {path.name: path.read_text() for path in (COMMITTED / "notes").glob("*.md")}
    page = (ROOT / "docs" / "findings.md").read_text()
    for note in notes.values():
        assert note.strip() in page
        page = page.replace(note.strip(), "")
    tables = page + (COMMITTED / "leaderboard.md").read_text()
    known = set(re.findall(r"\d+\.\d+", tables)) | _means_of_cells()
    for name, note in notes.items():
        assert not set(re.findall(r"\d+\.\d+", note)) - known, name


def _means_of_cells():
    """What each method answers at each rate in the mean over its seeds, shown or not."""
    found = {}
    for record in read_evidence(COMMITTED).records:
        spec = record.spec
        key = (spec.model, spec.task, spec.method, spec.learning_rate, spec.facts_digest)
        found.setdefault(key, []).append(record.metrics.reliability)
    return {f"{100 * np.mean(values):.1f}" for values in found.values()}
