"""The page of findings says what its committed cells say, word for word and picture for picture."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from bench.pages.findings.questions import QUESTIONS
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
