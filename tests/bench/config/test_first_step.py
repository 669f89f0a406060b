"""`--after TASK[:MODE[:RECIPE]]` as it is typed."""

from __future__ import annotations

import pytest

from bench.config.options import RunOptions, build_options
from methods.two_steps.mode import StepMode
from tasks.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "task", "mode", "recipe"),
    [
        ("elements", "elements", StepMode.FROZEN, "lora"),
        ("fictional[n=64]:merged", "fictional[n=64]", StepMode.MERGED, "lora"),
        (
            "a/b.csv:trainable:lora[r=8]+freeze",
            "a/b.csv",
            StepMode.TRAINABLE,
            "lora[r=8]+freeze",
        ),
        ("a.csv : frozen : peft[path=c:/d]", "a.csv", StepMode.FROZEN, "peft[path=c:/d]"),
    ],
)
def test_what_is_typed_is_read_and_survives_the_way_to_a_worker(typed, task, mode, recipe):
    options = build_options({"after": typed})
    assert (options.after.task, options.after.mode, options.after.recipe) == (task, mode, recipe)
    assert RunOptions.model_validate(options.model_dump(mode="json")).after == options.after
    assert options.trained_tasks == ("countries", task)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("elements:frozn", "frozen"),
        ("elements:lora", "TASK:MODE:RECIPE"),
        ("elements:frozen:lora:x", "TASK:MODE:RECIPE"),
        (":frozen", "TASK:MODE:RECIPE"),
        ("elements:", "TASK:MODE:RECIPE"),
        ("", "give at least one value"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(typed, told):
    with pytest.raises(UsageError, match=f"^--after .*{told}") as caught:
        build_options({"after": typed})
    assert "\n" not in str(caught.value)


def test_without_it_a_run_trains_its_own_tasks():
    assert build_options({}).trained_tasks == ("countries",)
