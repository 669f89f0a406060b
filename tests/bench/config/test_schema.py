"""The schema of grid files takes what a run takes, and refuses what editors can tell is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from bench.cli.schema import schema_text
from bench.config.options import RunOptions, load_assumed, load_config
from bench.config.schema import EXAMPLES, grid_schema
from bench.execution.checks import checked_options
from methods.parts import ADAPTERS
from tasks.errors import UsageError
from tests.bench.planning.test_identity import COUNT, DO_NOT_COUNT

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "configs" / "grid.schema.json"

RIGHT = {
    "methods": ["lora", "lora,corda[mode=ipm]", ["lora", "dora+freeze"]],
    "tasks": ["countries", ["countries", "fictional[n=9]"]],
    "after": ["elements:merged:lora[r=8]", "none", None],
    "forgetting": ["none", "drift,elements", ["drift"]],
    "seeds": [3, "0-4", [0, 1], ["0-1", 7]],
    "lr": [0.001, "1e-4,5e-4", [1e-4, "0.01"]],
    "tune": [{"r": [8, 16], "lr": "1e-4,1e-3"}, ["r=8,16"], "r=8,16"],
    "epochs": [3, None],
    "warmup": [0, 0.5],
    "schedule": ["constant"],
    "quantize": ["4bit"],
    "explain": [True, False],
    "workers": [2, "auto"],
    "stack": [4, "1"],
    "shard": ["2/8"],
    "timeout": [60, None],
    "assumed": [{"rows": {"metamath": 3}, "models": {"a/b": {"model_type": "llama"}}}],
}
WRONG = {
    "method": ["lora"],
    "methods": [3, {"lora": 1}, [["lora"]]],
    "seeds": [-1, 0.5, [True, {}]],
    "lr": [0, -1.0, {}],
    "tune": [3, {"r": 8}],
    "epochs": [0, "ten", 1.5],
    "warmup": [2, -0.1],
    "schedule": ["cosin"],
    "dtype": ["float33"],
    "explain": ["perhaps"],
    "save_every": [-1],
    "assumed": [{"rowz": {}}, {"rows": {"a": "many"}}],
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.fixture(scope="module")
def schema():
    return Draft7Validator(json.loads(COMMITTED.read_text()))


def test_the_committed_schema_is_that_of_the_options():
    Draft7Validator.check_schema(grid_schema())
    again = "python -m bench schema --no-names > configs/grid.schema.json"
    assert COMMITTED.read_text() == schema_text(names=False), f"out of date: {again}"


def test_every_option_is_described_by_its_help(schema):
    options = schema.schema["properties"]
    assert options.keys() - {"assumed"} == {n.replace("_", "-") for n in RunOptions.model_fields}
    for name, field in RunOptions.model_fields.items():
        assert options[name.replace("_", "-")]["description"] == " ".join(field.description.split())


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda path: path.stem)
def test_committed_grid_files_are_valid(schema, path):
    schema.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(("option", "value"), cases(RIGHT))
def test_schema_and_loader_take_what_is_right(schema, option, value, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({option: value}))
    schema.validate({option: value})
    load_config(path)


@pytest.mark.parametrize(("option", "value"), cases(WRONG))
def test_schema_and_loader_refuse_what_is_wrong(schema, option, value, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({option: value}))
    assert not schema.is_valid({option: value})
    load = load_assumed if option == "assumed" else load_config
    with pytest.raises(UsageError, match=r"grid\.yaml:\d"):
        load(path)


def test_every_option_that_runs_are_tested_with_is_valid_in_both_spellings(schema):
    given = {**COUNT, **DO_NOT_COUNT}
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in given.items() if v is not None}
    schema.validate(plain)
    schema.validate({name.replace("_", "-"): value for name, value in plain.items()})


def test_defaults_and_examples_are_valid(schema):
    defaults = RunOptions().model_dump(mode="json")
    schema.validate({name: value for name, value in defaults.items() if value is not None})
    for name, values in EXAMPLES.items():
        for value in values:
            schema.validate({name: value})


def test_names_that_are_installed_are_offered_and_others_are_still_taken():
    schema = Draft7Validator(json.loads(schema_text(names=True)))
    methods = schema.schema["properties"]["methods"]["anyOf"]
    offered, listed = methods[0]["enum"], methods[2]["items"]["anyOf"][0]["enum"]
    assert offered == listed
    assert set(ADAPTERS.names()) <= set(offered)
    schema.validate({"methods": ["lora", "corda[mode=ipm]"], "tasks": "my.csv", "models": "a/b"})
    Draft7Validator.check_schema(schema.schema)


def test_the_grid_files_of_the_guide_are_right(schema, tmp_path):
    guide = (ROOT / "docs/guide/configuration.md").read_text(encoding="utf-8")
    shown = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    grids = [text for text in shown if not text.startswith("#")]
    assert grids
    for text in grids:
        schema.validate(yaml.safe_load(text))
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        checked_options({}, path)
