"""The page of findings: reading, writing, the README's block, and what is committed."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bench.pages.findings import planned
from bench.pages.findings.__main__ import main
from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.checks import checks
from bench.pages.findings.claim import Claim
from bench.pages.findings.effects import paired
from bench.pages.findings.evidence import (
    Evidence,
    read_evidence,
    settings_of,
    shared_seeds,
    values_of,
)
from bench.pages.findings.readme import BEGIN, END, findings_block, with_findings
from bench.pages.findings.tables import said
from bench.pages.findings.verdict import Verdict
from bench.pages.findings.write import page_text, read_findings, write_findings
from bench.report.leaderboard.build import build_leaderboard
from bench.report.plots._style import PanelSize, titled_figure
from tasks.errors import UsageError
from tests.bench.findings_cells import Plan, cells_of, evidence_of, record_and_rows
from tests.bench.report_cells import fill

QUESTION = Question(
    key="adapters",
    title="Differences between adapters",
    asks="Does an adapter differ from lora?",
    compared="Every adapter with lora, paired by fact and seed.",
    source="a paper",
    expected=Verdict.NO,
    grids=("adapters",),
)


def ask(evidence):
    """A made question: adapters, and what freezing loses."""
    settings = evidence.settings
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Freezing loses facts",
                "share answered",
                tuple(_freezing(settings)),
                0.05,
                advice={Verdict.YES: "Do not freeze"},
            ),
            Claim(
                "An adapter differs from lora",
                "share answered",
                tuple(_against_lora(settings)),
                0.05,
                two_sided=True,
                advice={Verdict.NO: "Any adapter will do"},
            ),
        ),
        caveats=("One base was asked.",),
    )


def _freezing(settings):
    for setting in settings:
        yield from _difference(setting, "lora", "lora+freeze")


def _against_lora(settings):
    for setting in settings:
        for method in setting.adapters():
            if method != "lora":
                yield from _difference(setting, method, "lora")


def _difference(setting, one, other):
    if {one, other} <= set(setting.rows):
        both = [setting.rows[method] for method in (one, other)]
        seeds = shared_seeds(both)
        if seeds:
            pair = [values_of(row, seeds) for row in both]
            yield paired(f"{one} - {other}", setting.title, *pair)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Cells in two folders, one cell in both, and a grid file."""
    root = tmp_path_factory.mktemp("findings")
    cells = [record_and_rows(plan, seed) for plan in PLANS for seed in plan.seeds]
    fill(root, cells[:10])
    fill(root / "more", cells[9:])
    (root / "grids").mkdir()
    (root / "grids" / "adapters.yaml").write_text(
        "# Question 1: adapters\n# at default rates.\nmethods: lora,pissa\nseeds: 0-2\n"
        "limit: 40\nepochs: 8\n"
    )
    return root


@pytest.fixture(autouse=True)
def grids(folder, monkeypatch):
    monkeypatch.setattr("bench.pages.findings.grids.GRIDS", folder / "grids")


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\n## Rest\n")
    return tmp_path / "docs"


def test_cells_of_all_folders_count_once(folder):
    evidence = read_evidence(folder)
    assert len(evidence.records) == 30
    [setting] = evidence.settings
    assert set(setting.adapters()) == {"lora", "pissa", "corda[calibration=elements]"}
    assert not evidence.problems


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("train_prompt", ("plain", "few_shot")),
        ("accumulation", (1, 4)),
        ("warmup", (0.1, 0.2)),
        ("schedule", ("cosine", "constant")),
        ("dtype", ("float32", "bfloat16")),
    ],
)
def test_cells_that_were_trained_otherwise_are_settings_of_their_own(tmp_path, field, values):
    plans = [Plan("lora", 0.9, n=40, spec={field: value}) for value in values]
    fill(tmp_path, [record_and_rows(plan, seed) for plan in plans for seed in plan.seeds])
    settings = read_evidence(tmp_path).settings
    assert {getattr(setting.spec, field) for setting in settings} == set(values)
    assert len({setting.title for setting in settings}) == 2


def test_seeds_of_two_versions_of_a_method_are_told(tmp_path):
    versions = [
        Plan("lora", 0.9, n=40, seeds=seeds, spec={"source_digest": digest})
        for digest, seeds in (("old", (0, 1)), ("new", (2, 3, 4)))
    ]
    fill(tmp_path, [record_and_rows(plan, seed) for plan in versions for seed in plan.seeds])
    [problem] = read_evidence(tmp_path).problems
    assert problem.endswith("only the cells of one of them are used, 3 of 5 or fewer")


