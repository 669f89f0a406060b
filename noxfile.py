"""The everyday commands: `nox -s bench -- --methods lora,corda`, `nox -s tests`, `nox -s lint`.

All sessions share one environment below `.nox`. It is created on first use and updated only when
`constraints.txt` or `pyproject.toml` change.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests", "lint"]

ROOT = Path(__file__).parent
ENVIRONMENT = ROOT / ".nox" / f"python{sys.version_info.major}.{sys.version_info.minor}"
SUPPORTED = ((3, 11), (3, 13))
WORKERS_AT_MOST = 4
"""Most test processes; each may hold the real model, 0.6 GB."""


# Backend none: nox gives each session an environment of its own, a copy of torch in every one.
@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Run the benchmark: -- --methods lora,corda. Other commands: -- list, -- show CELL."""
    python = environment(session, "ray" if {"ray", "--executor=ray"} & {*session.posargs} else "")
    command = [] if session.posargs and session.posargs[0][:1] != "-" else ["run"]
    # Ctrl-C reaches the benchmark too; within a minute it stores what is finished.
    session.run(python, "-m", "bench", *command, *session.posargs, interrupt_timeout=60)


@nox.session(venv_backend="none")
def report(session: nox.Session) -> None:
    """Write tables and plots of a results folder again: -- --out FOLDER."""
    session.run(environment(session), "-m", "bench", "report", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests offline, without slow ones (-- -m slow) and timings (-- -m machine)."""
    python = environment(session, "tests")
    workers = min(os.cpu_count() or 1, WORKERS_AT_MOST)
    threads = max(1, (os.cpu_count() or 1) // workers)
    variables = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),  # workers that share cores would wait for each other
    }
    # By file, so that fixtures such as a Ray cluster or a trained model are made once.
    parallel = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    spread = [] if "-n" in session.posargs else parallel
    tier = [] if "-m" in session.posargs else ["-m", "not machine and not slow"]
    command = [python, "-m", "pytest", *spread, *tier, *session.posargs]
    session.run(*command, env=variables, interrupt_timeout=60)


@nox.session(venv_backend="none")
def perf(session: nox.Session) -> None:
    """Compare the speed with the usual tools; -- --full takes hours, -- --device cuda a GPU."""
    python = environment(session)
    session.run(python, "-m", "bench.pages.performance", *session.posargs, interrupt_timeout=60)


@nox.session(venv_backend="none")
def findings(session: nox.Session) -> None:
    """Answer the questions of docs/findings/design.md from results/findings, on one page."""
    session.run(environment(session), "-m", "bench.pages.findings", *session.posargs)


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """Check and time a GPU, all or some stages: -- machine same; see scripts/gpu/README.md."""
    python = environment(session, "tests")
    pins, carried = ROOT / "constraints.txt", ROOT / ".gpu" / "constraints.txt"
    if not carried.exists() or carried.read_text() != pins.read_text():
        settings = {"PYTHON": python}
        session.run("bash", "scripts/gpu/fetch.sh", env=settings, external=True)
    if not os.environ.get("DEVICE") and not Path("/dev/nvidiactl").exists():
        session.log(
            "no NVIDIA GPU here: on a machine that has one run 'bash .gpu/check.sh' in this "
            "checkout, with .gpu; DEVICE=cpu SHAPE=tiny nox -s gpu tries the stages here"
        )
        return
    settings = {"PYTHON": python, "NO_INSTALL": "1"}
    command = ["bash", "scripts/gpu/check.sh", *session.posargs]
    session.run(*command, env=settings, external=True, interrupt_timeout=60)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Fix style and formatting, check types and imports; with CI set, only check."""
    python = environment(session, "lint")
    only_check = bool(os.environ.get("CI"))
    session.run(python, "-m", "ruff", "check", *([] if only_check else ["--fix"]))
    session.run(python, "-m", "ruff", "format", *(["--check"] if only_check else []))
    session.run(python, "-m", "mypy")
    session.run(str(Path(python).with_name("lint-imports")), "--no-cache")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation in build/site; -- serve shows it in a browser."""
    python = environment(session, "docs")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement of the theme's makers
    session.run(python, "-m", "mkdocs", *(session.posargs or ["build"]), env=quiet)


def environment(session: nox.Session, extra: str = "") -> str:
    """Return the environment's Python, with this project and one of its extras installed."""
    _require_supported_python(session)
    session.chdir(ROOT)
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        session.run(sys.executable, "-m", "virtualenv", str(ENVIRONMENT), silent=True)
    stamp, wanted = ENVIRONMENT / f"installed-{extra or 'bench'}", _digest()
    if not stamp.exists() or stamp.read_text() != wanted:
        session.log("installing the versions in constraints.txt; the first time takes some minutes")
        project = f".[{extra}]" if extra else "."
        session.run(str(python), "-m", "pip", "install", "-c", "constraints.txt", "-e", project)
        stamp.write_text(wanted)
    return str(python)


def _require_supported_python(session: nox.Session) -> None:
    oldest, newest = (".".join(map(str, version)) for version in SUPPORTED)
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        session.error(
            f"nox runs under Python {sys.version.split()[0]}; this project needs {oldest} to "
            f"{newest}: for example python{newest} -m pip install nox && python{newest} -m nox"
        )


def _digest() -> str:
    """Return a digest of all that an installation depends on; scripts contain the folder's path."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in ("constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()
