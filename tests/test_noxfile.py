"""The nox sessions: what they run, and when they install."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("nox", reason="nox runs the sessions from an environment of its own")


class Session:
    """A nox session that records what it runs; `failing` names a word at which it fails."""

    def __init__(self, *posargs, failing=None):
        self.posargs, self.failing, self.calls = list(posargs), failing, []

    def run(self, *command, **settings):
        self.calls.append(list(command[1:]))
        if "virtualenv" in command:
            python = Path(command[3]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        if self.failing in command:
            raise RuntimeError(self.failing)

    def chdir(self, folder):
        """Stay where we are."""

    def log(self, line):
        """Say nothing."""

    def error(self, line):
        raise SystemExit(line)


@pytest.fixture
def sessions(tmp_path, monkeypatch):
    """The noxfile's module, in a folder of its own."""
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ENVIRONMENT", tmp_path / ".nox" / "env")
    monkeypatch.setattr(module.os, "name", "posix")
    return module


def installs(session):
    return [call for call in session.calls if "install" in call]


def test_it_installs_once_and_again_only_when_the_pins_change(sessions, tmp_path):
    first, second, third, fourth = Session(), Session(), Session(), Session()
    sessions.environment(first)
    assert installs(first) == [["-m", "pip", "install", "-c", "constraints.txt", "-e", "."]]
    sessions.environment(second)
    assert second.calls == []
    (tmp_path / "constraints.txt").write_text("torch==2.6.0\n")
    sessions.environment(third)
    assert len(installs(third)) == 1
    sessions.environment(fourth, "tests")
    assert installs(fourth)[0][-1] == ".[tests]"


def test_tests_are_spread_over_the_cores_unless_told_otherwise(sessions, monkeypatch):
    monkeypatch.setattr(sessions.os, "cpu_count", lambda: 16)
    usual, told = Session("-x"), Session("-n", "0", "tests/tasks")
    sessions.tests(usual)
    spread = ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    usual_tier = ["-m", "not machine and not slow"]
    assert usual.calls[-1] == ["-m", "pytest", *spread, *usual_tier, "-x"]
    sessions.tests(told)
    assert told.calls[-1] == ["-m", "pytest", *usual_tier, "-n", "0", "tests/tasks"]


def test_a_tier_that_is_asked_for_is_run_in_place_of_the_usual_one(sessions):
    session = Session("-n", "0", "-m", "slow")
    sessions.tests(session)
    assert session.calls[-1] == ["-m", "pytest", "-n", "0", "-m", "slow"]


def test_a_failed_installation_is_tried_again(sessions):
    with pytest.raises(RuntimeError):
        sessions.environment(Session(failing="install"))
    again = Session()
    sessions.environment(again)
    assert len(installs(again)) == 1


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ((), ["run"]),
        (("--methods", "lora,corda"), ["run", "--methods", "lora,corda"]),
        (("list",), ["list"]),
        (("plan", "--limit", "4"), ["plan", "--limit", "4"]),
        (("lora",), ["lora"]),
    ],
)
def test_the_bench_session_means_run_unless_a_command_is_named(sessions, typed, command):
    session = Session(*typed)
    sessions.bench(session)
    assert session.calls[-1] == ["-m", "bench", *command]


def test_ray_is_installed_for_who_asks_for_it(sessions):
    session = Session("--executor", "ray")
    sessions.bench(session)
    assert installs(session)[0][-1] == ".[ray]"


def test_what_a_gpu_needs_is_collected_once_and_again_when_the_pins_change(
    sessions, tmp_path, monkeypatch
):
    monkeypatch.delenv("DEVICE", raising=False)
    monkeypatch.setattr(sessions, "Path", lambda _: tmp_path / "no device")
    carried = tmp_path / ".gpu" / "constraints.txt"
    carried.parent.mkdir()

    def asked():
        session = Session("machine")
        sessions.gpu(session)
        return [call[0] for call in session.calls if "scripts/gpu" in call[0]]

    assert asked() == ["scripts/gpu/fetch.sh"], "and nothing runs without a GPU"
    shutil.copy(tmp_path / "constraints.txt", carried)
    assert asked() == []
    monkeypatch.setenv("DEVICE", "cpu")
    session = Session("machine", "same")
    sessions.gpu(session)
    assert session.calls[-1] == ["scripts/gpu/check.sh", "machine", "same"]
    carried.write_text("torch==2.6.0\n")
    assert asked() == ["scripts/gpu/fetch.sh", "scripts/gpu/check.sh"]


def test_an_old_python_is_one_clear_error(sessions, monkeypatch):
    monkeypatch.setattr(sessions, "SUPPORTED", ((4, 1), (4, 3)))
    with pytest.raises(SystemExit, match=r"this project needs 4\.1 to 4\.3"):
        sessions.environment(Session())


def test_the_list_of_sessions_says_what_each_is_for():
    command = [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "-l"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for session in ("bench -> ", "report -> ", "tests -> ", "perf -> ", "gpu -> ", "lint -> "):
        assert session in listed


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {plain(line.partition("==")[0]) for line in lines}
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    extras = project["optional-dependencies"].values()
    for wanted in [*project["dependencies"], *(item for extra in extras for item in extra)]:
        assert plain(re.match(r"[\w.-]+", wanted)[0]) in pinned


def plain(name):
    """Write a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).casefold()
