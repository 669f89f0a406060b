"""Plans from assumed sizes, where neither hub nor data are at hand."""

from pathlib import Path

import pytest
import yaml

from bench.cli import main
from bench.config.options import build_options, load_assumed, load_config
from bench.models.shape import shape_of_config
from bench.planning.memory import Setup, need
from bench.planning.sketch import CARD, sketch
from methods.recipe import parse_recipe
from tasks.errors import UsageError
from tests.bench.planning.test_memory import config as llama

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "configs/corda_table1.yaml"
FINDINGS = ROOT / "configs/findings_gpu.yaml"


@pytest.fixture(scope="module")
def table():
    found = sketch(build_options({}, TABLE), load_assumed(TABLE))
    return {
        row.method.partition("[")[0] + ("ipm" in row.method) * " ipm": row for row in found.rows
    }


def test_the_plan_of_the_table_needs_neither_hub_nor_data(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--config", str(TABLE)]) == 0
    told = capsys.readouterr().out
    for piece in (
        "not checked: weights and tokenizer of meta-llama/Llama-2-7b-hf; rows of metamath",
        "metamath: 100,000 rows, 1 epoch, 782 optimizer steps",
        "one card of",
        "nq_questions",
        "gsm8k, math",
    ):
        assert piece in told
    assert not list(tmp_path.iterdir()), "a plan changes nothing"


def test_the_time_is_counted_from_what_is_trained(tmp_path):
    def flop(**options):
        grid = build_options({"out": tmp_path, **options}, FINDINGS)
        return sketch(grid, load_assumed(FINDINGS)).flop

    weights = 1_235_814_400  # of Llama-3.2-1B, as published
    one = {"methods": "lora", "seeds": "0", "lr": "1e-3"}
    assert flop(**one) == pytest.approx(4 * weights * 24 * 512 * 6, rel=1e-3)
    assert flop(**{**one, "seeds": "0-3"}) == pytest.approx(4 * flop(**one))
    assert flop(**{**one, "train_prompt": "few_shot"}) > 2 * flop(**one)
    found = sketch(build_options({"out": tmp_path}, FINDINGS), load_assumed(FINDINGS))
    assert found.seconds == pytest.approx(found.flop / 3e13 / 0.4)
    assert sketch(build_options({}, TABLE), load_assumed(TABLE)).seconds is None, "long rows"


def test_a_model_without_assumed_sizes_is_told_as_ever(tmp_path, capsys):
    words = ["plan", "--config", str(TABLE), "--models", "somebody/else-7b"]
    assert main([*words, "--data-dir", str(tmp_path)]) == 2
    assert "not checked" not in capsys.readouterr().out


def test_one_card_is_enough_for_all_but_full_fine_tuning(table):
    assert {name for name, row in table.items() if not row.fits} == {"full"}
    assert table["full"].cards == 2
    assert table["full"].divides
    assert len(table) == 5


def test_amounts_are_those_of_the_formulas(table):
    shape = shape_of_config(llama("7b"))
    options = build_options({}, TABLE)
    for name in ("lora[r=128]", "corda[mode=ipm,pack=0,r=128,samples=256]"):
        setup = Setup(
            parse_recipe(name).adapter, 1.0, False, options.dtype, rows=1, tokens=512, kept=512
        )
        [row] = [row for row in table.values() if row.method == name]
        assert row.need == need(shape, setup)
    # 21.9 GB of covariances and 13.5 GB of weights, counted apart from the formulas.
    assert 35.4e9 < table["corda"].need.prepare < 41e9 < CARD
    assert table["corda"].need.prepare > table["pissa"].need.prepare


def test_a_longer_text_and_more_predicted_tokens_take_more():
    shape = shape_of_config(llama("135m"))
    adapter = parse_recipe("lora").adapter
    short, long = (
        need(shape, Setup(adapter, 1.0, False, "float32", rows=1, tokens=512, kept=kept))
        for kept in (8, 512)
    )
    assert long.train - short.train == 12.0 * (512 - 8) * shape.vocabulary


@pytest.mark.parametrize(
    ("assumed", "piece"),
    [
        ({"models": {"a/b": 5}}, "assumed.models.a/b: must be names with values"),
        ({"model": {}}, "assumed.model: unknown name: write models"),
        ({"rows": {"metamath": 0}}, "assumed.rows.metamath: must be greater than 0, found '0'"),
        ({"rows": {"metamath": "many"}}, "must be a whole number, found 'many'"),
        (5, "assumed: must be names with values"),
    ],
)
def test_a_wrong_section_is_told_in_one_line(tmp_path, assumed, piece):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"tasks": "metamath", "assumed": assumed}))
    with pytest.raises(UsageError) as raised:
        load_assumed(path)
    assert piece in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    for word in ("Input", "Extra", "Field", "dictionary"):
        assert word not in str(raised.value), "pydantic's own words"
    assert load_config(path) == {"tasks": "metamath"}