@pytest.mark.parametrize("content", [b"", b"no table"])
def test_trainings_of_a_study_that_cannot_be_read_are_said(tmp_path, content):
    packed = tmp_path / "studies" / "interference" / "trainings.parquet"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(content)
    loose = packed.parent / "trainings" / "0123.parquet"
    loose.parent.mkdir()
    loose.write_bytes(content)
    evidence = read_evidence(tmp_path)
    assert not evidence.trainings
    assert [problem.partition(":")[0] for problem in evidence.damaged] == [
        "studies/interference/trainings/0123.parquet",
        "studies/interference/trainings.parquet",
    ]
    assert evidence.problems == evidence.damaged


def test_a_rate_that_was_given_is_no_default():
    def rate_line(**spec):
        made = [Plan(m, 0.9, n=40, spec=spec) for m in ("lora", "pissa")]
        evidence = evidence_of(*made)
        [line] = [x for x in checks(ask(evidence), evidence) if x.startswith("Learning rate")]
        return line

    assert "used their defaults" in rate_line()
    assert "the rate was given: 0.003" in rate_line(learning_rate=3e-3)


def test_a_tuned_rate_whose_candidates_are_gone_is_told():
    plans = [Plan(m, 0.9, n=40, tuned=(1e-3,)) for m in ("lora", "pissa")]
    made = [cell for plan in plans for cell in cells_of(plan) if not cell.record.spec.is_candidate]
    evidence = Evidence(settings_of(build_leaderboard(made)))
    [line] = [line for line in checks(ask(evidence), evidence) if line.startswith("Learning rate")]
    assert line.endswith("no candidate is left that it was chosen from.")


def test_methods_that_ran_on_different_machines_are_told():
    evidence = evidence_of(Plan("lora", 0.9, n=40), Plan("pissa", 0.9, n=40))
    assert not [x for x in checks(ask(evidence), evidence) if x.startswith("Machines")]
    for method, machine in (("lora", "one"), ("pissa", "other")):
        for cell in evidence.settings[0].rows[method].cells:
            cell.record.provenance["device_name"] = machine
    [line] = [x for x in checks(ask(evidence), evidence) if x.startswith("Machines")]
    assert line.endswith("lora on one; pissa on other.")


def test_a_grid_file_gives_its_command_and_its_first_comments(folder, docs):
    [grid] = read_evidence(folder).grids
    assert (grid.name, grid.about) == ("adapters", "Question 1: adapters at default rates.")
    assert "grids/adapters.yaml --out " in grid.command
    text = page_text(read_findings(folder, [ask]), folder, docs)
    assert text.count(grid.command) == 2
    cells = sum(len(plan.seeds) for plan in PLANS)
    assert f"One after another they would have taken {cells * 40 / 3600:.1f} hours" in text


GRID = "models: smollm2-135m\ntasks: countries\nlimit: 40\nmethods: "


@pytest.mark.parametrize(
    ("content", "run"),
    [
        (GRID + "lora,pissa", True),
        (GRID + "\n  - corda[calibration=elements]", True),
        (GRID + "lora,dora", False),
        (GRID + "lora\ntrain-prompt: mixed", False),
        (GRID.replace("40", "64") + "lora", False),
        (GRID.replace("countries", "elements") + "lora", False),
        (GRID.replace("135m", "360m") + "lora", False),
        ("", False),
    ],
)
def test_a_grid_has_run_if_all_of_its_methods_are_reported(
    folder, tmp_path, monkeypatch, content, run
):
    (tmp_path / "adapters.yaml").write_text(content)
    monkeypatch.setattr("bench.pages.findings.grids.GRIDS", tmp_path)
    [grid] = read_evidence(folder).grids
    assert grid.run is run


def test_what_has_not_run_stands_apart_from_what_repeats_a_section(folder, docs, monkeypatch):
    grids = docs.parent / "grids"
    grids.mkdir()
    for name, methods in (("pissa", "lora,pissa"), ("starts", "dora")):
        (grids / f"{name}.yaml").write_text(f"# Some.\n{GRID}{methods}\n")
    monkeypatch.setattr("bench.pages.findings.grids.GRIDS", grids)
    asked = replace(QUESTION, grids=("pissa", "starts"))
    text = page_text(
        read_findings(folder, [lambda found: replace(ask(found), question=asked)]), folder, docs
    )
    again, left = (
        text.index(f"To repeat it, in about {_minutes('pissa')} core-minutes"),
        text.index("What has not run would be compared"),
    )
    assert again < text.index("pissa.yaml") < left < text.index("starts.yaml")
    assert f"in about {_minutes('starts')} core-minutes" in text
    assert re.search(r"\| pissa +\| Some\. +\| yes", text)
    assert re.search(r"\| starts +\| Some\. +\| no", text)


