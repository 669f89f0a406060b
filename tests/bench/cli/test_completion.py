"""What a shell is offered, by click's own classes and by a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from bench.cli import commands, main
from bench.cli.completion import PROGRAM, VARIABLE
from bench.config.types import Schedule
from bench.models.registry import EMBEDDED
from bench.studies.registry import found_studies
from methods.parts import ADAPTERS
from tasks.base import TASKS

ROOT = Path(__file__).parents[3]


def offered(*words):
    """The values that click offers after these words, the last of which is incomplete."""
    completed = BashComplete(commands, {}, PROGRAM, VARIABLE)
    return [item.value for item in completed.get_completions(list(words[:-1]), words[-1])]


def test_all_names_of_each_kind_are_offered():
    assert set(offered("")) >= set(commands.lazy)
    assert set(offered("run", "--methods", "")) >= set(ADAPTERS.names())
    assert offered("run", "--tasks", "") == TASKS.names()
    assert offered("run", "--models", "") == list(EMBEDDED)
    assert set(offered("study", "")) == set(found_studies())
    assert offered("run", "--schedule", "") == [choice.value for choice in Schedule]


@pytest.mark.parametrize(
    ("words", "one"),
    [
        (("pl",), "plan"),
        (("run", "--forg"), "--forgetting"),
        (("plan", "--methods", "lora,do"), "lora,dora"),
        (("run", "--methods", "lora,corda[mode=ipm]+fre"), "lora,corda[mode=ipm]+freeze"),
        (("run", "--log-to", "tensorboard,wan"), "tensorboard,wandb"),
        (("run", "--tasks", "elements,count"), "elements,countries"),
        (("run", "--forgetting", "dri"), "drift"),
        (("run", "--methods", "lora", "--evaluate", "gsm"), "gsm8k"),
        (
            (
                "run",
                "--methods=dor",
            ),
            "dora",
        ),
        (("study", "placement", "--method", "pis"), "pissa"),
        (("study", "pla"), "placement"),
        (("study", "sequence", "--par"), "--parts"),
        (("completion", "z"), "zsh"),
    ],
)
def test_a_beginning_is_completed(words, one):
    assert one in offered(*words)


@pytest.mark.parametrize("words", [("rum", "--me"), ("run", "--nothing", "x"), ("study", "x", "-")])
def test_wrong_words_offer_nothing_and_raise_nothing(words):
    assert not [value for value in offered(*words) if not value.startswith("-")]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", "--out", "x"), "dir"),
        (("run", "--tasks", "./my"), "file"),
        (("run", "--config", "x"), "file"),
    ],
)
def test_files_and_folders_are_left_to_the_shell(words, kind):
    [item] = BashComplete(commands, {}, PROGRAM, VARIABLE).get_completions(
        list(words[:-1]), words[-1]
    )
    assert item.type == kind


@pytest.mark.parametrize(
    ("shell", "kind"), [("bash", BashComplete), ("zsh", ZshComplete), ("fish", FishComplete)]
)
def test_the_script_is_that_of_click(shell, kind, capsys):
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out.strip() == kind(commands, {}, PROGRAM, VARIABLE).source().strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="runs a real bash")
def test_bash_completes_what_is_typed(tmp_path, capsys):
    """The printed script, in a bash that has nothing but it and the installed program's name."""
    main(["completion", "bash"])
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    program = tmp_path / PROGRAM
    start = f"import sys; sys.argv[0] = '{PROGRAM}'; from bench.cli import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    program.chmod(0o755)
    ask = """
        source "$1"; shift
        complete -p semantic-peft-bench >&2
        COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _semantic_peft_bench_completion semantic-peft-bench
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    words = [PROGRAM, "run", "--methods", "lora,cor"]
    done = subprocess.run(
        ["bash", "--norc", "-c", ask, "bash", str(script), *words],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["lora,corda", "lora,corda_pp"]
    assert "complete -o nosort -F _semantic_peft_bench_completion" in done.stderr


PRESSED = """
import os, sys
os.environ |= {"COMP_WORDS": sys.argv[1], "COMP_CWORD": sys.argv[2], sys.argv[3]: "bash_complete"}
sys.argv = ["semantic-peft-bench"]
from bench.cli import main
try:
    main()
finally:
    heavy = {"torch", "transformers", "peft", "pandas", "matplotlib", "numpy"} & set(sys.modules)
    assert not heavy, heavy
"""


def pressed(words):
    """Start the program as a shell does; returns what it prints and its computing seconds."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = [f"{PROGRAM} {words}", str(len(words.split())), VARIABLE]
    command = [sys.executable, "-c", PRESSED, *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


TYPED = {"ru": "plain,run", "run --methods cor": "plain,corda", "study pla": "plain,placement"}


@pytest.mark.parametrize("words", TYPED)
def test_a_press_of_the_tabulator_imports_nothing_heavy(words):
    pytest.importorskip("resource", reason="counts the computing time of child processes")
    assert TYPED[words] in pressed(words)[0].splitlines()


@pytest.mark.machine
@pytest.mark.parametrize("words", TYPED)
def test_a_press_of_the_tabulator_takes_half_a_second_at_most(words):
    pytest.importorskip("resource", reason="counts the computing time of child processes")
    assert min(pressed(words)[1] for _ in range(4)) <= 0.5
