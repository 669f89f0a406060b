"""The command line: exit statuses, one-line errors, and how fast and light they come."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from bench import cli
from bench.progress.base import Silent
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
from tests.bench.report_cells import fill, make_cell

ROOT = Path(__file__).parents[3]
HANGS = 600
"""Seconds after which a process is taken to hang, on a machine however busy."""


def python(code, *arguments, **settings):
    """Start Python on `code` from the repository's root."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **settings,
    )


def without(folder, text):
    """Write a folder that differs from run to run as FOLDER."""
    return text.replace(str(folder), "FOLDER")


def said(capsys, *arguments):
    """Run the command line in this process; return status, output and errors."""
    status = cli.main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


WRONG = [
    ("run --methods lora+frezee", "frezee"),
    ("run --methods lora[rank=3]", "rank"),
    ("run --methods lora[r=many]", "integer"),
    ("run --methods corda[mode=kp]", "kpm, ipm"),
    ("run --methods lora+pissa", "lora"),
    ("run --methods lora+kl+self_distill", "penalty"),
    ("run --methods lora+replay[share=1]", "share=1"),
    ("run --methods lora[r=0]", "rank"),
    ("run --tasks nofile.csv", "nofile.csv"),
    ("run --forgetting elemnts", "elements"),
    ("run --forgetting none,drift", "none"),
    ("run --models ./nowhere", "./nowhere"),
    ("run --data-dir nowhere", "nowhere"),
    ("run --epochs 0", "--epochs '0'"),
    ("run --config nowhere.yaml", "nowhere.yaml"),
    ("run --metods lora", "--methods"),
    ("run --reference dorra", "dora"),
    ("run --methods lora --reference dora", "dora"),
    ("run --methods", "--methods"),
    ("run lora", "lora"),
    ("run --methods lora, dora", "'dora'"),
    ("lora,corda", "run --methods lora,corda"),
    ("rum", "run"),
    ("show", "CELL"),
    ("study placment", "placement"),
    ("study --method lora", "--method"),
    ("study placement lora", "lora"),
    ("study placement --method lora+freeze", "lora+freeze"),
    ("study placement --method lora,dora", "lora,dora"),
    ("study placement --model smollm-135m", "smollm2-135m"),
    ("study placement --task countris", "countries"),
    ("study placement --cuts 2,x", "--cuts 'x'"),
    ("study placement --limit 0", "--limit '0'"),
    ("study placement --device gpu", "cuda:N"),
    ("study placement --forgetting elemnts", "elements"),
    ("study calibration --modes kp", "ipm"),
    ("study calibration --samples 0", "--samples '0'"),
    ("study calibration --data-dir nowhere", "nowhere"),
    ("study interference --sizes 0", "--sizes '0'"),
    ("study interference --method lorra", "lora"),
    ("study order --sizes 1,0", "--sizes '0'"),
    ("study order --methods lora+filter", "write lora"),
    ("study order --optimizer new", "--optimizer 'new'"),
    ("study sequence --parts 1", "--parts '1'"),
    ("study sequence --methods lorra", "lora"),
    ("study sequence --methods lora+freeze+reweight", "write lora+freeze"),
    ("recommend --budget-memory 8Gi", "GiB"),
    ("export-task elemnts folder", "elements"),
]
"""What is typed wrongly, and what the line about it names: the word that is wrong or right."""