@pytest.mark.parametrize(
    ("assumed", "piece"),
    [
        ({"rows": {"metamaths": 5}}, "assumed.rows.metamaths: unknown task 'metamaths': did you"),
        ({"models": {"smollm2": {}}}, "assumed.models.smollm2: unknown model"),
    ],
)
def test_sizes_of_what_does_not_exist_are_told_whatever_can_be_looked_up(
    tmp_path, capsys, assumed, piece
):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"methods": "lora", "limit": 4, "assumed": assumed}))
    assert main(["plan", "--config", str(path), "--out", str(tmp_path / "out")]) == 2
    assert piece in capsys.readouterr().err


@pytest.mark.parametrize(
    "task", ["code_feedback", "wizard_instructions", "metamath[revision=main]"]
)
def test_the_other_skills_of_the_paper_are_planned_too(capsys, task):
    assert main(["plan", "--config", str(TABLE), "--tasks", task]) == 0
    name = task.partition("[")[0]
    assert f"{name}: 100,000 rows, 1 epoch, 782 optimizer steps" in capsys.readouterr().out


def test_a_shard_is_a_part_of_the_grid(capsys):
    def cells(**given):
        found = sketch(build_options(given, TABLE), load_assumed(TABLE))
        return found.cells, found.whole

    wide = {"seeds": "0-2", "tasks": "metamath,code_feedback"}
    for given in (
        {},
        wide,
        {"seeds": "0-2", "tune": "r=8,16", "methods": "lora,pissa", "reference": "lora"},
    ):
        _, whole = cells(**given)
        parts = [cells(**given, shard=f"{n}/4")[0] for n in range(1, 5)]
        assert sum(parts) == whole
        assert max(parts) < whole
    # Candidates stay together, and first steps go with what starts from them.
    assert set(parts) == {0, 3 + 2 * 2}
    after = {"methods": "lora[r=128]", "after": "code_feedback", "seeds": "0-3"}
    assert cells(**after) == (8, 8)
    assert cells(**after, shard="1/4") == (2, 8)
    assert main(["plan", "--config", str(TABLE), "--shard", "1/2"]) == 0
    assert "about 2 of 5 cells" in capsys.readouterr().out


def test_a_configuration_that_is_none_is_told(tmp_path):
    path = tmp_path / "grid.yaml"
    assumed = {"models": {"a/b": {"model_type": "nothing"}}, "rows": {"metamath": 5}}
    path.write_text(yaml.safe_dump({"models": "a/b", "tasks": "metamath", "assumed": assumed}))
    with pytest.raises(UsageError, match=r"assumed\.models\.a/b"):
        sketch(build_options({}, path), load_assumed(path))


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda path: path.stem)
def test_the_options_of_every_committed_grid_are_valid(path):
    assert build_options({}, path).methods


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--lr", "1e-3,1e-4", "--seeds", "1000"], "try what is tuned and must not report it"),
        (["--tasks", "metamath[rows=0]"], "at least one row is needed"),
    ],
)
def test_what_is_wrong_is_told_instead_of_planned_by_assumed_sizes(capsys, words, why):
    assert main(["plan", "--config", str(TABLE), *words]) == 2
    assert why in capsys.readouterr().err


def test_a_size_that_is_not_assumed_is_named(capsys):
    assert main(["plan", "--config", str(TABLE), "--tasks", "nq_open"]) == 2
    assert "nor does the section 'assumed'" in capsys.readouterr().err


def test_cells_that_tune_and_first_steps_count():
    def cells(**given):
        return sketch(build_options(given, TABLE), load_assumed(TABLE)).cells

    assert cells() == 5
    assert cells(methods="lora[r=128]", lr="1e-3,1e-4", reference="lora[r=128]") == 5
    assert cells(methods="lora[r=128]", after="metamath", reference="lora[r=128]") == 2


@pytest.mark.parametrize("values", [{"hidden_size": "big"}, {"num_attention_heads": 0}])
def test_a_configuration_that_is_none_is_one_line(values):
    assumed = load_assumed(TABLE)
    [(name, config)] = (
        assumed.models.items() if len(assumed.models) == 1 else [next(iter(assumed.models.items()))]
    )
    wrong = assumed.model_copy(update={"models": {name: {**config, **values}}})
    with pytest.raises(UsageError, match="no configuration of a model"):
        sketch(build_options({"models": name}, TABLE), wrong)