def _minutes(name):
    [minutes] = [grid.minutes for grid in planned.GRIDS if grid.name == name]
    return round(minutes)


def test_each_section_says_what_to_do_or_that_it_is_open(folder, docs):
    text = page_text(read_findings(folder, [ask]), folder, docs)
    assert "**What to do.** Do not freeze." in text
    assert "- [1](#1-differences-between-adapters): Do not freeze." in text

    def undecided(evidence):
        found = ask(evidence)
        return replace(found, claims=(replace(found.claims[0], planned={"": 3}, margin=0.99),))

    text = page_text(read_findings(folder, [undecided]), folder, docs)
    assert "**What to do" not in text
    assert "Do not freeze" not in text


def test_pictures_of_one_name_are_files_of_their_own(folder, docs):
    def twice(evidence):
        picture = Picture(
            "same", "It is.", lambda: titled_figure(1, 1, PanelSize(2, 2), "", "", "")
        )
        return replace(ask(evidence), pictures=(picture, picture))

    files = write_findings(folder, docs, [twice])
    assert {"same.png", "same-2.png"} <= {path.name for path in files.pictures}
    page = files.page.read_text(encoding="utf-8")
    assert page.count("findings/same.png") == page.count("findings/same-2.png") == 1


def test_a_yes_below_what_counts_says_so(folder):
    evidence = read_evidence(folder)
    claim = ask(evidence).claims[0]
    size = claim.rivals[0].estimate.value
    lines = {
        margin: [x for x in said(replace(claim, margin=margin)) if "below the smallest" in x]
        for margin in (0.9 * size, 0.6 * size)
    }
    assert [len(found) for found in lines.values()] == [1, 0]


def test_the_page_is_written_with_its_pictures_and_the_readme(folder, docs):
    (docs / "findings").mkdir(parents=True)
    (docs / "findings" / "old.png").write_bytes(b"")
    write_findings(folder, docs, [ask])
    page = (docs / "findings.md").read_text()
    pictures = set(re.findall(r"\(findings/([^)]+png)\)", page))
    assert pictures
    written = {path.name for path in (docs / "findings").iterdir()}
    assert written == pictures
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
    assert len(links) == 2, "one in the table, one before what to do"
    assert set(links) <= anchors


def test_without_results_the_page_says_so_and_how_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.pages.findings.grids.GRIDS", tmp_path)
    page = page_text(read_findings(tmp_path, [ask]), tmp_path, tmp_path)
    assert "No results are committed yet" in page
    assert page.count("**not run yet**") == 1
    assert "No grid file" in page


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


@pytest.mark.parametrize("made", ["nothing", "other cells", "no folder", "a file"])
def test_a_folder_without_results_leaves_the_page_as_it_was(tmp_path, docs, made):
    pictures = docs / "findings"
    pictures.mkdir(parents=True)
    (docs / "findings.md").write_text("before")
    (pictures / "one.png").write_bytes(b"before")
    out = tmp_path / "out"
    if made == "nothing":
        out.mkdir()
    elif made == "other cells":
        fill(out, [record_and_rows(Plan("lora", 0.9, n=40), 0)])
    elif made == "a file":
        out.write_text("")
    done = CliRunner().invoke(main, ["--out", str(out), "--docs", str(docs)])
    assert done.exit_code == 2
    [said] = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert "--out" in said
    assert out.exists() is (made != "no folder")
    assert (docs / "findings.md").read_text() == "before"
    assert (pictures / "one.png").read_bytes() == b"before"


def test_a_damaged_file_is_named_and_not_counted(folder, docs):
    broken = folder / "more" / "cells" / "0123456789abcdef.json"
    broken.write_text("{}")
    page = page_text(read_findings(folder, [ask]), folder, docs)
    with pytest.raises(UsageError, match=r"1 of the results .*0123456789abcdef.*nothing was"):
        write_findings(folder, docs, [ask])
    assert not docs.exists()
    broken.unlink()
    assert "## Problems with the files" in page
    assert "0123456789abcdef" in page
