"""The recipe for an image and the job scripts, as far as a machine without a cluster can tell.

Stand-ins for SLURM's commands run what they are given here: `sbatch` each element of an array in
turn, with SLURM's variables, and `srun` its command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "scripts" / "cluster"
SCRIPTS = sorted([*CLUSTER.glob("*.sbatch"), *CLUSTER.glob("*.sh")])
DOCKERFILE = CLUSTER / "Dockerfile"
INSTRUCTIONS = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"}
SBATCH_OPTIONS = {
    *("--job-name", "--ntasks", "--ntasks-per-node", "--nodes", "--cpus-per-task", "--mem"),
    *("--time", "--output", "--signal"),
}
"""Options of `sbatch` (slurm.schedmd.com/sbatch.html) that the scripts use."""

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="runs bash scripts")

SBATCH = """#!{python}
import os, subprocess, sys

def option(name, default=""):
    return next((a.partition("=")[2] for a in sys.argv if a.startswith(f"{{name}}=")), default)

script = next(a for a in sys.argv[1:] if not a.startswith("--"))
with open(os.environ["LOG"], "a") as log:
    print("sbatch", *sys.argv[1:], file=log)
given = dict(p.split("=", 1) for p in option("--export").split(",") if "=" in p)
first, _, last = option("--array").partition("-")
elements = range(int(first), int(last or first) + 1) if first else [None]
for element in elements:
    own = {{}} if element is None else {{"SLURM_ARRAY_TASK_ID": str(element)}}
    slurm = {{"SLURM_CPUS_PER_TASK": option("--cpus-per-task", "1"), "SLURM_JOB_ID": "7"}}
    slurm |= {{"SLURM_JOB_NUM_NODES": option("--nodes", "1"), "SLURM_JOB_NODELIST": "localhost"}}
    done = subprocess.run(["bash", script], env={{**os.environ, **given, **slurm, **own}})
    with open(os.environ["LOG"], "a") as log:
        print("ended", done.returncode, file=log)
print("7;cluster")
"""
SRUN = """#!{python}
import os, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
os.execvp(command[0], command)
"""
SCONTROL = """#!{python}
import sys
assert sys.argv[1:3] == ["show", "hostnames"]
print(sys.argv[3])
"""
PROGRAM = """#!{python}
import os, sys
with open(os.environ["LOG"], "a") as log:
    print("bench", *sys.argv[1:], file=log)
