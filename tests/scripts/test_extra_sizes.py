"""What each extra adds to an installation."""

from __future__ import annotations

from importlib.metadata import distribution

from scripts import extra_sizes


def test_an_extra_adds_what_it_needs_and_nothing_that_the_program_has():
    alone = extra_sizes.closure()
    assert {"torch", "peft", "semantic-peft-bench"} <= set(alone)
    added = set(extra_sizes.closure("wandb")) - set(alone)
    assert "wandb" in added
    assert "pytest" not in added


def test_each_extra_is_a_line_with_megabytes_or_with_what_is_missing(capsys):
    extra_sizes.main()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    extras = distribution(extra_sizes.PROGRAM).metadata.get_all("Provides-Extra")
    assert set(lines) == set(extras)
    assert int(lines["tests"]) > int(lines["wandb"]) > 10