@pytest.mark.parametrize(("typed", "named"), WRONG)
def test_wrong_arguments_are_one_line_and_status_2(capsys, typed, named):
    status, out, err = said(capsys, *typed.split())
    assert (status, out) == (2, "")
    assert named in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_what_is_said_of_wrong_arguments(capsys, snapshot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a results folder of the reader's names methods too
    lines = [f"$ {typed}\n{said(capsys, *typed.split())[2]}" for typed, _ in WRONG]
    snapshot("errors", "what is typed wrongly", "".join(lines))


@pytest.mark.parametrize("typed", ["plan", "run", "run --dry-run"])
@pytest.mark.parametrize("below", ["", "x/y"])
def test_a_file_as_the_results_folder_is_one_line(capsys, tmp_path, typed, below):
    file = tmp_path / "afile"
    file.write_text("mine")
    status, out, err = said(capsys, *typed.split(), "--methods", "lora", "--out", str(file / below))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert str(file) in err
    assert "--out" in err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"question,reply\nWho?,I\n", "answer"),
        (b"question,answer\n,I\n", "question"),
        ("question,answer\nWo?,K\xf6ln\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_an_unreadable_facts_file_is_one_line_and_status_2(capsys, tmp_path, content, line):
    path = tmp_path / "facts.csv"
    path.write_bytes(content)
    status, _, err = said(capsys, "plan", "--tasks", str(path), "--out", str(tmp_path))
    assert status == 2
    assert "facts.csv" in err
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("group", [[], ["study"]])
def test_without_a_command_there_is_help(capsys, group):
    status, out, _ = said(capsys, *group)
    assert status == 0
    for command in ("placement",) if group else ("run", "list", "plan", "report", "show"):
        assert f"  {command} " in out


@pytest.mark.parametrize(
    "command",
    [
        *("", "run", "plan", "report", "recommend", "show", "export-task", "list"),
        *("study", "study interference", "study placement", "study calibration"),
        *("study order", "study sequence"),
    ],
)
def test_what_help_says(capsys, monkeypatch, snapshot, command):
    monkeypatch.setattr("sys.argv", ["bench"])
    monkeypatch.setenv("COLUMNS", "100")
    status, out, _ = said(capsys, *command.split(), "--help")
    assert status == 0
    snapshot("help", command or "python -m bench", out)


def test_the_plan_lists_cells_and_how_many_facts(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["--methods", "lora,corda[mode=ipm]", "--limit", "7", "--seeds", "0-1"]
    status, out, err = said(capsys, "plan", *arguments, "--out", str(tmp_path / "none"))
    assert (status, err) == (0, "")
    assert "4 cells" in out
    assert sum(line.startswith("missing") for line in out.splitlines()) == 4
    assert "0 done, 4 missing" in out
    assert out.count("corda[mode=ipm]") == 2
    assert "countries: 7 of " in out
    assert not (tmp_path / "none").exists()


def test_the_list_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = said(capsys, "list")
    assert max(map(len, out.splitlines())) <= 60
    assert "path (text, required)" in " ".join(out.split())
    assert "mode=kpm (kpm|ipm)" in " ".join(out.split())


def test_adapters_are_compared_by_what_their_classes_say(capsys):
    status, out, _ = said(capsys, "list", "--compare", "--json")
    assert status == 0
    compared = {row["name"]: row for row in json.loads(out)}
    assert list(compared) == ADAPTERS.names()
    for name, row in compared.items():
        kind = ADAPTERS[name]
        assert row["learning_rate"] == kind.learning_rate
        assert (row["certainty"], row["paper"]) == (kind.certainty, kind.paper)
        assert row["starts_as_base"] is kind.starts_as_base
        assert row["trains"]
    assert compared["corda"]["needs_data"] == "layer inputs on facts"
    assert compared["lora"]["needs_data"] == "none"
    assert compared["peft"]["starts_as_base"] is None, "only a run tells"


def test_the_list_as_json_names_what_the_list_names(capsys):
    status, out, _ = said(capsys, "list", "--json")
    assert status == 0
    listed = json.loads(out)
    assert [row["name"] for row in listed["adapters"]] == ADAPTERS.names()
    assert [row["name"] for row in listed["strategies"]] == STRATEGIES.names()
    assert {row["name"] for row in listed["placements"]} == set(PLACEMENTS.names())


def test_what_the_comparison_of_adapters_shows(capsys, monkeypatch, snapshot):
    monkeypatch.setenv("COLUMNS", "100")
    _, out, _ = said(capsys, "list", "--compare")
    snapshot("list", "python -m bench list --compare", out)


@pytest.fixture
def runner(monkeypatch, tmp_path):
    """A `run` whose grid ends as told; returns how to run it, and the options it got."""
    got = []

    def run(*arguments, statuses=("done",), ran=1, reused=0, interrupted=False):
        def run_grid(options, progress):
            got.append(options)
            records = [SimpleNamespace(status=status) for status in statuses]
            failed = sum(status != "done" for status in statuses)
            return SimpleNamespace(
                records=records,
                ran=ran,
                reused=reused,
                interrupted=interrupted,
                failed=failed,
                lost=(),
            )

        module = ModuleType("bench.execution.run")
        module.run_grid = run_grid
        monkeypatch.setitem(sys.modules, "bench.execution.run", module)
        return cli.main(["run", "--out", str(tmp_path / "results"), *arguments])

    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    monkeypatch.setattr("bench.progress.open_progress", Silent)
    monkeypatch.setattr("bench.cli.run.print_report", lambda out, reference: print("the table"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run, got
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_status_0_when_all_cells_are_done(runner, capsys):
    run, got = runner
    assert run("--methods", "lora", "--methods", "corda[mode=ipm],dora", "--limit", "4") == 0
    assert got[0].methods == ("lora", "corda[mode=ipm]", "dora")
    assert got[0].limit == 4
    assert capsys.readouterr().out == "the table\n"


def test_flags_win_over_the_grid_file(runner, tmp_path):
    run, got = runner
    grid = tmp_path / "grid.yaml"
    grid.write_text("methods: [lora, dora]\nlimit: 9\nsave-adapters: true\n")
    assert run("--config", str(grid), "--limit", "4", "--no-save-adapters") == 0
    assert got[0].methods == ("lora", "dora")
    assert (got[0].limit, got[0].save_adapters) == (4, False)


def test_the_reference_of_a_run_is_the_one_of_its_report(
    runner, tmp_path, monkeypatch, capsys, snapshot
):
    run, got = runner
    compared = []
    printed = "bench.cli.run.print_report"
    monkeypatch.setattr(printed, lambda out, reference: compared.append(reference))
    grid = tmp_path / "grid.yaml"
    grid.write_text("methods: [lora, dora]\nreference: dora\n")
    assert run("--config", str(grid)) == 0
    assert run("--config", str(grid), "--reference", "lora[r=16] (lr 0.001)") == 0
    assert run() == 0
    fill(tmp_path / "results", [make_cell(n=2, spec={"method": "olora"})])
    assert run("--methods", "dora", "--reference", "olora") == 0
    assert run("--methods", "dora", "--shard", "1/2", "--reference", "dora") == 0
    assert compared == ["dora", "lora (lr 0.001)", None, "olora", None]
    snapshot("run", "a shard without the reference", capsys.readouterr().out)
    assert len(got) == 5
    assert run("--methods", "dora", "--reference", "olara") == 2
    assert "olora" in capsys.readouterr().err
    assert run("--config", str(grid), "--methods", "lora,corda", "--reference", "dora") == 2
    told = capsys.readouterr().err
    for given in ("--reference 'dora'", "--methods lora,corda", "add dora to --methods"):
        assert given in told
    assert len(got) == 5, "nothing ran"


def test_status_1_when_some_failed_and_the_table_still_appears(runner, capsys, snapshot):
    run, _ = runner
    assert run(statuses=("done", "failed", "out_of_memory")) == 1
    out, err = capsys.readouterr()
    assert out == "the table\n"
    assert "--rerun failed" in err
    snapshot("run", "two cells of three failed", err)


def test_a_call_with_nothing_missing_says_so(runner, capsys, snapshot, tmp_path):
    run, _ = runner
    assert run(ran=0, reused=1) == 0
    said_so = capsys.readouterr().out.removesuffix("the table\n")
    assert said_so
    snapshot("run", "nothing is left to do", without(tmp_path, said_so))


def test_a_shard_without_cells_is_well_done(runner, capsys, snapshot):
    run, _ = runner
    assert run("--shard", "2/8", statuses=(), ran=0) == 0
    snapshot("run", "a shard without cells", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("session", "program", "command"),
    [
        ("", "bench/__main__.py", "python -m bench run --out"),
        ("bench", "bench/__main__.py", "nox -s bench -- --out"),
        ("", "bin/semantic-peft-bench", "semantic-peft-bench run --out"),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(
    runner, capsys, monkeypatch, snapshot, tmp_path, session, program, command
):
    monkeypatch.setenv("NOX_CURRENT_SESSION", session)
    monkeypatch.setattr("sys.argv", [program])
    run, _ = runner
    assert run("--methods", "corda[mode=ipm]", ran=1, reused=2, interrupted=True) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert command in err
    assert err.endswith("--methods 'corda[mode=ipm]'\n"), "brackets are quoted for the shell"
    snapshot("run", f"interrupted, started with {command.split(' --')[0]}", without(tmp_path, err))


def test_an_unexpected_error_keeps_its_traceback(runner, monkeypatch):
    run, _ = runner
    monkeypatch.setattr("bench.cli.run._conclude", lambda outcome, options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()


WORKING = """
import sys, time
from types import ModuleType, SimpleNamespace
executor = sys.modules["bench.execution.run"] = ModuleType("bench.execution.run")

def run_grid(options, progress):
    try:
        print("working", flush=True)
        time.sleep(3000)
    except KeyboardInterrupt:
        print("storing", flush=True)
        time.sleep(float(sys.argv[1]))
    return SimpleNamespace(records=[], interrupted=True, ran=1, reused=0)

executor.run_grid = run_grid
from bench.cli import main
sys.exit(main(["run", "--methods", "lora", "--out", sys.argv[2]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_cleanly(tmp_path, number):
    process = python(WORKING, "0", str(tmp_path))
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert "python -m bench run --methods lora" in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_second_interrupt_ends_at_once(tmp_path):
    process = python(WORKING, "3000", str(tmp_path))
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "storing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANGS)  # less than what it would sleep
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in err