sys.exit(int(os.environ.get("FAIL", "0")))
"""


@pytest.fixture
def slurm(tmp_path):
    """Run a script with the stand-ins; return its result and what was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "program": PROGRAM}
    for name, text in programs.items():
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    log = tmp_path / "log"

    def run(*command, **variables):
        log.write_text("")
        mine = {
            "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.defpath]),
            "LOG": str(log),
            "BENCH": "program",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        unset = {name: v for name, v in os.environ.items() if not name.startswith("SLURM")}
        done = subprocess.run(
            ["bash", *map(str, command)],
            env={**unset, **mine, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return done, log.read_text().splitlines()

    return run


def instructions():
    """Return the Dockerfile as pairs of an instruction and its words, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def copied():
    """Return the files and folders that the image copies from the checkout."""
    return [name for kind, rest in instructions() if kind == "COPY" for name in rest.split()[:-1]]


def test_the_dockerfile_is_made_of_known_instructions_and_declared_arguments():
    found = instructions()
    assert {kind for kind, _ in found} <= INSTRUCTIONS
    assert [kind for kind, _ in found].index("FROM") == 1, "only what FROM needs stands before it"
    declared = {rest.partition("=")[0] for kind, rest in found if kind == "ARG"}
    text = DOCKERFILE.read_text(encoding="utf-8")
    used = {*re.findall(r"\$\{?([A-Z_]+)", text)}
    assert used == declared
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert supported == ">=3.11,<3.14"
    assert dict(found[:1])["ARG"] in {f"PYTHON=3.{minor}" for minor in (11, 12, 13)}


def test_what_the_image_copies_exists_and_is_in_its_build_context():
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert {name.rstrip("/") for name in copied()} - {"./"} == kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_image_installs_the_pins_and_starts_the_installed_program():
    runs = [rest for kind, rest in instructions() if kind == "RUN"]
    installs = [part for run in runs for part in re.findall(r"pip install[^;&]*", run)]
    assert len(installs) == 3
    assert all("-c constraints.txt" in each for each in installs)
    assert re.search(r"^torch==\d", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = dict(p.split("=") for k, p in instructions() if k == "ARG")["EXTRAS"]
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}
    [entry] = [json.loads(rest) for kind, rest in instructions() if kind == "ENTRYPOINT"]
    assert project["scripts"][entry[0]] == "bench.cli:main"


@needs_bash
def test_the_commands_of_the_image_are_well_formed_and_an_unknown_device_is_refused(tmp_path):
    runs = [rest for kind, rest in instructions() if kind == "RUN"]
    for run in runs:
        subprocess.run(["bash", "-n", "-c", run], check=True)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    called = tmp_path / "called"
    pip = f'pip() {{ echo "$@" >> {called}; }}\n{runs[0]}'
    pin = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
    for device, wanted in {"cpu": f"INDEX {pin}+cpu", "cuda": f"constraints.txt {pin}"}.items():
        environment = {**os.environ, "DEVICE": device, "CPU_INDEX": "INDEX"}
        subprocess.run(["bash", "-c", pip], env=environment, cwd=tmp_path, check=True)
        assert called.read_text().splitlines()[-1].endswith(wanted)
    refused = subprocess.run(
        ["bash", "-c", pip], env={**os.environ, "DEVICE": "tpu"}, cwd=tmp_path, check=False
    )
    assert refused.returncode == 2


@pytest.mark.slow
def test_the_program_can_be_built_from_what_the_image_copies(tmp_path):
    for name in {name.rstrip("/") for name in copied()}:
        source, target = ROOT / name, tmp_path / "source" / name
        target.parent.mkdir(exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    target = tmp_path / "installed"
    subprocess.run(
        [*command, "--quiet", "--target", str(target), str(tmp_path / "source")], check=True
    )
    clean = {**os.environ, "PYTHONPATH": str(target), "PYTHONSAFEPATH": "1"}
    program = target / "bin" / "semantic-peft-bench"
    asked = [sys.executable, str(program), "list"]
    said = subprocess.run(
        asked, env=clean, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "corda" in said
    lacking = {path.name for path in (ROOT / "bench" / "report" / "html").glob("*.html")}
    lacking -= {path.name for path in (target / "bench" / "report" / "html").glob("*.html")}
    assert not lacking


@needs_bash
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_well_formed_and_asks_slurm_for_what_it_has(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    asked = re.findall(r"^#SBATCH (\S+)", text, flags=re.MULTILINE)
    assert {option.partition("=")[0] for option in asked} <= SBATCH_OPTIONS
    assert bool(asked) == (script.suffix == ".sbatch")
    header, _, code = text.partition("set -euo pipefail")
    assert "#SBATCH" not in code, "SLURM reads no options below the first command"
    assert all(line.startswith("#") for line in header.splitlines())


@needs_bash
def test_a_grid_is_submitted_in_parts_and_the_report_after_all_of_them(slurm):
    done, calls = slurm(
        CLUSTER / "submit.sh", "3", "--partition=gpu", GRID="my grid.yaml", RESULTS="out"
    )
    assert done.returncode == 0, done.stderr
    part = "bench run --config my grid.yaml --shard {}/3 --out out"
    assert [call for call in calls if call.startswith("bench")] == [
        *map(part.format, (1, 2, 3)),
        "bench report --out out",
    ]
    submitted = [call for call in calls if call.startswith("sbatch")]
    assert "--array=0-2" in submitted[0]
    assert "--partition=gpu" in submitted[0]
    assert "--dependency=afterany:7 " in submitted[1]
    assert "report: job 7\n" in done.stdout


@needs_bash
def test_parts_that_are_submitted_again_are_the_same_parts(slurm):
    again = [CLUSTER / "grid.sbatch"]
    _, calls = slurm(*again, SLURM_ARRAY_TASK_ID="4", SHARDS="8", SLURM_ARRAY_TASK_COUNT="1")
    assert calls == ["bench run --config grid.yaml --shard 5/8 --out results"]


@needs_bash
@pytest.mark.parametrize("parts", ["", "0", "x", "-1"])
def test_no_number_of_parts_is_refused(slurm, parts):
    done, calls = slurm(CLUSTER / "submit.sh", parts)
    assert done.returncode == 2
    assert "number of parts" in done.stderr
    assert not calls


@needs_bash
@pytest.mark.parametrize("given", [{"SHARDS": "2"}, {"SLURM_ARRAY_TASK_ID": "0"}])
def test_a_part_outside_of_an_array_is_refused(slurm, given):
    done, calls = slurm(CLUSTER / "grid.sbatch", **given)
    assert done.returncode
    assert "submit" in done.stderr
    assert not calls


@needs_bash
def test_a_part_that_fails_ends_with_its_status_and_the_report_still_comes(slurm):
    _, calls = slurm(CLUSTER / "submit.sh", "2", FAIL="1")
    assert calls.count("ended 1") == 3
    assert calls[-2] == "bench report --out results"


@pytest.fixture
def grid(tmp_path, tiny_parts):
    """A grid of four small cells as a file."""
    model, tokenizer = tiny_parts
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    rows = [{"id": f"k{i}", "question": f"Key {i}?", "answer": "abcdefgh"[i]} for i in range(8)]
    (tmp_path / "keys.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {
        "methods": ["lora[r=4]", "pissa[r=4]"],
        "tasks": ["keys.jsonl"],
        "models": ["./tiny"],
        "seeds": [0, 1],
        "epochs": 2,
        "forgetting": ["drift"],
        "device": "cpu",
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(asked))
    return tmp_path


def finished(folder):
    """Return which methods and seeds are done."""
    from bench.store.store import ResultsStore

    records = ResultsStore(folder).records().records
    assert all(record.status == "done" for record in records), [r.reason for r in records]
    return sorted((record.spec.method, record.spec.seed) for record in records)


CELLS = [(method, seed) for method in ("lora[r=4]", "pissa[r=4]") for seed in (0, 1)]


@needs_bash
@pytest.mark.slow
def test_a_grid_in_parts_is_the_whole_grid_with_its_report(slurm, grid):
    done, calls = slurm(CLUSTER / "submit.sh", "2", BENCH=f"{sys.executable} -m bench")
    assert calls.count("ended 0") == 3, done.stderr[-2000:]
    assert finished(grid / "results") == CELLS
    assert (grid / "results" / "leaderboard.html").is_file()
    assert "nothing to do" not in done.stdout, "each part ran its own cells"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@needs_bash
@pytest.mark.slow
def test_a_grid_on_a_ray_cluster_of_two_nodes(slurm, grid):
    """Both nodes are on this machine; only their processes end, not those of other clusters."""
    pytest.importorskip("ray", reason="needs the extra `ray`")
    python = sys.executable
    done, _ = slurm(
        CLUSTER / "ray.sbatch",
        BENCH=f"{python} -m bench",
        PYTHON=python,
        PORT=str(free_port()),
        SLURM_JOB_NUM_NODES="2",
        SLURM_JOB_NODELIST="localhost",
        SLURM_CPUS_PER_TASK="1",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert finished(grid / "results") == CELLS


@needs_bash
@pytest.mark.slow
def test_a_head_that_cannot_start_ends_the_job(slurm, grid):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    variables = {"PORT": "10500", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "localhost"}
    done, calls = slurm(CLUSTER / "ray.sbatch", PYTHON=sys.executable, **variables)
    assert done.returncode
    assert "the head of the Ray cluster ended" in done.stderr
    assert not calls, "no grid was begun"
