"""Which commit a cell ran on, and whether anything that counts differed from it."""

import subprocess

import pytest

from bench.models.provenance import _git_state


def git(folder, *arguments):
    names = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", "-C", folder, *names, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("results/findings/cells/a.json", False),
        ("docs/performance.md", False),
        ("docs/performance-scale.svg", False),
        ("docs/findings.md", False),
        ("docs/findings/effects.png", False),
        ("README.md", False),
        ("bench/README.md", True),
        ("docs/semantics.md", True),
        ("bench/results/a.py", True),
    ],
)
def test_what_runs_write_is_no_change_of_the_program(changed, dirty, tmp_path):
    (tmp_path / "program.py").write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    assert _git_state(tmp_path)["git_dirty"] is False
    (tmp_path / changed).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / changed).write_text("2")
    assert _git_state(tmp_path)["git_dirty"] is dirty


def test_a_folder_without_history_says_so(tmp_path):
    assert _git_state(tmp_path) == {"git_commit": "", "git_dirty": None}
