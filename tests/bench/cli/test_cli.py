"""The command line: exit statuses, one-line errors, and how fast and light they come."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from bench import cli
from bench.progress.base import Silent
from tests.bench.report_cells import fill, make_cell

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "transformers", "peft", "lm_eval", "datasets", "pandas", "matplotlib"}


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


def said(capsys, *arguments):
    """Run the command line in this process; return status, output and errors."""
    status = cli.main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "run "),
        (["run", "--help"], 0, "--forgetting-limit"),
        (["list"], 0, "corda"),
        (["run", "--methods", "lorra"], 2, "did you mean lora"),
        (["plan", "--tasks", "countris"], 2, "did you mean countries"),
        (["run", "--models", "smollm-135m"], 2, "did you mean smollm2-135m"),
        (["run", "--out", "LICENSE/results"], 2, "cannot write results"),
    ],
)
def test_names_answer_at_once_without_heavy_imports(arguments, status, words):
    code = (
        "import sys; from bench.cli import main; status = main(sys.argv[1:]); "
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules))); sys.exit(status)"
    )
    seconds = []
    for _ in range(3):  # the best of three: other work on the machine is not ours
        start = time.perf_counter()
        process = python(code, *arguments)
        out, err = process.communicate(timeout=60)
        seconds.append(time.perf_counter() - start)
        assert process.returncode == status, err
        assert words in out + err
        assert "HEAVY []" in out
    assert min(seconds) < 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--methods", "lora+frezee"], "unknown method part 'frezee'"),
        (["run", "--methods", "lora[rank=3]"], "'lora' has no parameter 'rank'"),
        (["run", "--methods", "lora[r=many]"], "r must be integer"),
        (["run", "--methods", "corda[mode=kp]"], "mode must be kpm|ipm"),
        (["run", "--methods", "lora+pissa"], "two parts of one kind"),
        (["run", "--methods", "lora[r=0]"], "the rank must be at least 1"),
        (["run", "--tasks", "nofile.csv"], "no file 'nofile.csv'"),
        (["run", "--forgetting", "elemnts"], "did you mean elements"),
        (["run", "--forgetting", "none,drift"], "'none' stands alone"),
        (["run", "--models", "./nowhere"], "unknown model"),
        (["run", "--data-dir", "nowhere"], "--data-dir 'nowhere' is no folder"),
        (["run", "--epochs", "0"], "--epochs '0': it must be greater than 0"),
        (["run", "--config", "nowhere.yaml"], "cannot read --config nowhere.yaml"),
        (["run", "--metods", "lora"], "'--methods'"),
        (["run", "--reference", "dorra"], "unknown reference 'dorra': did you mean dora"),
        (["run", "--methods", "lora", "--reference", "dora"], "unknown reference 'dora'"),
        (["run", "--methods"], "requires an argument"),
        (["run", "lora"], "'lora' belongs to no option"),
        (["run", "--methods", "lora,", "dora"], "'dora' belongs to no option"),
        (["lora,corda"], "a method is given as run --methods lora,corda"),
        (["rum"], "did you mean run?"),
        (["show"], "Missing argument 'CELL'"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(capsys, arguments, line):
    status, out, err = said(capsys, *arguments)
    assert (status, out) == (2, "")
    assert line in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


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


def test_without_arguments_there_is_help(capsys):
    status, out, _ = said(capsys)
    assert status == 0
    for command in ("run", "list", "plan", "report", "show", "export-task"):
        assert f"  {command} " in out


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
    monkeypatch.setattr("bench.progress.base.open_progress", Silent)
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


def test_the_reference_of_a_run_is_the_one_of_its_report(runner, tmp_path, monkeypatch, capsys):
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
    assert "shard 1/2 has no cell of the reference dora" in capsys.readouterr().out
    assert len(got) == 5
    assert run("--methods", "dora", "--reference", "olara") == 2
    assert "unknown reference 'olara': did you mean olora" in capsys.readouterr().err
    assert len(got) == 5, "nothing ran"


def test_status_1_when_some_failed_and_the_table_still_appears(runner, capsys):
    run, _ = runner
    assert run(statuses=("done", "failed", "out_of_memory")) == 1
    out, err = capsys.readouterr()
    assert out == "the table\n"
    assert "2 of 3 cells" in err
    assert "--rerun failed" in err


def test_a_call_with_nothing_missing_says_so(runner, capsys):
    run, _ = runner
    assert run(ran=0, reused=1) == 0
    assert capsys.readouterr().out.startswith("nothing is missing")


def test_a_shard_without_cells_is_well_done(runner, capsys):
    run, _ = runner
    assert run("--shard", "2/8", statuses=(), ran=0) == 0
    assert capsys.readouterr().out == "shard 2/8 has no cells of this grid\n"


@pytest.mark.parametrize(
    ("session", "command"),
    [
        ("", "go on with: python -m bench run --out"),
        ("bench", "go on with: nox -s bench -- --out"),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(runner, capsys, monkeypatch, session, command):
    monkeypatch.setenv("NOX_CURRENT_SESSION", session)
    run, _ = runner
    assert run("--methods", "corda[mode=ipm]", ran=1, reused=2, interrupted=True) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 finished now, 2 were done before" in err
    assert command in err
    assert err.endswith("--methods 'corda[mode=ipm]'\n"), "brackets are quoted for the shell"


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
        time.sleep(60)
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
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "go on with: python -m bench run --methods lora" in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_second_interrupt_ends_at_once(tmp_path):
    process = python(WORKING, "60", str(tmp_path))
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "storing\n"
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.perf_counter() - start < 10
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in err
