"""The option table: what can be written, where it comes from, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.config.options import Rerun, RunOptions, build_options, load_config
from tasks.base import KnowledgeTask
from tasks.errors import UsageError


def test_defaults_are_the_documented_ones():
    options = build_options({})
    assert options.methods == ("lora", "dora", "pissa", "corda")
    assert options.tasks == ("countries",)
    assert tuple(map(str, options.forgetting)) == ("elements", "drift")
    assert (options.models, options.seeds, options.lr) == (("smollm2-135m",), (0,), None)
    assert (options.epochs, options.limit) == (None, None), "each kind of task has its own"
    assert (KnowledgeTask.epochs, KnowledgeTask.limit) == (10, 64)
    assert (options.batch_size, options.forgetting_limit) == (8, 200)
    assert (options.device, options.dtype, options.data_dir) == ("auto", "auto", None)
    assert (options.out, options.rerun) == (Path("results"), Rerun.MISSING)
    assert options.save_adapters is False


def test_commas_split_outside_brackets_and_repetitions_count_once():
    given_twice = ("lora,corda[mode=ipm,r=32]", " pissa , lora")
    assert build_options({"methods": given_twice}).methods == (
        "lora",
        "corda[mode=ipm,r=32]",
        "pissa",
    )
    assert build_options({"lr": "1e-4,5e-4,0.0001"}).lr == (1e-4, 5e-4)


def test_items_of_a_list_of_tasks_are_not_split_but_a_repeated_option_is(tmp_path):
    path = tmp_path / "my facts, v2.jsonl"
    path.write_text("")
    listed = ["fictional[n=9,seed=1]", "no, such file.csv", str(path)]
    typed = (f"countries,{path}", "elements, countries")
    for option in ("tasks", "forgetting"):
        names = getattr(build_options({option: typed}), option)
        assert tuple(map(str, names)) == ("countries", str(path), "elements")
        assert build_options({option: str(path)}) == build_options({option: [str(path)]})
    assert build_options({"tasks": listed}).tasks == tuple(listed)
    with pytest.raises(UsageError, match=r"no file 'no, such file\.csv'"):
        build_options({"forgetting": listed})


def test_a_grid_file_may_name_a_file_with_commas(tmp_path):
    path = tmp_path / "my facts, v2.jsonl"
    path.write_text("")
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"tasks: ['{path}', countries]\nforgetting: '{path},drift'\n")
    options = build_options({}, grid)
    assert options.tasks == (str(path), "countries")
    assert tuple(map(str, options.forgetting)) == (str(path), "drift")


@given(first=st.integers(0, 2**31), more=st.integers(0, 200))
def test_a_range_of_seeds_is_its_numbers(first, more):
    last = first + more
    assert build_options({"seeds": f"{first}-{last}"}).seeds == tuple(range(first, last + 1))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, unique=True))
def test_seeds_round_trip_in_their_order(seeds):
    assert build_options({"seeds": ",".join(map(str, seeds))}).seeds == tuple(seeds)
    assert build_options({"seeds": tuple(map(str, seeds)) * 2}).seeds == tuple(seeds)


@given(st.lists(st.floats(1e-12, 1e3), min_size=1, unique=True))
def test_learning_rates_round_trip(rates):
    assert build_options({"lr": ",".join(map(repr, rates))}).lr == tuple(rates)


@pytest.mark.parametrize(
    ("option", "written", "said"),
    [
        ("seeds", "x", "--seeds 'x': it must be a valid integer"),
        ("seeds", "-1", "--seeds '-1': it must be greater than or equal to 0"),
        ("seeds", "4-0", "--seeds '4-0': write a range as FIRST-LAST"),
        ("seeds", "0-999999999", "--seeds '0-999999999': write a range as FIRST-LAST"),
        ("lr", "0", "--lr '0': it must be greater than 0"),
        ("lr", "nan", "--lr 'nan': it must be a finite number"),
        ("epochs", "ten", "--epochs 'ten': it must be a valid integer"),
        ("batch_size", "0", "--batch-size '0': it must be greater than 0"),
        ("limit", "1.5", "--limit '1.5': it must be a valid integer"),
        ("device", "gpu", "--device 'gpu': write auto, cpu, mps, cuda or cuda:N"),
        ("dtype", "float33", "did you mean float32"),
        ("rerun", "fail", "did you mean failed"),
        ("methods", "", "--methods is empty"),
        ("methods", ("",), "--methods '': give at least one value"),
        ("seeds", ("",), "--seeds '': give at least one value"),
        ("lr", (",",), "--lr ',': give at least one value"),
        ("methods", ",", "--methods ',': "),
        ("methods", "lora[r=1", "unbalanced brackets in 'lora[r=1'"),
        ("seeds", [[1]], "--seeds '1': it must be a valid integer"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_option(option, written, said):
    with pytest.raises(UsageError) as refused:
        build_options({option: written})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_are_frozen_and_know_no_others():
    with pytest.raises(ValidationError):
        RunOptions().limit = 3
    with pytest.raises(UsageError, match="--shards"):
        build_options({"shards": 3})


@pytest.fixture
def grid(tmp_path):
    def write(text):
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return write


def test_a_grid_file_takes_lists_commas_dashes_and_underscores(grid):
    path = grid(
        "methods: [lora, 'corda[mode=ipm,r=8]']\nseeds: 0-2\nlr: [1e-4, 0.001]\n"
        "batch-size: 4\nforgetting_limit: 10\nsave-adapters: true\nout: elsewhere\n"
    )
    options = build_options({}, path)
    assert options.methods == ("lora", "corda[mode=ipm,r=8]")
    assert (options.seeds, options.lr) == ((0, 1, 2), (1e-4, 1e-3))
    assert (options.batch_size, options.forgetting_limit) == (4, 10)
    assert options.save_adapters is True
    assert options.out == Path("elsewhere")


def test_flags_win_over_a_grid_file(grid):
    path = grid("methods: lora\nlimit: 4\nsave_adapters: true\n")
    options = build_options({"limit": "8", "save_adapters": False}, path)
    assert (options.methods, options.limit, options.save_adapters) == (("lora",), 8, False)


def test_an_empty_grid_file_changes_nothing(grid):
    assert build_options({}, grid("# nothing\n")) == RunOptions()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: lora\n", "unknown option 'method': did you mean methods"),
        ("qqqqqq: 1\n", "unknown option 'qqqqqq': use one of methods, tasks"),
        ("limit: many\n", "grid.yaml:1:8: limit 'many': it must be a valid integer"),
        ("limit: 4\nseeds: [0\nepochs: 2\n", "grid.yaml:3:7: not valid YAML"),
        ("- lora\n", "methods: lora,corda"),
        ("batch-size: 1\nbatch_size: 2\n", "given twice"),
    ],
)
def test_a_wrong_grid_file_is_one_line(grid, text, said):
    with pytest.raises(UsageError) as refused:
        build_options({}, grid(text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_grid_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read --config .*no\.yaml: No such file"):
        load_config(tmp_path / "no.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("tasks: fran\xe7ais".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        load_config(latin)
