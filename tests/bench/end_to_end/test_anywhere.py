"""The program runs in any folder, whatever lies there, and from a wheel as it does here."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.bench.report_cells import fill, make_cell

ROOT = Path(__file__).parents[3]
FOREIGN = "raise SystemExit('a module of somebody else was imported: ' + __name__)\n"
SMALL = ("--limit", "4", "--epochs", "1", "--forgetting", "drift", "--device", "cpu")


@pytest.fixture
def folder(tmp_path):
    """Somebody's folder, in which modules have the names of ours and of what we import."""
    for name in ("tasks.py", "click.py", "datasets.py", "peft.py"):
        (tmp_path / name).write_text(FOREIGN)
    for name in ("methods", "report"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FOREIGN)
    return tmp_path


def typed(folder, *command, path=ROOT):
    """Run a command in a folder, the program imported from a path; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


MODULE = (sys.executable, "-m", "bench")


def test_modules_of_the_folder_are_not_taken_for_ours(folder):
    assert "corda" in typed(folder, *MODULE, "list")
    assert "2 cells" in typed(folder, *MODULE, "plan", "--methods", "lora,corda", *SMALL)


def test_workers_and_the_report_import_this_program_in_any_folder(folder, tiny_folder, facts_file):
    chosen = ("--tasks", facts_file, "--models", tiny_folder, "--methods", "lora[r=4],pissa[r=4]")
    typed(folder, *MODULE, "run", *chosen, *SMALL, "--workers", "2")
    typed(folder, *MODULE, "report", "--plots", "none")
    assert len(pd.read_csv(folder / "results" / "leaderboard.csv")) == 2


def test_a_folder_that_was_put_on_the_path_stays_there(folder):
    (folder / "parts").mkdir()
    (folder / "parts" / "extra_parts.py").write_text(
        "from dataclasses import dataclass\n"
        "from methods.adapters.lora import Lora\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Wide(Lora):\n"
        '    """W + s B A with a larger rank. **exact**"""\n\n'
        "    r: int = 99\n"
    )
    about = folder / "parts" / "extra_parts-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-parts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[semantic_peft_bench.adapters]\nwide = extra_parts:Wide\n"
    )
    path = os.pathsep.join((str(ROOT), "parts"))
    assert "r=99" in typed(folder, *MODULE, "list", path=path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the wheel of this checkout was installed, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: setuptools writes beside the sources, and would take up an old build folder of theirs.
    source = folder / "source"
    source.mkdir()
    files = ["pyproject.toml", "README.md", "LICENSE", "NOTICE", "DATA_NOTICES.md"]
    copy = ["cp", "-r", *(str(ROOT / name) for name in (*files, "bench", "methods", "tasks"))]
    subprocess.run([*copy, str(source)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(wheel)], check=True)
    return folder


def test_the_wheel_holds_what_commands_need_and_no_more(installed):
    [wheel] = installed.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("bench/report/**/*.html")]
    data = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tasks" / "data").iterdir()]
    typed_packages = [f"{package}/py.typed" for package in ("bench", "methods", "tasks")]
    assert templates
    assert {*templates, *data, *typed_packages} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "bench",
        "methods",
        "tasks",
    }
    pages = [name for name in names if name.startswith(("bench/pages", "tests"))]
    assert not pages, "they are made from a checkout"


def test_the_installed_command_works_outside_the_checkout(installed, folder):
    (folder / "bench").mkdir()
    (folder / "bench" / "__init__.py").write_text(FOREIGN)
    site = installed / "site"
    program = (sys.executable, site / "bin" / "semantic-peft-bench")
    # This environment's own libraries, behind what was installed; its .pth files are not read.
    path = os.pathsep.join((str(site), sysconfig.get_path("purelib")))
    assert "corda" in typed(folder, *program, "list", path=path)
    assert "2 cells" in typed(
        folder, *program, "plan", "--methods", "lora,corda", *SMALL, path=path
    )
    fill(folder / "results", [make_cell(n=4, spec={"method": m}) for m in ("lora", "dora")])
    typed(folder, *program, "report", "--plots", "none", path=path)
    assert len(pd.read_csv(folder / "results" / "leaderboard.csv")) == 2
    where = "import bench; print(bench.__file__)"
    assert str(site) in typed(installed, sys.executable, "-c", where, path=path)
