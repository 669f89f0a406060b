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


@pytest.mark.parametrize(
    ("typed", "task", "mode"),
    [
        ("a:b.txt", "a:b.txt", StepMode.FROZEN),
        ("a:b.txt:merged", "a:b.txt", StepMode.MERGED),
        ("a:b.txt[window=32,learn=both]:merged:dora", "a:b.txt[window=32,learn=both]", "merged"),
        ("c:/mine : two.csv:trainable", "c:/mine : two.csv", StepMode.TRAINABLE),
        ("c:/folder:merged", "c:/folder", StepMode.MERGED),
        ("elements:merged", "elements", StepMode.MERGED),
    ],
)
def test_a_colon_in_the_name_of_a_file_belongs_to_it(tmp_path, monkeypatch, typed, task, mode):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.txt", "c:/mine : two.csv", "c:/folder/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    options = build_options({"after": typed})
    assert (options.after.task, options.after.mode) == (task, mode)
    assert RunOptions.model_validate(options.model_dump(mode="json")).after == options.after


def test_a_colon_splits_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="TASK:MODE:RECIPE"):
        build_options({"after": "a:b.txt"})


def test_none_is_no_first_step_and_overrides_a_grid_file(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("after: elements:merged\n")
    options = build_options({"after": "none"}, path)
    assert options.after is None
    assert RunOptions.model_validate(options.model_dump(mode="json")) == options
    assert options.trained_tasks == ("countries",)


def test_without_it_a_run_trains_its_own_tasks():
    assert build_options({}).trained_tasks == ("countries",)
